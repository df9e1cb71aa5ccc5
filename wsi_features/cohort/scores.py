"""Scores: what is said of tiles, as attention or a probability, by slide and row of the slide's store.

One table holds those of a cohort: Parquet, written here with one row group a slide and read slide by slide, so that a
cohort of any size fits into memory; or a CSV or TSV file. A reader that knows the store joins them to it by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.score_files import KEY, ROW, SLIDE, Rows, parquet_scores, text_scores
from wsi_features.errors import ScoreError
from wsi_features.files import replacing
from wsi_features.recipe import Json, canonical_json
from wsi_features.store import FeatureStore

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")


@dataclass(frozen=True, slots=True, eq=False)
class SlideScores:
    """One slide's scores: `values` float32 (n, c) of the store's `rows` int64 (n,), NaN where a tile has none.

    `columns` names the scores; `store` is the fingerprint of the store that the rows are of, "" where nobody says.
    """

    slide_id: str
    rows: npt.NDArray[np.int64]
    columns: tuple[str, ...]
    values: npt.NDArray[np.float32]
    store: str = ""

    def joined(self, store: FeatureStore) -> npt.NDArray[np.float32]:
        """A value for each row of the store (n, c), NaN where there is none.

        Raises ScoreError for scores of another store, a row beyond it, or a row twice.
        """
        if self.store and self.store != store.fingerprint:
            raise ScoreError.other_store(self.slide_id, self.store, str(store.path), store.fingerprint)
        rows, values = _in_order(self.slide_id, self.rows, self.values)
        if len(rows) and rows[-1] >= len(store):
            raise ScoreError.beyond(self.slide_id, int(rows[-1]), str(store.path), len(store))
        every = np.full((len(store), len(self.columns)), np.nan, np.float32)
        every[rows] = values
        return every


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """The scores of a cohort; those of a slide are read when they are asked for. `about` says how they were made."""

    path: Path
    columns: tuple[str, ...]
    slide_ids: tuple[str, ...]
    stores: dict[str, str]
    about: Json
    read: Callable[[str], Rows] = field(repr=False)

    def of(self, slide_id: str) -> SlideScores:
        """One slide's scores, in the order of their rows. Raises ScoreError when they are none, or not there."""
        try:
            found = self.read(slide_id)
        except KeyError as error:
            raise ScoreError.no_slide(slide_id, str(self.path)) from error
        rows, values = _in_order(slide_id, *found)
        return SlideScores(slide_id, rows, self.columns, values, self.stores.get(slide_id, ""))


def read_scores(path: Path, columns: Sequence[str] = ()) -> ScoreTable:
    """The table at `path`; of `columns`, or of all that hold numbers. Raises ScoreTableError.

    Parquet needs the columns slide_id and row, whoever wrote it. In a text table an empty cell is a tile without the
    score, and what is no number is refused with its line.
    """
    text = path.suffix.lower() in TEXT_SUFFIXES
    found = text_scores(path, columns) if text else parquet_scores(path, columns)
    return ScoreTable(path, found.columns, found.slide_ids, found.stores, found.about, found.read)


def write_scores(path: Path, columns: Sequence[str], slides: Iterable[SlideScores], about: Json | None = None) -> int:
    """Write one Parquet file, whole or not at all, and say how many rows it has. Equal scores give equal bytes.

    Each slide is a row group, in the order of its rows. `about` says how the scores were made. Raises ScoreError for a
    slide or a row that comes twice, a negative row, a value that is infinite or scores of other columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    scores = [pa.field(name, pa.float32()) for name in columns]
    schema = pa.schema([pa.field(SLIDE, pa.dictionary(pa.int32(), pa.string())), pa.field(ROW, pa.int32()), *scores])
    stores: dict[str, str] = {}
    count = 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for slide in slides:
            if slide.slide_id in stores:
                raise ScoreError.slide_twice(slide.slide_id)
            stores[slide.slide_id] = slide.store
            table = _table(pa, schema, slide)
            if len(table):
                writer.write_table(table, row_group_size=len(table))
            count += len(table)
        head = {"kind": "scores", "columns": list(columns), "stores": stores, "about": about or {}}
        writer.add_key_value_metadata({KEY: canonical_json(head)})
    return count


def _table(pa: Any, schema: Any, slide: SlideScores) -> Any:
    names = schema.names[2:]
    if list(slide.columns) != names or slide.values.shape != (len(slide.rows), len(names)):
        found = f"{slide.values.shape} of {', '.join(slide.columns)}"
        raise ScoreError.value(
            slide.slide_id, "values", found, f"{(len(slide.rows), len(names))} of {', '.join(names)}"
        )
    rows, values = _in_order(slide.slide_id, slide.rows, slide.values)
    ids = pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int32), [slide.slide_id])
    scores = [pa.array(np.ascontiguousarray(values[:, k])) for k in range(len(names))]
    return pa.Table.from_arrays([ids, pa.array(rows.astype(np.int32)), *scores], schema=schema)


def _in_order(slide_id: str, rows: npt.NDArray[np.int64], values: npt.NDArray[np.float32]) -> Rows:
    """Sorted by row. Raises ScoreError for a row twice, a negative one, or an infinite value."""
    order = np.argsort(rows, kind="stable")
    rows, values = rows[order], values[order].astype(np.float32, copy=False)
    if len(rows) and rows[0] < 0:
        raise ScoreError.value(slide_id, ROW, str(rows[0]), "0 or more")
    if len(again := np.flatnonzero(rows[1:] == rows[:-1])):
        raise ScoreError.twice(slide_id, int(rows[again[0]]))
    if len(infinite := np.flatnonzero(np.isinf(values).any(axis=1))):
        raise ScoreError.value(slide_id, f"row {rows[infinite[0]]}", "an infinite value", "a finite one, or none")
    return rows, values
