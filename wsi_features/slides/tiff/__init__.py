"""Tiled TIFFs without another library between file and decoder: the direct reader of Aperio, plain and OME files.

`tiff_index` gives the tables of a file, or why another reader must take it; `decoded` gives one compressed tile;
`TiffReader` puts regions together.
"""

from wsi_features.slides.tiff.decode import decoded
from wsi_features.slides.tiff.ifd import DamagedTiffError
from wsi_features.slides.tiff.index import TiffIndex, tiff_index
from wsi_features.slides.tiff.level import TiffLevel, TileState
from wsi_features.slides.tiff.reader import TiffReader

__all__ = ["DamagedTiffError", "TiffIndex", "TiffLevel", "TiffReader", "TileState", "decoded", "tiff_index"]
