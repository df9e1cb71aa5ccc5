"""Grids that belong together: coarser tiles that hold finer ones exactly, whole regions, and wider tiles around tiles.

A parent is `factor` tiles of the finer grid wide and high, so its borders are theirs to the pixel. Parents are counted
from the corner of the finer grid, whose index says which tile is where.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region, SlidePx
from wsi_features.tiles.grid import TileGrid

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def complete(full: TileGrid, factor: int) -> Bools:
    """Which tiles (n,) of a full regular grid lie in a parent that is wholly on it."""
    if not len(full):
        return np.zeros(0, np.bool_)
    whole = (full.index.max(axis=0) + 1) // factor * factor
    return np.asarray((full.index < whole).all(axis=1))


def parents(grid: TileGrid, factor: int) -> tuple[TileGrid, Ints]:
    """The parents of some tiles of a grid without overlap, each once and in raster order, and each tile's row among them (n,)."""
    index = grid.index.astype(np.int64)
    above = index // factor
    across = int(above[:, 0].max(initial=0)) + 1
    _, first, rows = np.unique(above[:, 1] * across + above[:, 0], return_index=True, return_inverse=True)
    corners = grid.origins - index % factor * grid.span
    found = TileGrid(corners[first], above[first].astype(np.int32), SlidePx(grid.span * factor), grid.size)
    return found, rows.reshape(-1).astype(np.int64)


def region_columns(grid: TileGrid, factor: int) -> dict[str, npt.NDArray[np.int64]]:
    """For tiles of whole regions `factor` tiles wide: number of the region, and column and row in it, each (n,).

    Regions are numbered in raster order. Sorted by number, row and column, tiles fall into blocks of factor x factor.
    """
    _, number = parents(grid, factor)
    inside = grid.index.astype(np.int64) % factor
    return {"region": number, "region:column": inside[:, 0], "region:row": inside[:, 1]}


def context_origins(origins: Ints, span: int, factor: int) -> Ints:
    """Top-left corners (n, 2) of tiles `factor` times as wide around the same centres, to half a pixel."""
    return origins - (factor - 1) * span // 2


def context_fits(origins: Ints, span: int, factor: int, area: Region) -> Bools:
    """Which tiles (n,) have their context wholly in an area of the slide: beyond it there would be invented pixels."""
    corners = context_origins(origins, span, factor)
    end = (area.x + area.width, area.y + area.height)
    return np.asarray(((corners >= (area.x, area.y)) & (corners + factor * span <= end)).all(axis=1))
