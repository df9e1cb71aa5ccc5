"""The exact area average [hot]: every tile pixel is the mean of the box of pixels that it covers.

OpenCV's general INTER_AREA takes 1.4 ms for a tile of 256 px from 527 (a slide of 0.2431 um/px read at 0.5), more
than twice what decoding takes; this takes 0.29 and also begins between pixels (measured). The loops are plain Python,
compiled by numba when they are first needed and kept on disk by it, so that `_weighted` is also its own slow twin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_SIGNATURE = "void(uint8[:,:,::1], int64[::1], float32[:,::1], int64[::1], float32[:,::1], uint8[:,:,::1])"


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


def area_average(rgb: U8, across: Window, down: Window, size: int) -> U8:
    """The mean of each box, uint8 (size, size, 3), of the pixels `rgb` (h, w, 3); halves are rounded up.

    A box wholly beyond the last pixel, as at the edge of a level that is a fraction of a pixel short, is that pixel.
    """
    out = np.empty((size, size, 3), np.uint8)
    compiled()(np.ascontiguousarray(rgb), *shares(down, size), *shares(across, size), out)
    return out


@lru_cache(maxsize=512)
def shares(window: Window, size: int) -> tuple[Ints, F32]:
    """For each of `size` boxes: its first pixel, int64 (size,), and the share of it and the next ones, (size, taps)."""
    edges = np.clip(window.start + np.arange(size + 1) * (window.width / size), 0, window.pixels)
    low, high = edges[:-1], edges[1:]
    first = np.minimum(np.floor(low).astype(np.int64), window.pixels - 1)
    taps = int(np.max(np.ceil(high).astype(np.int64) - first, initial=1))
    first = np.minimum(first, window.pixels - taps)
    pixel = first[:, None] + np.arange(taps)
    share = np.clip(np.minimum(high[:, None], pixel + 1) - np.maximum(low[:, None], pixel), 0, None)
    share[share.sum(axis=1) < 1e-6, -1] = 1.0
    return first, (share / share.sum(axis=1, keepdims=True)).astype(np.float32)


@lru_cache(maxsize=1)
def compiled() -> Callable[..., None]:
    """`_weighted` in machine code, without the interpreter lock; compiled anew where nothing can be kept on disk."""
    from numba import njit

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    try:
        found: Callable[..., None] = njit(_SIGNATURE, cache=True, **options)(_weighted)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        found = njit(_SIGNATURE, **options)(_weighted)
    return found


def _weighted(rgb: U8, first_y: Ints, share_y: F32, first_x: Ints, share_x: F32, out: U8) -> None:
    # Row by row: first down, into floats, then across. Indices without sign spare numba the test for negative
    # ones, which would keep it from using vectors: 0.41 ms a tile instead of 0.24.
    three, one, two = np.uintp(3), np.uintp(1), np.uintp(2)
    row, sums = np.empty(rgb.shape[1] * 3, np.float32), np.empty(out.shape[1] * 3, np.float32)
    for i in range(out.shape[0]):
        for tap in range(share_y.shape[1]):
            share, line = share_y[i, tap], rgb[first_y[i] + tap].reshape(-1)
            if tap == 0:
                for k in range(line.shape[0]):
                    row[k] = share * np.float32(np.int32(line[k]))
            elif share > 0:
                for k in range(line.shape[0]):
                    row[k] += share * np.float32(np.int32(line[k]))
        for j in range(out.shape[1]):
            at, to = three * np.uintp(first_x[j]), three * np.uintp(j)
            red = green = blue = np.float32(0.5)
            for tap in range(share_x.shape[1]):
                share = share_x[j, tap]
                red += share * row[at]
                green += share * row[at + one]
                blue += share * row[at + two]
                at += three
            sums[to], sums[to + one], sums[to + two] = red, green, blue
        written = out[i].reshape(-1)
        for k in range(written.shape[0]):
            written[k] = np.uint8(np.int32(sums[k]))
