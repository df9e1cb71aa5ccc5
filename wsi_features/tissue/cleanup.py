"""What all methods do to a mask in the end: close gaps, drop small pieces, fill small holes."""

from __future__ import annotations

from wsi_features.tissue.recipe import TissueRecipe
from wsi_features.tissue.segment import Mask, close_gaps, without_small


def cleaned(mask: Mask, mpp: float, recipe: TissueRecipe) -> Mask:
    """The mask bool (h, w) with gaps closed, then without pieces and holes below the recipe's least areas."""
    closed = close_gaps(mask, recipe.closing_diameter_um / mpp)
    return without_small(closed, min_piece=recipe.min_area_um2 / mpp**2, min_hole=recipe.min_hole_um2 / mpp**2)
