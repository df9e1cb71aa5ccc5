"""A table of what is known of slides or patients: labels, sites, blocks. Cells are text here; labels give them meaning."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from wsi_features.errors import LabelError, one_line

SLIDE, PATIENT = "slide_id", "patient_id"


@dataclass(frozen=True, slots=True)
class Table:
    """Cells by the id of a row, `key` says whether of slides or of patients, and column; empty cells stay empty text."""

    path: str
    key: str
    columns: tuple[str, ...]
    cells: dict[str, dict[str, str]]

    def column(self, name: str) -> dict[str, str]:
        """The cells of a column that are not empty. Raises LabelError where there is no such column."""
        if name not in self.columns:
            raise LabelError.no_column(self.path, name, self.columns)
        return {row: cells[name] for row, cells in self.cells.items() if cells[name]}

    def get(self, row: str, name: str) -> str:
        """One cell; empty where there is none."""
        return self.cells.get(row, {}).get(name, "")


def read_table(path: str | Path, key: str | None = None) -> Table:
    """A CSV or TSV file with a header. Its rows are of slides where it has `slide_id`, else of patients (`patient_id`).

    Raises LabelError naming the file, the line and the value.
    """
    file = Path(path)
    try:
        text = file.read_bytes().decode("utf-8-sig")
        delimiter = "\t" if file.suffix.lower() == ".tsv" or "\t" in text.partition("\n")[0] else ","
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
        columns = tuple(name.strip() for name in reader.fieldnames or ())
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError.unreadable(str(path), one_line(error)) from error
    name = key or (SLIDE if SLIDE in columns else PATIENT)
    if name not in columns:
        raise LabelError.no_column(str(path), key, columns) if key else LabelError.no_ids(str(path), columns)
    return Table(str(path), name, columns, _by_id(str(path), name, rows))


def _by_id(path: str, key: str, rows: list[tuple[int, dict[str, str]]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line, row in rows:
        if None in row or None in row.values():
            raise LabelError.unreadable(path, f"line {line} has not as many cells as the header")
        cells = {name: cell.strip() for name, cell in row.items()}
        if cells[key] in found:
            raise LabelError.twice(path, line, key, cells[key])
        if cells[key]:
            found[cells[key]] = cells
    return found
