"""The pixels of one tile: read from the chosen level, averaged by area to the tile size.

A tile's window on a coarser level may start and end between pixels. Its share of
every pixel is then the weight of that pixel, so no tile is shifted.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region
from wsi_features.slides.slide import Pixels, Slide
from wsi_features.tiles.grid import TileScale


def tile_pixels(slide: Slide, x: int, y: int, scale: TileScale) -> Pixels:
    """The tile at level-0 position (x, y), rgb uint8 (size, size, 3)."""
    level = slide.levels[scale.level]
    across = _Window.of(x, scale, level.size.width)
    down = _Window.of(y, scale, level.size.height)
    region = Region(across.first, down.first, across.pixels, down.pixels)
    read = slide.read(region, scale.level)
    if read.status == "unreadable":
        blank = np.full((scale.size, scale.size, 3), 255, np.uint8)
        return Pixels(blank, 0.0, read.status, read.reason)
    across, down = across.moved(read.shift[0]), down.moved(read.shift[1])
    return Pixels(_resampled(read.rgb, across, down, scale.size), read.coverage, read.status, read.reason)


class _Window:
    """Where a tile lies along one axis of a level: whole pixels to read, and its exact start and width in them."""

    __slots__ = ("first", "pixels", "start", "width")

    def __init__(self, first: int, pixels: int, start: float, width: float) -> None:
        self.first, self.pixels, self.start, self.width = first, pixels, start, width

    @classmethod
    def of(cls, position: int, scale: TileScale, extent: int) -> _Window:
        # A level may be a fraction of a pixel smaller than the slide: its last pixel then stands for the rest.
        start, width = position / scale.downsample, scale.span / scale.downsample
        first = min(math.floor(start), extent - 1)
        last = min(math.ceil(start + width - 1e-9) + (not scale.downsample.is_integer()), extent)
        return cls(first, max(1, last - first), start - first, width)

    def moved(self, shift: float) -> _Window:
        """The same tile in pixels that start `shift` beside the first one asked for."""
        return _Window(self.first, self.pixels, self.start - shift, self.width)

    @property
    def whole(self) -> bool:
        """Whether it starts and ends on pixel borders."""
        return self.start == 0 and self.width == self.pixels


def _resampled(rgb: npt.NDArray[np.uint8], across: _Window, down: _Window, size: int) -> npt.NDArray[np.uint8]:
    import cv2

    if across.whole and down.whole:
        if rgb.shape[:2] == (size, size):
            return rgb
        return np.asarray(cv2.resize(rgb, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
    rows = _averaged(rgb.astype(np.float32), down, size)
    columns = _averaged(rows.transpose(1, 0, 2), across, size)
    return np.ascontiguousarray(np.rint(columns.transpose(1, 0, 2)).astype(np.uint8))


def _averaged(values: npt.NDArray[np.float32], window: _Window, size: int) -> npt.NDArray[np.float32]:
    """Area average along the first axis: (n, ...) becomes (size, ...)."""
    edges = window.start + np.arange(size + 1) * (window.width / size)
    edges = np.clip(edges, 0, window.pixels)
    low, high = edges[:-1], edges[1:]
    first = np.minimum(np.floor(low).astype(np.int64), window.pixels - 1)
    taps = int(np.max(np.ceil(high).astype(np.int64) - first, initial=1))
    out = np.zeros((size, *values.shape[1:]), np.float32)
    total = np.zeros(size)
    for tap in range(taps):
        pixel = np.minimum(first + tap, window.pixels - 1)
        share = np.clip(np.minimum(high, first + tap + 1) - np.maximum(low, first + tap), 0, None)
        total += share
        out += share.astype(np.float32)[:, None, None] * values[pixel]
    # At the edge of a level that is a fraction of a pixel short, its last pixel stands for the rest.
    beyond = total < 1e-6
    out[beyond], total[beyond] = values[first[beyond]], 1.0
    return np.divide(out, total[:, None, None], dtype=np.float32, casting="same_kind")
