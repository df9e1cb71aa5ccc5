"""Positions that follow no grid, as a grid: in raster order, with an index that tells neighbours where there are any."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import SlidePx
from wsi_features.tiles.grid import TileGrid

Ints = npt.NDArray[np.int64]


def grid_at(origins: Ints, span: int, size: int) -> tuple[TileGrid, Ints]:
    """The grid of tiles at `origins` (n, 2), none twice, and the row of `origins` that each of its tiles is.

    The index is the column and row in the coarsest regular grid that holds all positions: the own one of a list that
    was cut from a grid, and level-0 pixels in the extreme.
    """
    order = np.lexsort((origins[:, 0], origins[:, 1]))
    ordered = origins[order]
    index = np.stack([_index(ordered[:, 0]), _index(ordered[:, 1])], axis=1).astype(np.int32)
    return TileGrid(ordered, index, SlidePx(span), size), order


def _index(values: Ints) -> Ints:
    if not len(values):
        return values
    beyond = values - values.min()
    pitch = int(np.gcd.reduce(beyond))
    return np.asarray(beyond // max(1, pitch))
