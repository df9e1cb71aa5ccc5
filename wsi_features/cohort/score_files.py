"""Tables of scores as files: Parquet of whoever wrote it, and text. What the numbers are of is not asked here."""

from __future__ import annotations

import csv
import json
import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import ScoreError, ScoreTableError, one_line
from wsi_features.recipe import Json

KEY = b"wsi_features"
SLIDE, ROW = "slide_id", "row"
_PANDAS_INDEX = "__index_level_"
_NO_VALUE = {"", "na", "nan", "null", "none"}
_BATCH = 65536

Rows = tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]
"""Rows (n,) of a store and their values (n, c), in the order of the file."""


@dataclass(frozen=True, slots=True)
class FoundScores:
    """What a file holds: `read` gives one slide's rows or raises KeyError; `stores` are fingerprints where the file says them."""

    columns: tuple[str, ...]
    slide_ids: tuple[str, ...]
    read: Callable[[str], Rows]
    stores: dict[str, str] = field(default_factory=dict)
    about: Json = field(default_factory=dict)


def parquet_scores(path: Path, wanted: Sequence[str]) -> FoundScores:
    """A Parquet file; no more than a batch of it and one slide's scores are in memory. Raises ScoreTableError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = _number_columns(path, file.schema_arrow, wanted)
            groups, metadata = _groups_of_slides(file), file.metadata
    except (pa.ArrowException, OSError) as error:
        raise ScoreTableError.unreadable(str(path), one_line(error)) from error
    head = _head(metadata.metadata)
    stores = {str(name): str(value) for name, value in head.get("stores", {}).items()}

    def read(slide_id: str) -> Rows:
        if slide_id not in groups and slide_id not in stores:
            raise KeyError(slide_id)
        parts = list(_parts(path, metadata, slide_id, groups.get(slide_id, []), columns))
        rows = [rows for rows, _ in parts] or [np.empty(0, np.int64)]
        values = [values for _, values in parts] or [np.empty((0, len(columns)), np.float32)]
        return np.concatenate(rows), np.concatenate(values)

    every = tuple(dict.fromkeys([*stores, *groups]))
    return FoundScores(columns, every, read, {k: v for k, v in stores.items() if v}, head.get("about", {}))


def _number_columns(path: Path, schema: Any, wanted: Sequence[str]) -> tuple[str, ...]:
    from pyarrow import types

    kinds = {item.name: item.type for item in schema if not item.name.startswith(_PANDAS_INDEX)}
    for name in (SLIDE, ROW, *wanted):
        if name not in kinds:
            raise ScoreTableError.no_column(str(path), name, list(kinds))
    numbers = [n for n, t in kinds.items() if types.is_integer(t) or types.is_floating(t) or types.is_boolean(t)]
    for name in (ROW, *wanted):
        if name not in numbers:
            raise ScoreTableError.not_numbers(str(path), name, str(kinds[name]))
    columns = tuple(wanted) or tuple(name for name in numbers if name not in {SLIDE, ROW})
    if not columns:
        raise ScoreTableError.nothing(str(path))
    return columns


def _head(metadata: dict[bytes, bytes] | None) -> Json:
    """What this program wrote into the file; nothing in files of others."""
    try:
        head = json.loads((metadata or {})[KEY])
    except (LookupError, ValueError):
        return {}
    return head if isinstance(head, dict) and head.get("kind") == "scores" else {}


def _groups_of_slides(file: Any) -> dict[str, list[int]]:
    """The row groups that each slide is in: from their statistics, or where a group has several slides by reading the ids."""
    place = file.schema.names.index(SLIDE)
    found: dict[str, list[int]] = {}
    for group in range(file.metadata.num_row_groups):
        said = file.metadata.row_group(group).column(place).statistics
        single = said is not None and said.has_min_max and said.null_count == 0 and said.min == said.max
        names = [said.min] if single else _ids_of_group(file, group)
        for name in names:
            found.setdefault(str(name), []).append(group)
    return found


def _ids_of_group(file: Any, group: int) -> list[Any]:
    import pyarrow.compute as pc

    batches = file.iter_batches(_BATCH, row_groups=[group], columns=[SLIDE])
    names = dict.fromkeys(name for batch in batches for name in pc.unique(batch.column(0)).to_pylist())
    return [name for name in names if name is not None]


def _parts(path: Path, metadata: Any, slide_id: str, groups: Sequence[int], columns: Sequence[str]) -> Iterator[Rows]:
    """One slide's rows of each batch that has some; the file's end is not parsed again. Raises ScoreError."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, metadata=metadata) as file:
            names = list(dict.fromkeys([SLIDE, ROW, *columns]))
            for batch in file.iter_batches(_BATCH, row_groups=list(groups), columns=names):
                ours = pc.equal(pc.cast(batch.column(SLIDE), pa.string()), slide_id)
                if part := batch.filter(ours):
                    yield _rows(slide_id, part.column(ROW)), _values(part, columns)
    except (pa.ArrowException, OSError) as error:
        raise ScoreError.damaged(slide_id, str(path), one_line(error)) from error


def _rows(slide_id: str, column: Any) -> npt.NDArray[np.int64]:
    found = column.to_numpy(zero_copy_only=False)
    rows: npt.NDArray[np.int64] = np.nan_to_num(found.astype(np.float64), nan=-1).astype(np.int64)
    if column.null_count or not np.array_equal(rows, found):
        raise ScoreError.value(slide_id, ROW, "nothing or a fraction", "whole numbers")
    return rows


def _values(part: Any, columns: Sequence[str]) -> npt.NDArray[np.float32]:
    found = [part.column(name).to_numpy(zero_copy_only=False) for name in columns]
    return np.stack([np.asarray(values, np.float64).astype(np.float32) for values in found], axis=1)


def text_scores(path: Path, wanted: Sequence[str]) -> FoundScores:
    """A CSV or TSV file, read whole. Raises ScoreTableError naming the line of what cannot be used."""
    rows: dict[str, array[int]] = {}
    values: dict[str, array[float]] = {}
    seen: set[tuple[str, int]] = set()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if path.suffix.lower() == ".tsv" or "\t" in file.readline() else ","
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)
            header = [name.strip() for name in next(reader, [])]
            columns = _text_columns(path, header, wanted)
            places = [header.index(name) for name in (SLIDE, ROW, *columns)]
            for cells in reader:
                if not any(cells):
                    continue
                slide_id, row, *scores = _cells(path, reader.line_num, header, cells, places)
                key = (slide_id.strip(), _whole(path, reader.line_num, row))
                if key in seen:
                    raise ScoreTableError.twice(str(path), reader.line_num, *key)
                seen.add(key)
                rows.setdefault(key[0], array("q")).append(key[1])
                numbers = (_number(path, reader.line_num, *cell) for cell in zip(columns, scores, strict=True))
                values.setdefault(key[0], array("f")).extend(numbers)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScoreTableError.unreadable(str(path), one_line(error)) from error

    def read(slide_id: str) -> Rows:
        return (
            np.frombuffer(rows[slide_id], np.int64).copy(),
            np.frombuffer(values[slide_id], np.float32).reshape(-1, len(columns)).copy(),
        )

    return FoundScores(columns, tuple(rows), read)


def _text_columns(path: Path, header: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """An unnamed column is the index that other programs write."""
    for name in (SLIDE, ROW, *wanted):
        if name not in header:
            raise ScoreTableError.no_column(str(path), name, header)
    columns = tuple(wanted) or tuple(name for name in header if name and name not in {SLIDE, ROW})
    if not columns:
        raise ScoreTableError.nothing(str(path))
    return columns


def _cells(path: Path, line: int, header: Sequence[str], cells: Sequence[str], places: Sequence[int]) -> list[str]:
    if len(cells) != len(header):
        raise ScoreTableError.ragged(str(path), line, len(cells), len(header))
    return [cells[place] for place in places]


def _whole(path: Path, line: int, text: str) -> int:
    try:
        row = int(text)
    except ValueError:
        row = -1
    if not 0 <= row < 2**31:
        raise ScoreTableError.cell(str(path), line, ROW, text, "a row of the slide's store: 0, 1, 2, ...")
    return row


def _number(path: Path, line: int, column: str, text: str) -> float:
    if text.strip().lower() in _NO_VALUE:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise ScoreTableError.cell(str(path), line, column, text, "a number, or nothing")
    return value
