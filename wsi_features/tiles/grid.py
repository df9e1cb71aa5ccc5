"""The tile grid: where every tile of one slide lies, and at which scale it is read.

A grid is a value. It opens no slide and touches no disk, so the same inputs give
the same grid on any machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from wsi_features.errors import ResolutionError
from wsi_features.geometry import Mpp, Region, Size, SlidePx

Downsample = float | tuple[float, float]
"""Level-0 pixels per pixel of a level: one number, or one along x and one along y."""


@dataclass(frozen=True, slots=True)
class TileScale:
    """How one tile is read: `span` level-0 pixels wide, delivered as `size` pixels.

    `level` is the pyramid level read, `downsample_x` and `downsample_y` its true level-0 pixels per
    pixel, which may differ from what its reader states. `resize` is delivered pixels per pixel read:
    1 when read one to one, more than 1 when enlarged.
    """

    native: Mpp
    asked: Mpp
    size: int
    span: SlidePx
    step: SlidePx
    level: int
    downsample_x: float
    downsample_y: float

    @property
    def downsample(self) -> float:
        """Mean over both axes; they differ by less than a pixel of the level over its whole length."""
        return (self.downsample_x + self.downsample_y) / 2

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

    `columns` float32 (b, c) is what was measured on the pixels as they were read; c is 0 where nothing was.

    An invalid tile keeps its place with filler pixels, and its features are never stored.
    `problems` says why, one text per invalid tile, in row order.
    """

    pixels: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]
    valid: npt.NDArray[np.bool_]
    problems: tuple[str, ...] = ()
    columns: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))


def tile_scale(  # noqa: PLR0913 - the fields of a tile recipe, by name
    slide_id: str,
    downsamples: Sequence[Downsample],
    *,
    native: float,
    asked: float,
    size: int,
    overlap: int = 0,
    tolerance: float = 0.05,
    upsample: bool = False,
) -> TileScale:
    """Choose span and level for tiles of `size` pixels at `asked` microns per pixel.

    A slide up to `tolerance` coarser than asked is read one to one, and so is one whose
    footprint differs from one to one by less than a pixel: whole spans cannot come
    nearer, and resampling would only blur. A still coarser slide is enlarged where `upsample`
    allows it. The level is the coarsest that is not coarser than the tile. Raises ResolutionError.
    """
    coarse = native > asked * (1 + tolerance)
    if coarse and not upsample:
        raise ResolutionError.too_coarse(slide_id, native=native, wanted=asked, tolerance=tolerance)
    exact = size * asked / native
    span = size if exact < size + 1 and not coarse else max(1, round(exact))
    step = max(1, round(span * (size - overlap) / size))
    return _at_level(downsamples, native, asked, size, span, step)


def scale_of_span(  # noqa: PLR0913 - as above
    slide_id: str,
    downsamples: Sequence[Downsample],
    *,
    native: float,
    asked: float,
    size: int,
    span: int,
    step: int,
    tolerance: float = 0.05,
    upsample: bool = False,
) -> TileScale:
    """The scale of tiles whose `span` in level-0 pixels is given, and kept to the pixel, as for tiles of a list.

    `asked` is only recorded. Tiles of fewer pixels than `size` are refused as in `tile_scale`. Raises ResolutionError.
    """
    if size > span * (1 + tolerance) and not upsample:
        raise ResolutionError.too_few_pixels(slide_id, span=span, size=size)
    return _at_level(downsamples, native, asked, size, span, step)


def _at_level(
    downsamples: Sequence[Downsample], native: float, asked: float, size: int, span: int, step: int
) -> TileScale:
    """The coarsest level that is not coarser than the tile."""
    axes = [d if isinstance(d, tuple) else (d, d) for d in downsamples]
    level = max(i for i, pair in enumerate(axes) if i == 0 or span / max(pair) > size - 0.5)
    return TileScale(Mpp(native), Mpp(asked), size, SlidePx(span), SlidePx(step), level, *axes[level])


def usable_bounds(slide: Size, bounds: Region | None) -> Region | None:
    """The part of `bounds` that lies on a slide of `slide` level-0 pixels; None where there is none.

    Files state scanned areas that reach beyond the slide, lie beside it or are empty.
    """
    if bounds is None:
        return None
    left, top = max(bounds.x, 0), max(bounds.y, 0)
    right, bottom = min(bounds.x + bounds.width, slide.width), min(bounds.y + bounds.height, slide.height)
    if left >= right or top >= bottom:
        return None
    return Region(left, top, right - left, bottom - top)


def regular_grid(slide: Size, scale: TileScale, bounds: Region | None = None) -> TileGrid:
    """Cover a slide of `slide` level-0 pixels, or the usable part of `bounds`, with tiles.

    Tiles run row by row from the top-left corner, where the index is (0, 0); a tile that
    would cross the right or bottom edge is left out, since part of it would be invented.
    """
    area = usable_bounds(slide, bounds) or Region(0, 0, slide.width, slide.height)
    xs = np.arange(area.x, area.x + area.width - scale.span + 1, scale.step, dtype=np.int64)
    ys = np.arange(area.y, area.y + area.height - scale.span + 1, scale.step, dtype=np.int64)
    columns, rows = np.tile(np.arange(len(xs)), len(ys)), np.repeat(np.arange(len(ys)), len(xs))
    origins = np.stack([xs[columns], ys[rows]], axis=1)
    index = np.stack([columns, rows], axis=1).astype(np.int32)
    return TileGrid(origins, index, scale.span, scale.size)
