"""The resampling kernels [hot]: from the pixels read to the pixels of a tile.

`area` is the exact average over the box of every tile pixel, wherever it starts; enlarging, it
repeats pixels, mixed only where a box spans two. The others are Pillow's kernels, widened by the reduction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Interpolation = Literal["area", "bilinear", "bicubic", "lanczos"]

_SUPPORT: dict[Interpolation, int] = {"area": 0, "bilinear": 1, "bicubic": 2, "lanczos": 3}
"""Half the width of each kernel, in tile pixels, or in pixels read where these are the larger."""


@dataclass(frozen=True, slots=True)
class Window:
    """A tile along one axis: of `pixels` read it covers `width`, from `start` on; both may fall between pixels."""

    pixels: int
    start: float
    width: float

    @property
    def whole(self) -> bool:
        """Whether it starts and ends on pixel borders."""
        end = self.start + self.width
        return float(self.start).is_integer() and float(end).is_integer() and self.start >= 0 and end <= self.pixels

    @property
    def slice(self) -> slice:
        """The pixels of a whole window."""
        return slice(int(self.start), int(self.start + self.width))


def margin(interpolation: Interpolation, reduction: float) -> int:
    """How many pixels beside a tile its kernel needs, at `reduction` pixels read per tile pixel."""
    return math.ceil(_SUPPORT[interpolation] * max(reduction, 1.0))


def resampled(
    rgb: npt.NDArray[np.uint8], across: Window, down: Window, size: int, interpolation: Interpolation
) -> npt.NDArray[np.uint8]:
    """The tile uint8 (size, size, 3) that lies at `across` and `down` in the pixels `rgb` (h, w, 3)."""
    if across.whole and down.whole and across.width == down.width == size:
        return np.ascontiguousarray(rgb[down.slice, across.slice])
    if interpolation != "area":
        return _by_pillow(rgb, across, down, size, interpolation)
    if across.whole and down.whole and min(across.width, down.width) >= size:
        return _whole_area(rgb[down.slice, across.slice], size)
    return _area(rgb, across, down, size)


def _whole_area(rgb: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    import cv2

    # Only where no axis is enlarged: INTER_AREA then takes two pixels along the other one too.
    return np.asarray(cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _area(rgb: npt.NDArray[np.uint8], across: Window, down: Window, size: int) -> npt.NDArray[np.uint8]:
    import cv2

    rows = _averaged(rgb.astype(np.float32), down, size)
    # Turned by cv2.transpose, both passes add whole rows in place: three times as fast as numpy's transpose.
    columns = _averaged(np.asarray(cv2.transpose(rows), np.float32), across, size)
    np.rint(columns, out=columns)
    return np.asarray(cv2.transpose(columns.astype(np.uint8)), np.uint8)


def _averaged(values: npt.NDArray[np.float32], window: Window, size: int) -> npt.NDArray[np.float32]:
    """Area average along the first axis: (n, ...) becomes (size, ...)."""
    edges = np.clip(window.start + np.arange(size + 1) * (window.width / size), 0, window.pixels)
    low, high = edges[:-1], edges[1:]
    first = np.minimum(np.floor(low).astype(np.int64), window.pixels - 1)
    taps = int(np.max(np.ceil(high).astype(np.int64) - first, initial=1))
    flat = values.reshape(len(values), -1)
    out, part = np.empty((2, size, flat.shape[1]), np.float32)
    total = np.zeros(size)
    for tap in range(taps):
        share = np.clip(np.minimum(high, first + tap + 1) - np.maximum(low, first + tap), 0, None)
        sums = part if tap else out
        np.take(flat, first + tap, axis=0, out=sums, mode="clip")
        sums *= share.astype(np.float32)[:, None]
        if tap:
            out += part
        total += share
    # At the edge of a level that is a fraction of a pixel short, its last pixel stands for the rest.
    beyond = total < 1e-6
    out[beyond], total[beyond] = flat[first[beyond]], 1.0
    out /= total.astype(np.float32)[:, None]
    return out.reshape(size, *values.shape[1:])


def _by_pillow(
    rgb: npt.NDArray[np.uint8], across: Window, down: Window, size: int, interpolation: Interpolation
) -> npt.NDArray[np.uint8]:
    import cv2
    from PIL import Image

    (left, right, short_x), (top, bottom, short_y) = _box(across), _box(down)
    if short_x or short_y:
        # Pillow refuses a box that reaches beyond the pixels; the last one stands for the rest, as above.
        rgb = np.asarray(cv2.copyMakeBorder(rgb, 0, short_y, 0, short_x, cv2.BORDER_REPLICATE), np.uint8)
    kernel = Image.Resampling[interpolation.upper()]
    resized = Image.fromarray(rgb).resize((size, size), kernel, box=(left, top, right, bottom))
    return np.asarray(resized, np.uint8)


def _box(window: Window) -> tuple[float, float, int]:
    """Start and end of the window, and by how many pixels it reaches beyond those read."""
    end = window.start + window.width
    missing = max(0, math.ceil(end - window.pixels - 1e-6))
    return max(window.start, 0.0), min(end, float(window.pixels + missing)), missing
