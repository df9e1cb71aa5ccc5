"""Tiles: the grid, the scale they are read at, their pixels, and the stream of batches."""

from wsi_features.tiles.grid import TileBatch, TileGrid, TileScale, regular_grid, tile_scale, usable_bounds
from wsi_features.tiles.recipe import TILES_VERSION, ReadRecipe, TileRecipe, TileView
from wsi_features.tiles.stream import tile_batches
from wsi_features.tiles.table import TileTable, read_tiles, tile_count, write_tiles

__all__ = [
    "TILES_VERSION",
    "ReadRecipe",
    "TileBatch",
    "TileGrid",
    "TileRecipe",
    "TileScale",
    "TileTable",
    "TileView",
    "read_tiles",
    "regular_grid",
    "tile_batches",
    "tile_count",
    "tile_scale",
    "usable_bounds",
    "write_tiles",
]
