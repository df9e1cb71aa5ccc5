"""Tile lists in tables: CSV, TSV and Parquet, also the spot tables of Space Ranger as they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import CoordinatesError, one_line
from wsi_features.tiles.sources.tile_list import F64, TileList

_CENTRE = {"pxl_col_in_fullres": "x", "pxl_row_in_fullres": "y"}
"""Columns of Space Ranger, which are centres of spots in pixels of the full-resolution image."""
_NAMES = {name: name for name in ("x", "y", "size", "size_um", "id")} | {"barcode": "id", "spot_id": "id"} | _CENTRE
_OLD_SPOTS = "tissue_positions_list.csv"
"""What Space Ranger before 2.0 wrote: the same columns without a header."""
_SPOT_HEADER = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")

Columns = dict[str, npt.NDArray[Any]]


def read_sheet(slide_id: str, path: Path) -> TileList:
    """The list in a table with the columns x and y, and perhaps size or size_um, id and others. Raises CoordinatesError."""
    if path.suffix.lower() == ".parquet":
        return _tile_list(slide_id, path, _parquet(slide_id, path), None)
    header, records, lines = _records(slide_id, path)
    columns: Columns = {
        name: np.array([record[i] for record in records], dtype=np.str_) for i, name in enumerate(header)
    }
    return _tile_list(slide_id, path, columns, np.array(lines, np.int64))


def _tile_list(slide_id: str, path: Path, found: Columns, lines: npt.NDArray[np.int64] | None) -> TileList:
    names = {name: _NAMES.get(name.lower(), "") for name in found}
    for wanted in ("x", "y"):
        if wanted not in names.values():
            raise CoordinatesError.no_column(slide_id, str(path), wanted, list(found))
    _refuse_twice(slide_id, path, names)
    known = {meaning: found[name] for name, meaning in names.items() if meaning}
    others = {name: _numbers_or_text(values) for name, values in found.items() if not names[name]}
    size = known.get("size", known.get("size_um"))
    return TileList(
        str(path),
        _numbers(known["x"]),
        _numbers(known["y"]),
        None if size is None else _numbers(size),
        in_um="size_um" in known,
        centred=True if any(name.lower() in _CENTRE for name in names) else None,
        columns=({"id": known["id"].astype(np.str_)} if "id" in known else {}) | others,
        lines=lines,
        written={} if lines is None else {"x": known["x"], "y": known["y"]} | ({} if size is None else {"size": size}),
    )


def _refuse_twice(slide_id: str, path: Path, names: Mapping[str, str]) -> None:
    """Two columns of one meaning, or sizes in two units: which counts is not for us to say."""
    for group in (("x",), ("y",), ("id",), ("size", "size_um")):
        found = [name for name, meaning in names.items() if meaning in group]
        if len(found) > 1:
            raise CoordinatesError.twice(slide_id, str(path), found)


def _records(slide_id: str, path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """The header, the cells of all rows that are not blank, and the line of each."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CoordinatesError.unreadable(slide_id, str(path), getattr(error, "strerror", "") or str(error)) from error
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise CoordinatesError.unreadable(slide_id, str(path), f"line {reader.line_num}: {error}") from error
    headless = path.name == _OLD_SPOTS and bool(rows) and rows[0][1][0].lower() != "barcode"
    header = list(_SPOT_HEADER) if headless else (rows.pop(0)[1] if rows else [])
    _check_shape(slide_id, path, header, rows)
    return header, [row for _, row in rows], [line for line, _ in rows]


def _check_shape(slide_id: str, path: Path, header: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> None:
    if twice := sorted({name for name in header if list(header).count(name) > 1}):
        raise CoordinatesError.twice(slide_id, str(path), twice)
    for line, row in rows:
        if len(row) != len(header):
            raise CoordinatesError.ragged(slide_id, str(path), line, len(row), len(header))


def _parquet(slide_id: str, path: Path) -> Columns:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise CoordinatesError.unreadable(slide_id, str(path), one_line(error)) from error
    return {name: _arrow_column(table[name]) for name in table.column_names if not name.startswith("__index_level")}


def _arrow_column(column: Any) -> npt.NDArray[Any]:
    """Whole numbers as they are, others as float64 with NaN for what is not there, and all else as text."""
    import pyarrow as pa

    values = column.to_pylist()
    if pa.types.is_integer(column.type) and not column.null_count:
        return np.array(values, np.int64)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return np.array(["" if value is None else str(value) for value in values], np.str_)


def _numbers(values: npt.NDArray[Any]) -> F64:
    """As float64, NaN for what is no number."""
    if values.dtype.kind != "U":
        return values.astype(np.float64)
    try:
        return values.astype(np.float64)
    except ValueError:
        return np.array([_number(text) for text in values.tolist()], np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _numbers_or_text(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A further column: numbers where every cell is one or empty."""
    if values.dtype.kind != "U":
        return values
    filled = np.where(values == "", "nan", values) if len(values) else values
    try:
        return filled.astype(np.float64)
    except ValueError:
        return values
