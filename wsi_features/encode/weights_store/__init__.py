"""The weights registry: local files of weights by their SHA-256, with source, revision, licence and date.

`hub` is the one module of the package that opens a connection, and only `wsi-features weights fetch` uses it.
"""

from wsi_features.encode.weights_store.folder import BadRecord, Entry, named_digest
from wsi_features.encode.weights_store.record import AnyCard, CheckedCard, WeightsRecord, key_of, weights_key
from wsi_features.encode.weights_store.registry import WeightsRegistry

__all__ = [
    "AnyCard",
    "BadRecord",
    "CheckedCard",
    "Entry",
    "WeightsRecord",
    "WeightsRegistry",
    "key_of",
    "named_digest",
    "weights_key",
]
