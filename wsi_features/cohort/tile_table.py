"""One table of all tiles of a cohort: whose each is, where it lies, what was measured, and whether it is kept.

One row group a slide, written as it is made, so that a cohort of any size fits into memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.files import replacing
from wsi_features.store import FeatureStore

FIXED = ("slide_id", "row", "x", "y", "column", "line", "valid", "keep")
"""Before the measured columns: the slide; row of its store; level-0 pixels; place in the grid; readable; used."""

Marked = tuple[FeatureStore, npt.NDArray[np.bool_]]


def write_tile_table(path: Path, stores: Iterable[Marked], names: Sequence[str]) -> int:
    """Write the Parquet file at `path` whole or not at all, and say how many rows it has.

    `stores` come with the rows (n,) that are kept; `names` are the measured columns, NaN where a slide has none of that
    name. A measured column named like one of `FIXED` is `measured:NAME`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [_field(pa, name) for name in (*FIXED, *map(_measured, names))]
    rows = 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, pa.schema(fields)) as writer:
        for table in _tables(pa, pa.schema(fields), stores, names):
            writer.write_table(table, row_group_size=max(1, len(table)))
            rows += len(table)
    return rows


def column_names(stores: Iterable[FeatureStore]) -> tuple[str, ...]:
    """All names of measured columns, in the order in which they first occur."""
    return tuple(dict.fromkeys(chain.from_iterable(store.attributes["column_names"] for store in stores)))


def _tables(pa: Any, schema: Any, stores: Iterable[Marked], names: Sequence[str]) -> Iterator[Any]:
    for store, keep in stores:
        n = len(store)
        columns = store.columns
        nothing = np.full(n, np.nan, np.float32)
        slide = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), [store.provenance.slide_id])
        fixed = (np.arange(n, dtype=np.int32), *store.coords.T, *store.grid.T, store.valid, keep)
        measured = (columns.get(name, nothing) for name in names)
        arrays = [np.ascontiguousarray(values) for values in (*fixed, *measured)]
        yield pa.Table.from_arrays([slide, *map(pa.array, arrays)], schema=schema)


def _field(pa: Any, name: str) -> Any:
    if name == "slide_id":
        return pa.field(name, pa.dictionary(pa.int32(), pa.string()))
    if name in {"valid", "keep"}:
        return pa.field(name, pa.bool_())
    return pa.field(name, pa.int32() if name in FIXED else pa.float32())


def _measured(name: str) -> str:
    return f"measured:{name}" if name in FIXED else name
