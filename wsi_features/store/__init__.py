"""Feature stores: one verified Zarr directory per slide and encoder; see FORMAT.md.

Names are imported without loading zarr: it is loaded when arrays are written or read.
"""

from wsi_features.store.checks import checked
from wsi_features.store.claim import Claim, Claims
from wsi_features.store.content import StoreContent
from wsi_features.store.layout import bytes_of_store
from wsi_features.store.provenance import Provenance
from wsi_features.store.raw import RawArray, Verify, raw_array
from wsi_features.store.reader import (
    FORMS,
    FeatureStore,
    find_stores,
    in_any_form,
    is_complete,
    slide_of,
    stated_attributes,
)
from wsi_features.store.resume import bytes_of_work, sweep_finished, work_left
from wsi_features.store.work import abandoned, sweep
from wsi_features.store.writer import StoreWriter

__all__ = [
    "FORMS",
    "Claim",
    "Claims",
    "FeatureStore",
    "Provenance",
    "RawArray",
    "StoreContent",
    "StoreWriter",
    "Verify",
    "abandoned",
    "bytes_of_store",
    "bytes_of_work",
    "checked",
    "find_stores",
    "in_any_form",
    "is_complete",
    "raw_array",
    "slide_of",
    "stated_attributes",
    "sweep",
    "sweep_finished",
    "work_left",
]
