"""Which tiles of a slide are taken: those that its source names, met with its mask, and the tiles that belong to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from wsi_features.geometry import Region
from wsi_features.stages.nesting import context_reach, context_view, parent_view, with_context, with_parents
from wsi_features.stages.tile_sources import grid_tiles, level_0, listed_tiles, random_tiles
from wsi_features.tiles import TileRecipe, TileTable, TileView, usable_bounds
from wsi_features.tiles.sources import TileList, random_subset
from wsi_features.tissue import TissueMask

Restriction = Callable[[TileTable], TileTable]
"""Leaves out tiles of a table, for what is drawn on the slide or for their number."""


def tissue_tiles(
    about: dict[str, Any],
    mask: TissueMask,
    recipe: TileRecipe,
    fingerprint: str = "",
    listed: TileList | None = None,
    restricted: Restriction | None = None,
) -> TileTable:
    """The tiles of a slide whose preflight is `about`; `recipe` is resolved, without `auto`.

    They are those of the list where there is one, else those of the recipe's source that have enough tissue; of these
    `restricted` takes its part, before parents and contexts are laid around them. Raises
    ResolutionError when the slide is too coarse for them, and CoordinatesError.
    """
    base = recipe.base() if isinstance(recipe, TileView) else recipe
    table = replace(_chosen(about, mask, base, listed), fingerprint=fingerprint)
    table = restricted(table) if restricted is not None else table
    if not isinstance(recipe, TileView):
        return with_parents(table, base)
    view = parent_view if recipe.view == "parent" else context_view
    return view(table, about, mask, recipe)


def _chosen(about: dict[str, Any], mask: TissueMask, recipe: TileRecipe, listed: TileList | None) -> TileTable:
    """The tiles at the recipe's own resolution."""
    stated = Region(**about["bounds"]) if about["bounds"] else None
    slide = level_0(about)
    bounds = usable_bounds(slide, stated) if recipe.bounds == "honour" else None
    if listed is not None or recipe.source == "coordinates":
        table = listed_tiles(about, mask, recipe, listed)
    elif recipe.source == "random":
        return random_tiles(about, mask, recipe, bounds, context_reach(recipe))
    else:
        table = grid_tiles(about, mask, recipe, bounds)
    return _sampled(with_context(table, recipe, bounds or Region(0, 0, slide.width, slide.height)), recipe)


def _sampled(table: TileTable, recipe: TileRecipe) -> TileTable:
    """A random part of the tiles where the recipe asks for one, with the order in which they were drawn."""
    if not recipe.sample:
        return table
    drawn = random_subset(len(table), recipe.sample, recipe.seed)
    order = np.full(len(table), -1, np.int64)
    order[drawn] = np.arange(len(drawn))
    return replace(table, extra={**table.extra, "drawn": order}).keep(order >= 0)
