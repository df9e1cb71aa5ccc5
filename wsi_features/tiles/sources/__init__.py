"""Where tiles come from besides the regular grid: lists, random positions, and grids that belong together.

Everything here takes arrays and gives arrays, and knows neither slides nor masks; stages bring them together.
"""

from wsi_features.tiles.sources.h5 import read_h5
from wsi_features.tiles.sources.listed import Listed, place, read_list, span_of
from wsi_features.tiles.sources.nested import complete, context_fits, context_origins, parents, region_columns
from wsi_features.tiles.sources.positions import grid_at
from wsi_features.tiles.sources.random_tiles import random_origins, random_subset
from wsi_features.tiles.sources.sheets import read_sheet
from wsi_features.tiles.sources.tile_list import TileList

__all__ = [
    "Listed",
    "TileList",
    "complete",
    "context_fits",
    "context_origins",
    "grid_at",
    "parents",
    "place",
    "random_origins",
    "random_subset",
    "read_h5",
    "read_list",
    "read_sheet",
    "region_columns",
    "span_of",
]
