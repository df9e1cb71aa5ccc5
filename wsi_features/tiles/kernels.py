"""The resampling kernels [hot]: from the pixels read to the pixels of a tile.

`area` is the exact average over the box of every tile pixel, wherever it starts; enlarging, it
repeats pixels, mixed only where a box spans two. The others are Pillow's kernels, widened by the reduction.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.tiles.area import Window, area_average

Interpolation = Literal["area", "bilinear", "bicubic", "lanczos"]

_SUPPORT: dict[Interpolation, int] = {"area": 0, "bilinear": 1, "bicubic": 2, "lanczos": 3}
"""Half the width of each kernel, in tile pixels, or in pixels read where these are the larger."""


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
    if across.whole and down.whole and across.width % size == down.width % size == 0:
        return _whole_boxes(rgb[down.slice, across.slice], size)
    return area_average(rgb, across, down, size)


def _whole_boxes(rgb: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    import cv2

    return np.asarray(cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


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
