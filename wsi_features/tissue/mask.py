"""The tissue mask: which parts of one slide are tissue, and how much of a box they fill.

A mask is a value. It does not know how it was made and reads no file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size, area_mm2


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """`mask` bool (h, w) laid over a whole slide of `slide` level-0 pixels, from corner to corner.

    A mask pixel is `scale_x` by `scale_y` level-0 pixels; the two differ a little
    because a slide's sides are no exact multiple of the thumbnail's.
    """

    mask: npt.NDArray[np.bool_]
    slide: Size

    def __post_init__(self) -> None:
        if self.mask.ndim != 2 or self.mask.dtype != np.bool_:
            raise ValueError(f"a tissue mask is bool (h, w), got {self.mask.dtype} {self.mask.shape}")
        if not self.mask.size or not self.slide.area:
            raise ValueError(f"a tissue mask needs pixels, got {self.mask.shape} on {self.slide}")

    @property
    def size(self) -> Size:
        """Width and height in mask pixels."""
        height, width = self.mask.shape
        return Size(width, height)

    @property
    def scale_x(self) -> float:
        """Level-0 pixels per mask pixel along x."""
        return self.slide.width / self.size.width

    @property
    def scale_y(self) -> float:
        """Level-0 pixels per mask pixel along y."""
        return self.slide.height / self.size.height

    @property
    def is_empty(self) -> bool:
        """Whether there is no tissue at all."""
        return not self.mask.any()

    def area_mm2(self, mpp: float) -> float:
        """Tissue area in square millimetres, at `mpp` microns per level-0 pixel."""
        return area_mm2(int(self.mask.sum()) * self.scale_x * self.scale_y, mpp)

    def sums(self) -> npt.NDArray[np.int64]:
        """What `share` looks boxes up in; whoever asks many times hands it in."""
        return _summed_area(self.mask)

    def share(
        self, origins: npt.NDArray[np.int64], span: int, sums: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.float64]:
        """Tissue share, 0 to 1, of n boxes that are `span` level-0 pixels wide and high.

        `origins` int64 (n, 2) holds the boxes' top-left x, y in level-0 pixels. The share is
        exact: a mask pixel cut by a box's edge counts with the part inside, and a box full
        of tissue gives exactly 1. Raises ValueError for a box that leaves the slide.
        """
        if span < 1:
            raise ValueError(f"a box spans at least one pixel, got {span}")
        if len(origins) == 0:
            return np.zeros(0)
        low, high = origins.min(axis=0), origins.max(axis=0) + span
        if low.min() < 0 or high[0] > self.slide.width or high[1] > self.slide.height:
            found = f"x {low[0]} to {high[0]}, y {low[1]} to {high[1]}"
            raise ValueError(f"boxes span {found}, beyond the slide of {self.slide.width} x {self.slide.height}")
        x, y = origins.astype(np.int64).T
        table = self.sums() if sums is None else sums
        covered = (
            self._tissue_before(table, x + span, y + span)
            - self._tissue_before(table, x, y + span)
            - self._tissue_before(table, x + span, y)
            + self._tissue_before(table, x, y)
        )
        return covered / (span * span * self.size.area)

    def _tissue_before(
        self, table: npt.NDArray[np.int64], x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Tissue left of x and above y, in units of (1 / slide width) x (1 / slide height) of a mask pixel.

        In these units every edge is a whole number, so the sums are exact. A huge slide can
        wrap int64 around here, which cancels in the difference: what lies in one box fits.
        """
        column, right = np.divmod(x * self.size.width, self.slide.width)
        row, down = np.divmod(y * self.size.height, self.slide.height)
        left, up = self.slide.width - right, self.slide.height - down
        above = table[row, column] * left + table[row, column + 1] * right
        below = table[row + 1, column] * left + table[row + 1, column + 1] * right
        return np.asarray(above * up + below * down)


def mask_mpp(slide: Size, thumbnail: Size, native: float) -> float:
    """Microns per pixel of a thumbnail of the whole slide, whose level 0 has `native`.

    The geometric mean of both axes, so that areas are exact.
    """
    return native * float(np.sqrt(slide.area / thumbnail.area))


def _summed_area(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Tissue pixels above and left of each corner, int64 (h + 2, w + 2).

    The last row and column repeat, so that the far edge can be looked up like any other.
    """
    sums = np.pad(mask, ((1, 1), (1, 1))).astype(np.int64)
    return sums.cumsum(axis=0).cumsum(axis=1)
