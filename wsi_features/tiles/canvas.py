"""The canvas: a whole slide at one resolution, read in windows of any place and size.

Every canvas pixel is the exact average of the box of level pixels that it covers, so it is the same whichever window
it is read with. The whole slide maps onto the whole canvas, as it does onto a thumbnail.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TileReadError
from wsi_features.geometry import Region, Size
from wsi_features.slides import Slide
from wsi_features.tiles.area import Window, compiled, shares

_MOST_PIXELS = 16_000_000
"""Level pixels read at once: 48 MB. A slide without coarse levels has 1,600 for each canvas pixel at 10 um/px."""

_SLACK = 1.005
"""A level that is coarser by less than this is read nevertheless: levels are cut to whole pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """`slide` seen at `size` pixels, by way of `level`."""

    slide_id: str
    slide: Slide
    level: int
    size: Size

    @classmethod
    def of(cls, slide_id: str, slide: Slide, native: float, wanted: float) -> Canvas:
        """The slide at `wanted` um/px, its level 0 having `native`; never enlarged."""
        shrink = max(1.0, wanted / native)
        whole = slide.levels[0].size
        size = Size(max(1, round(whole.width / shrink)), max(1, round(whole.height / shrink)))
        level = max(i for i, found in enumerate(slide.levels) if i == 0 or found.downsample <= shrink * _SLACK)
        return cls(slide_id, slide, level, size)

    def read(self, x: int, y: int, width: int, height: int) -> npt.NDArray[np.uint8]:
        """RGB uint8 (height, width, 3) of the box at `x`, `y`, which lies on the canvas; not scanned is white.

        Raises TileReadError where the file is damaged.
        """
        out = np.empty((height, width, 3), np.uint8)
        level = self.slide.levels[self.level].size
        pixels = (width * level.width / self.size.width) * (height * level.height / self.size.height)
        step = max(1, height // math.ceil(pixels / _MOST_PIXELS))
        for top in range(0, height, step):
            self._fill(out[top : top + step], x, y + top)
        return out

    def _fill(self, out: npt.NDArray[np.uint8], x: int, y: int) -> None:
        level = self.slide.levels[self.level].size
        left, across = _covered(x, out.shape[1], level.width, self.size.width)
        top, down = _covered(y, out.shape[0], level.height, self.size.height)
        pixels = self.slide.read(Region(left, top, across.pixels, down.pixels), self.level)
        if pixels.status == "unreadable":
            raise TileReadError.region(self.slide_id, self.level, left, top, pixels.reason)
        right, below = (
            Window(w.pixels, w.start - s, w.width) for w, s in zip((across, down), pixels.shift, strict=True)
        )
        rgb = np.ascontiguousarray(pixels.rgb)
        compiled()(rgb, *shares(below, out.shape[0]), *shares(right, out.shape[1]), out)


def _covered(start: int, length: int, level: int, canvas: int) -> tuple[int, Window]:
    """The first level pixel of some canvas pixels along one axis, and where between the pixels read they lie.

    One more is read: some readers start up to a pixel before the place that was asked for.
    """
    scale = level / canvas
    low, high = start * scale, min((start + length) * scale, float(level))
    first = min(int(low), level - 1)
    last = min(max(math.ceil(high - 1e-6), first + 1) + 1, level)
    return first, Window(last - first, low - first, high - low)
