"""The pixels of one tile: read from the chosen level with what the kernel needs around it, resampled to the tile size.

A tile's window on a coarser level may start and end between pixels; the kernels take it
where it is, so no tile is shifted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wsi_features.geometry import Region
from wsi_features.slides.slide import Pixels, Slide
from wsi_features.tiles.area import Window
from wsi_features.tiles.grid import TileScale
from wsi_features.tiles.kernels import Interpolation, margin, resampled


def tile_pixels(slide: Slide, x: int, y: int, scale: TileScale, interpolation: Interpolation = "area") -> Pixels:
    """The tile at level-0 position (x, y), rgb uint8 (size, size, 3); coverage is that of its own pixels.

    Kernels wider than a pixel see the slide around the tile. Where that is not wholly there, at the
    slide's edge or beside damage and unscanned parts, the tile's own pixels are all that is used.
    """
    size, level = scale.size, slide.levels[scale.level]
    across = _Axis.of(x, scale.span, scale.downsample_x, level.size.width)
    down = _Axis.of(y, scale.span, scale.downsample_y, level.size.height)
    # A reader that cannot start at every pixel of a level may start up to one before, and then ends before the tile.
    after = 0 if level.downsample.is_integer() else 1
    copied = not after and across.copied(size) and down.copied(size)
    around = 0 if copied else margin(interpolation, max(across.width, down.width) / size)
    read, region = _read(slide, scale.level, across, down, around, after)
    if read.status == "unreadable":
        blank = np.full((size, size, 3), 255, np.uint8)
        return Pixels(blank, 0.0, read.status, read.reason)
    left, top = region.x + read.shift[0], region.y + read.shift[1]
    in_x = Window(region.width, across.start - left, across.width)
    in_y = Window(region.height, down.start - top, down.width)
    return Pixels(resampled(read.rgb, in_x, in_y, size, interpolation), read.coverage, read.status, read.reason)


@dataclass(frozen=True, slots=True)
class _Axis:
    """A tile along one axis of a level of `extent` pixels: its exact `start` and `width`, and the pixels it touches."""

    start: float
    width: float
    first: int
    last: int
    extent: int

    @classmethod
    def of(cls, position: int, span: int, downsample: float, extent: int) -> _Axis:
        # A level may be a fraction of a pixel smaller than the slide: its last pixel then stands for the rest.
        start, width = position / downsample, span / downsample
        first = min(math.floor(start), extent - 1)
        last = max(first + 1, min(math.ceil(start + width - 1e-9), extent))
        return cls(start, width, first, last, extent)

    def copied(self, size: int) -> bool:
        """Whether the tile is the level's own pixels, one to one."""
        return self.start.is_integer() and self.width == size

    def widened(self, before: int, after: int) -> tuple[int, int]:
        """First pixel and number of pixels with some beside the tile, as far as the level has them."""
        first = max(0, self.first - before)
        return first, min(self.extent, self.last + after) - first


def _read(slide: Slide, level: int, across: _Axis, down: _Axis, around: int, after: int) -> tuple[Pixels, Region]:
    """The tile with `around` pixels on each side and `after` more, or alone where those are not all there."""
    wide, alone = _region(across, down, around, around + after), _region(across, down, 0, 0)
    read = slide.read(wide, level)
    if wide == alone or read.coverage == 1:
        return read, wide
    return slide.read(alone, level), alone


def _region(across: _Axis, down: _Axis, before: int, after: int) -> Region:
    (x, width), (y, height) = across.widened(before, after), down.widened(before, after)
    return Region(x, y, width, height)
