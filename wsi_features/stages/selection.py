"""Which tiles of a slide hold tissue: the grid over its scanned area, met with its mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from wsi_features.geometry import Region, Size
from wsi_features.tiles import TileRecipe, TileTable, regular_grid, tile_scale, usable_bounds
from wsi_features.tissue import TissueMask


def tissue_tiles(about: dict[str, Any], mask: TissueMask, recipe: TileRecipe, fingerprint: str = "") -> TileTable:
    """The tiles with enough tissue of a slide whose preflight is `about`; `recipe` is resolved, without `auto`.

    Raises ResolutionError when the slide is too coarse for them.
    """
    levels = about["levels"]
    size = Size(levels[0]["width"], levels[0]["height"])
    assert isinstance(recipe.size, int) and isinstance(recipe.mpp, float)  # noqa: S101, PT018 - resolved from the card
    scale = tile_scale(
        about["slide_id"],
        [(level["downsample_x"], level["downsample_y"]) for level in levels],
        native=about["mpp"]["value"],
        asked=recipe.mpp,
        size=recipe.size,
        overlap=recipe.overlap,
        tolerance=recipe.mpp_tolerance,
        upsample=recipe.upsample,
    )
    stated = Region(**about["bounds"]) if about["bounds"] else None
    bounds = usable_bounds(size, stated) if recipe.bounds == "honour" else None
    grid = regular_grid(size, scale, bounds)
    share = mask.share(grid.origins, scale.span)
    keep = (share >= recipe.min_tissue) & (share > 0)
    return TileTable(grid.keep(keep), scale, size, share[keep].astype(np.float32), len(grid), fingerprint, bounds)
