"""Features of tiatoolbox: a Zarr group whose positions are pixels of the resolution that was asked for.

Nothing in it says which resolution that was, so whoever imports has to.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsi_features.cohort.imports.foreign import Foreign
from wsi_features.errors import ImportedFileError, StoreError
from wsi_features.store.arrays import StoredArray


def tiatoolbox(slide_id: str, path: Path, tile_mpp: float | None) -> Foreign:
    """`features` (n, d) and `coordinates` (n, 4): left, top, right, bottom."""
    if tile_mpp is None:
        what = "the microns per pixel that its positions are in"
        raise ImportedFileError.needs(slide_id, str(path), what, "--tile-mpp")
    try:
        features, boxes = StoredArray(path, "features"), StoredArray(path, "coordinates")[:].astype(np.float64)
        shape = features.shape
    except StoreError as error:
        raise ImportedFileError.unreadable(slide_id, str(path), str(error)) from error
    if boxes.shape != (shape[0], 4):
        raise ImportedFileError.unreadable(slide_id, str(path), f"coordinates {boxes.shape} of features {shape}")
    sides = np.unique(boxes[:, 2:] - boxes[:, :2])
    if len(sides) > 1:
        raise ImportedFileError.unreadable(
            slide_id, str(path), f"tiles are {sides.tolist()[:5]} px wide, not all alike"
        )
    side = int(sides[0]) if len(sides) else None
    return Foreign((path,), features, boxes[:, :2], unit="tile px", span=side, tile_px=side, tile_mpp=tile_mpp)
