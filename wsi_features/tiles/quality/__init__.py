"""Quality columns: what is measured of every tile from its decoded pixels, before stains are normalised.

Columns say what was found and drop nothing; which tiles are used is a mark made of them later.
"""

from wsi_features.tiles.quality.columns import COLUMNS, QUALITY_VERSION, TileOptics, measured_columns, tile_optics
from wsi_features.tiles.quality.recipe import SUGGESTED, Column, Limits, QualityRecipe, limits_from

__all__ = [
    "COLUMNS",
    "QUALITY_VERSION",
    "SUGGESTED",
    "Column",
    "Limits",
    "QualityRecipe",
    "TileOptics",
    "limits_from",
    "measured_columns",
    "tile_optics",
]
