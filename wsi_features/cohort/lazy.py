"""The features of many stores as one dask array: one task a chunk, read past Zarr when it is computed.

Joining one array a store costs dask a layer for each, and opening them through Zarr a file more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.statistics import one_width
from wsi_features.recipe import digest
from wsi_features.store import FeatureStore, RawArray
from wsi_features.store.raw import aligned_empty


def lazy_rows(stores: Sequence[FeatureStore]) -> tuple[Any, npt.NDArray[np.int64]]:
    """All features as one dask array (N, d), and where each store begins and the last one ends, (stores + 1,).

    Where some are float16 and some float32 all are given as float32. Raises BagError and StoreError.
    """
    import dask.array as da

    dim = one_width(stores)
    bounds = np.cumsum([0, *map(len, stores)], dtype=np.int64)
    parts = [store.raw_features for store in stores if len(store)]
    dtype = np.result_type(*(part.dtype for part in parts)) if parts else np.dtype(np.float32)
    chunks = [(part, number) for part in parts for number in range(len(part.extents))]
    rows = tuple(min(part.chunk_rows, len(part) - number * part.chunk_rows) for part, number in chunks)
    name = f"features-{digest([store.fingerprint for store in stores])}"
    tasks = {(name, k, 0): (_chunk, part, number, dtype) for k, (part, number) in enumerate(chunks)}
    return da.Array(tasks, name, (rows or (0,), (dim,)), dtype), bounds  # type: ignore[no-untyped-call]  # dask is untyped


def _chunk(features: RawArray, number: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """One chunk's rows; its checksum is compared."""
    rows = min(features.chunk_rows, len(features) - number * features.chunk_rows)
    out = aligned_empty((rows, *features.shape[1:]), features.dtype)
    return features.chunk(number, out, "always").astype(dtype, copy=False)
