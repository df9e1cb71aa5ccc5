"""One table of all tiles of a cohort: whose each is, where it lies, what was measured, marked or listed of it.

The table is made slide by slide when it is asked for, so that a cohort of any size fits into memory. Row `row` of a
tile is the same of its slide's store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.keep import Recorded, kept_rows, last_run
from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.marks import marks_named
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.relatives import tile_columns
from wsi_features.files import replacing
from wsi_features.store import FeatureStore, stated_attributes

TEXTS = ("slide_id", "patient_id", "stain", "block")
"""Of the manifest; null where it says nothing."""

FIXED = (*TEXTS, "row", "x", "y", "column", "line", "valid", "keep")
"""Before all others: the slide; row of its store; level-0 pixels; place in the grid; readable; used."""

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class TileTable:
    """The tiles of `slides`, each with its row of the manifest and its store.

    `keep` names the keep marks, those of the last run unless given. `marks` are further marks whose columns are joined
    as `NAME:column`, and `listed` adds what the tiles' source said of them and no store holds (names, big numbers).
    A measured or listed column named like one of `FIXED` is `measured:NAME` or `listed:NAME`.
    """

    out: Outputs
    slides: tuple[tuple[ManifestRow, Path], ...]
    keep: str | None = None
    marks: tuple[str, ...] = ()
    listed: bool = False

    def schema(self) -> Any:
        """The pyarrow schema. Reads the attributes of all stores, and of marks and lists what is asked for.

        Raises StoreError, and ArtifactError where marks or a list are not there, damaged or not clear.
        """
        import pyarrow as pa

        return pa.schema([*(_fixed_field(pa, name) for name in FIXED), *_further_fields(pa, self)])

    def reader(self) -> Any:
        """A pyarrow RecordBatchReader, a batch a slide: what polars, DuckDB and pyarrow read without having all of it."""
        import pyarrow as pa

        schema, last = self.schema(), last_run(self.out)
        batches = (_batch(pa, schema, self, last, *slide) for slide in self.slides)
        return pa.RecordBatchReader.from_batches(schema, batches)

    def read(self) -> Any:
        """All of it as one pyarrow Table; `.to_pandas()` where pandas is installed."""
        return self.reader().read_all()

    def write(self, path: str | Path) -> int:
        """Write one Parquet file, a row group a slide, whole or not at all, and say how many rows it has."""
        import pyarrow.parquet as pq

        rows, reader = 0, self.reader()
        with replacing(Path(path)) as temporary, pq.ParquetWriter(temporary, reader.schema) as writer:
            for batch in reader:
                if len(batch):
                    writer.write_batch(batch, row_group_size=len(batch))
                rows += len(batch)
        return rows


def _batch(pa: Any, schema: Any, table: TileTable, last: Recorded, row: ManifestRow, path: Path) -> Any:
    store = FeatureStore.open(path)
    n = len(store)
    texts = [_repeated(pa, getattr(row, name), n) for name in TEXTS]
    keep = kept_rows(table.out, store, table.keep, last)
    fixed = (np.arange(n, dtype=np.int32), *store.coords.T, *store.grid.T, store.valid, keep)
    found = _measured(store) | _further(table, store)
    others = [_array(pa, found.get(field.name), field.type, n) for field in list(schema)[len(FIXED) :]]
    arrays = [*texts, *(pa.array(np.ascontiguousarray(values)) for values in fixed), *others]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _measured(store: FeatureStore) -> Columns:
    return {_own_name("measured", name): values for name, values in store.columns.items()}


def _further(table: TileTable, store: FeatureStore) -> Columns:
    """Of marks and lists, by the names that they have in the table."""
    found: Columns = {}
    for name in table.marks:
        marks = marks_named(table.out, store, name)
        found |= {f"{name}:{column}": marks.values[:, k] for k, column in enumerate(marks.columns)}
    if table.listed:
        held = store.attributes["column_names"]
        listed = tile_columns(table.out, store)
        found |= {_own_name("listed", name): values for name, values in listed.items() if name not in held}
    return found


def _further_fields(pa: Any, table: TileTable) -> Iterator[Any]:
    """One field a name, in the order in which they first occur, of a type that holds the values of all slides."""
    measured: dict[str, None] = {}
    kinds: dict[str, list[np.dtype[Any]]] = {}
    for _, path in table.slides:
        names = stated_attributes(path)["column_names"]  # a store is opened, which costs more, when it is its turn
        measured |= dict.fromkeys(_own_name("measured", name) for name in names)
        if table.marks or table.listed:
            for name, values in _further(table, FeatureStore.open(path)).items():
                kinds.setdefault(name, []).append(values.dtype)
    yield from (pa.field(name, pa.float32()) for name in measured)
    yield from (pa.field(name, _type_of(pa, found)) for name, found in kinds.items())


def _type_of(pa: Any, kinds: Sequence[np.dtype[Any]]) -> Any:
    if any(kind.kind not in "biuf" for kind in kinds):
        return pa.string()
    return pa.from_numpy_dtype(np.result_type(*kinds))


def _array(pa: Any, values: npt.NDArray[Any] | None, kind: Any, n: int) -> Any:
    """A column of one slide; null where it has none, and NaN where it has none of measured or marked numbers."""
    if values is None:
        return pa.array(np.full(n, np.nan, np.float32)) if kind == pa.float32() else pa.nulls(n, kind)
    if kind == pa.string():
        return pa.array([str(value) for value in values.tolist()], kind)
    return pa.array(np.ascontiguousarray(values)).cast(kind)


def _repeated(pa: Any, text: str, n: int) -> Any:
    """One text in n rows, held once; null where it is empty."""
    places = pa.array(np.zeros(n, np.int32)) if text else pa.nulls(n, pa.int32())
    return pa.DictionaryArray.from_arrays(places, pa.array([text] if text else [], pa.string()))


def _fixed_field(pa: Any, name: str) -> Any:
    if name in TEXTS:
        return pa.field(name, pa.dictionary(pa.int32(), pa.string()))
    return pa.field(name, pa.bool_() if name in {"valid", "keep"} else pa.int32())


def _own_name(kind: str, name: str) -> str:
    return f"{kind}:{name}" if name in FIXED else name
