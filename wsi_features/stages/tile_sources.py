"""The sources of tiles met with a slide: its whole grid, its list, or places drawn at random."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import CoordinatesError
from wsi_features.geometry import Region, Size
from wsi_features.tiles import TileGrid, TileRecipe, TileScale, TileTable, regular_grid, tile_scale
from wsi_features.tiles.grid import scale_of_span
from wsi_features.tiles.sources import (
    TileList,
    complete,
    grid_at,
    parents,
    place,
    random_origins,
    region_columns,
    span_of,
)
from wsi_features.tissue import TissueMask


def level_0(about: dict[str, Any]) -> Size:
    """The slide's size in level-0 pixels."""
    return Size(about["levels"][0]["width"], about["levels"][0]["height"])


def downsamples(about: dict[str, Any]) -> tuple[tuple[float, float], ...]:
    """Level-0 pixels per pixel of each level, along x and y."""
    return tuple((level["downsample_x"], level["downsample_y"]) for level in about["levels"])


def scale_asked(about: dict[str, Any], recipe: TileRecipe) -> TileScale:
    """The scale that the recipe asks for. Raises ResolutionError."""
    assert isinstance(recipe.size, int) and isinstance(recipe.mpp, float)  # noqa: S101, PT018 - resolved from the card
    return tile_scale(
        about["slide_id"],
        downsamples(about),
        native=about["mpp"]["value"],
        asked=recipe.mpp,
        size=recipe.size,
        overlap=recipe.overlap,
        tolerance=recipe.mpp_tolerance,
        upsample=recipe.upsample,
    )


def scale_given(about: dict[str, Any], recipe: TileRecipe, span: int, step: int, zoom: int = 1) -> TileScale:
    """The scale of tiles of a given span. Raises ResolutionError."""
    assert isinstance(recipe.size, int) and isinstance(recipe.mpp, float)  # noqa: S101, PT018 - as above
    return scale_of_span(
        about["slide_id"],
        downsamples(about),
        native=about["mpp"]["value"],
        asked=recipe.mpp * zoom,
        size=recipe.size,
        span=span,
        step=step,
        tolerance=recipe.mpp_tolerance,
        upsample=recipe.upsample,
    )


def whole_grid(about: dict[str, Any], recipe: TileRecipe, bounds: Region | None) -> tuple[TileGrid, TileScale, int]:
    """The regular grid with and without tissue, its scale, and how many tiles it has.

    Where it is to be cut into parents or regions, those that would cross the edge are left out with all their tiles.
    """
    scale = scale_asked(about, recipe)
    grid = regular_grid(level_0(about), scale, bounds)
    total = len(grid)
    if recipe.nested in ("parents", "regions"):
        grid = grid.keep(complete(grid, max(recipe.factors)))
    return grid, scale, total


def grid_tiles(about: dict[str, Any], mask: TissueMask, recipe: TileRecipe, bounds: Region | None) -> TileTable:
    """The tiles of the regular grid with enough tissue, or those of its regions that have enough."""
    grid, scale, total = whole_grid(about, recipe, bounds)
    share = mask.share(grid.origins, scale.span)
    extra: dict[str, Any] = {}
    if recipe.nested == "regions":
        regions, rows = parents(grid, *recipe.factors)
        of_region = mask.share(regions.origins, regions.span)
        keep = ((of_region >= recipe.min_tissue) & (of_region > 0))[rows]
        extra = region_columns(grid.keep(keep), *recipe.factors)
    else:
        keep = (share >= recipe.min_tissue) & (share > 0)
    found = share[keep].astype(np.float32)
    return TileTable(grid.keep(keep), scale, level_0(about), found, total, "", bounds, extra)


def random_tiles(
    about: dict[str, Any], mask: TissueMask, recipe: TileRecipe, bounds: Region | None, reach: float
) -> TileTable:
    """Tiles at random places with enough tissue, `reach` of their widths from every edge of the scanned area at least."""
    size, scale = level_0(about), scale_asked(about, recipe)
    edge = int(np.ceil(reach * scale.span))
    area = bounds or Region(0, 0, size.width, size.height)
    width, height = area.width - 2 * edge, area.height - 2 * edge
    sums = mask.sums()
    drawn = random_origins(
        mask.mask,
        size,
        Region(area.x + edge, area.y + edge, width, height),
        scale.span,
        recipe.sample,
        seed=recipe.seed,
        accepted=lambda corners: mask.share(corners, scale.span, sums) >= recipe.min_tissue,
        overlap=recipe.sample_overlap,
    )
    grid, order = grid_at(drawn, scale.span, scale.size)
    share = mask.share(grid.origins, scale.span).astype(np.float32)
    missing = {"no room": recipe.sample - len(grid)} if len(grid) < recipe.sample else {}
    return TileTable(grid, scale, size, share, recipe.sample, "", bounds, {"drawn": order}, missing)


def listed_tiles(about: dict[str, Any], mask: TissueMask, recipe: TileRecipe, tiles: TileList | None) -> TileTable:
    """The tiles of a slide's list, each as wide as the list says, or else as the recipe does. Raises CoordinatesError."""
    slide_id, size = about["slide_id"], level_0(about)
    if tiles is None:
        raise CoordinatesError.absent(slide_id)
    if recipe.nested in ("parents", "regions"):
        raise CoordinatesError.cannot_nest(slide_id, recipe.nested)
    span = span_of(slide_id, tiles, about["mpp"]["value"])
    step = max(1, round((span or 0) - tiles.overlap))
    scale = scale_asked(about, recipe) if span is None else scale_given(about, recipe, span, step)
    found = place(
        slide_id,
        tiles,
        size,
        span=scale.span,
        size=scale.size,
        at=recipe.coordinates_at,
        faults=recipe.coordinates_faults,
    )
    share = mask.share(found.grid.origins, scale.span)
    rounded = share.astype(np.float32)
    table = TileTable(found.grid, scale, size, rounded, len(tiles), "", None, found.columns, found.dropped)
    return table if recipe.coordinates_keep == "all" else without(table, share >= recipe.min_tissue, "tissue")


def without(table: TileTable, keep: npt.NDArray[np.bool_], reason: str) -> TileTable:
    """The table with the tiles marked in `keep`; the others are counted as dropped."""
    if keep.all():
        return table
    kept = table.keep(keep)
    return replace(kept, dropped={**table.dropped, reason: int((~keep).sum())})
