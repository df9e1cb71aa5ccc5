"""The tile grid: where every tile of one slide lies, and at which scale it is read.

A grid is a value. It opens no slide and touches no disk, so the same inputs give
the same grid on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.errors import ResolutionError
from wsi_features.geometry import Mpp, Size, SlidePx


@dataclass(frozen=True, slots=True)
class TileScale:
    """How one tile is read: `span` level-0 pixels wide, delivered as `size` pixels.

    `level` is the pyramid level read and `downsample` its level-0 pixels per pixel;
    `resize` is delivered pixels per pixel read (1 when read one to one).
    """

    native: Mpp
    asked: Mpp
    size: int
    span: SlidePx
    step: SlidePx
    level: int
    downsample: float

    @property
    def effective(self) -> Mpp:
        """Microns per pixel that the delivered tile really has."""
        return Mpp(self.span * self.native / self.size)

    @property
    def resize(self) -> float:
        """Delivered pixels per pixel read."""
        return self.size * self.downsample / self.span


@dataclass(frozen=True, slots=True, eq=False)
class TileGrid:
    """Top-left corners of square tiles in level-0 pixels, row by row from the top left.

    `origins` int64 (n, 2) holds x, y; `index` int32 (n, 2) the column and row number of
    each tile in the full grid. Each tile spans `span` level-0 pixels and is delivered
    as `size` pixels.
    """

    origins: npt.NDArray[np.int64]
    index: npt.NDArray[np.int32]
    span: SlidePx
    size: int

    def __len__(self) -> int:
        return len(self.origins)

    def keep(self, wanted: npt.NDArray[np.bool_]) -> TileGrid:
        """The grid with only the tiles marked in `wanted` (n,), in the same order."""
        return TileGrid(self.origins[wanted], self.index[wanted], self.span, self.size)


@dataclass(frozen=True, slots=True, eq=False)
class TileBatch:
    """Some tiles' pixels: uint8 (b, size, size, 3), their row numbers (b,) and whether each is valid (b,).

    An invalid tile keeps its place with filler pixels, and its features are never stored.
    `problems` says why, one text per invalid tile, in row order.
    """

    pixels: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]
    problems: tuple[str, ...] = ()


def tile_scale(
    slide_id: str,
    downsamples: tuple[float, ...],
    *,
    native: float,
    asked: float,
    size: int,
    overlap: int = 0,
    tolerance: float = 0.05,
) -> TileScale:
    """Choose span and level for tiles of `size` pixels at `asked` microns per pixel.

    A slide up to `tolerance` coarser than asked is read one to one, and so is one whose
    footprint differs from one to one by less than a pixel: whole spans cannot come
    nearer, and resampling would only blur. The level is the coarsest that is not
    coarser than the tile.
    """
    if native > asked * (1 + tolerance):
        raise ResolutionError.too_coarse(slide_id, native=native, wanted=asked, tolerance=tolerance)
    exact = size * asked / native
    span = size if exact < size + 1 else round(exact)
    step = max(1, round(span * (size - overlap) / size))
    level = max(i for i, d in enumerate(downsamples) if i == 0 or span / d > size - 0.5)
    return TileScale(Mpp(native), Mpp(asked), size, SlidePx(span), SlidePx(step), level, downsamples[level])


def regular_grid(slide: Size, scale: TileScale) -> TileGrid:
    """Cover a slide of `slide` level-0 pixels with tiles.

    Tiles run row by row from the top-left corner; a tile that would cross the right or
    bottom edge is left out, since part of it would be invented.
    """
    xs = np.arange(0, slide.width - scale.span + 1, scale.step, dtype=np.int64)
    ys = np.arange(0, slide.height - scale.span + 1, scale.step, dtype=np.int64)
    columns, rows = np.tile(np.arange(len(xs)), len(ys)), np.repeat(np.arange(len(ys)), len(xs))
    origins = np.stack([xs[columns], ys[rows]], axis=1)
    index = np.stack([columns, rows], axis=1).astype(np.int32)
    return TileGrid(origins, index, scale.span, scale.size)
