"""The tables that belong to one table of tiles: its parents in coarser grids, and its contexts, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region, SlidePx
from wsi_features.stages.tile_sources import scale_given, without
from wsi_features.tiles import TileGrid, TileRecipe, TileTable, TileView
from wsi_features.tiles.sources import context_fits, context_origins, parents
from wsi_features.tissue import TissueMask

PARENT = "parent"
"""The column that holds the row of a tile's parent in the next coarser store."""


def context_reach(recipe: TileRecipe) -> float:
    """How far contexts reach beyond their tiles, in tile widths."""
    return (max(recipe.factors) - 1) / 2 if recipe.nested == "context" else 0.0


def with_context(table: TileTable, recipe: TileRecipe, area: Region) -> TileTable:
    """The tiles whose contexts lie wholly in the scanned area; all of them where none are asked for."""
    if recipe.nested != "context":
        return table
    fits = context_fits(table.grid.origins, table.grid.span, max(recipe.factors), area)
    return without(table, fits, "with a context beyond the slide")


def with_parents(table: TileTable, recipe: TileRecipe) -> TileTable:
    """With the row of each tile's parent in the next coarser grid, where the recipe asks for parents."""
    if recipe.nested != "parents":
        return table
    _, rows = parents(table.grid, recipe.factors[0])
    return replace(table, extra={**table.extra, PARENT: rows})


def parent_view(table: TileTable, about: dict[str, Any], mask: TissueMask, recipe: TileView) -> TileTable:
    """The parents of the tiles of a table, `zoom` times as wide, with the rows of their own parents where there are any."""
    grid, _ = parents(table.grid, recipe.zoom)
    coarser = recipe.coarser()
    extra = {} if coarser is None else {PARENT: parents(grid, coarser.zoom // recipe.zoom)[1]}
    return _view(table, grid, about, mask, recipe, extra)


def context_view(table: TileTable, about: dict[str, Any], mask: TissueMask, recipe: TileView) -> TileTable:
    """A tile `zoom` times as wide around each tile of a table: row i of both belong together, with all its columns."""
    own = table.grid
    corners = context_origins(own.origins, own.span, recipe.zoom)
    grid = TileGrid(corners, own.index, SlidePx(own.span * recipe.zoom), own.size)
    return _view(table, grid, about, mask, recipe, table.extra)


def _view(
    table: TileTable,
    grid: TileGrid,
    about: dict[str, Any],
    mask: TissueMask,
    recipe: TileView,
    extra: Mapping[str, npt.NDArray[Any]],
) -> TileTable:
    step = table.scale.step * (recipe.zoom if recipe.view == "parent" else 1)
    scale = scale_given(about, recipe, grid.span, step, recipe.zoom)
    share = mask.share(grid.origins, grid.span).astype(np.float32)
    return replace(table, grid=grid, scale=scale, tissue_share=share, candidates=len(grid), extra=extra, dropped={})
