"""Feature stores: one verified Zarr directory per slide and encoder; see FORMAT.md.

Names are imported without loading zarr: it is loaded when arrays are written or read.
"""

from wsi_features.store.content import StoreContent
from wsi_features.store.provenance import Provenance
from wsi_features.store.raw import RawArray, Verify, raw_array
from wsi_features.store.reader import FeatureStore, find_stores, is_complete
from wsi_features.store.work import abandoned, sweep
from wsi_features.store.writer import StoreWriter

__all__ = [
    "FeatureStore",
    "Provenance",
    "RawArray",
    "StoreContent",
    "StoreWriter",
    "Verify",
    "abandoned",
    "find_stores",
    "is_complete",
    "raw_array",
    "sweep",
]
