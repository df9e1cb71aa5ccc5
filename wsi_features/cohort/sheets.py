"""Manifests from outside: CSV or TSV sheets, folders, globs and single slide files."""

from __future__ import annotations

import csv
import glob
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from wsi_features.cohort.manifest import COLUMNS, Manifest, ManifestRow, refuse_duplicates, safe_slide_id
from wsi_features.errors import ManifestError, manifest_problem
from wsi_features.slides.folders import slide_folder
from wsi_features.slides.remote import is_remote, remote_name

SHEET_SUFFIXES = (".csv", ".tsv", ".txt")
SLIDE_SUFFIXES = (
    ".svs",
    ".tif",
    ".tiff",
    ".ndpi",
    ".mrxs",
    ".scn",
    ".bif",
    ".vms",
    ".vmu",
    ".svslide",
    ".czi",
    ".dcm",
    ".jp2",
)

_REQUIRED = ("slide_id", "path")
_FILES = ("path", "annotations", "mask", "coordinates")


def manifest_from(sources: Sequence[str]) -> Manifest:
    """One manifest from sheets, folders, globs and slide files, in the order given.

    Raises ManifestError with every problem found.
    """
    rows: list[ManifestRow] = []
    for source in sources:
        path = Path(source)
        if is_remote(source):
            rows.append(ManifestRow(slide_id=safe_slide_id(Path(remote_name(source)).stem), path=source))
        elif path.suffix.lower() in SHEET_SUFFIXES and not path.is_dir():
            rows += read_sheet(path).rows
        else:
            rows += [_row_of_file(file) for file in slide_files(source)]
    refuse_duplicates(rows)
    return Manifest(tuple(rows))


def slide_files(source: str) -> list[Path]:
    """The slide files of a folder (searched to any depth), a glob, or the one file named."""
    path = Path(source)
    if path.is_dir():
        files = _slides_below(path)
    elif path.exists():
        files = [path]
    elif not glob.has_magic(source):
        raise ManifestError.unreadable(source, "no such file or folder")
    else:
        files = [Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file()]  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not files:
        raise ManifestError.empty(source)
    if foreign := [file for file in files if not _is_utf8(file)]:
        raise ManifestError.not_utf8(repr(os.fsencode(foreign[0])))
    return sorted(files)


def _slides_below(root: Path) -> list[Path]:
    """Slides in a folder, to any depth; a folder that is a slide itself (OME-Zarr, DICOM) counts as one."""
    found: list[Path] = []
    for at, folders, names in os.walk(root):
        folder = Path(at)
        if slide_folder(folder) is not None:
            found.append(folder)
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        files = (folder / name for name in names if not name.startswith("."))
        found += [file for file in files if file.suffix.lower() in SLIDE_SUFFIXES]
    return found


def _is_utf8(file: Path) -> bool:
    """JSON and the sheets hold text, and such a name is none."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_sheet(path: Path) -> Manifest:
    """A CSV or TSV manifest. Raises ManifestError naming file, line, column, value and remedy of every problem."""
    try:
        text = path.read_bytes().decode("utf-8-sig")  # read_text would turn a carriage return in a name into another
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError.unreadable(str(path), _why(error)) from error
    delimiter = "\t" if path.suffix.lower() == ".tsv" or "\t" in text.partition("\n")[0] else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        records = [(reader.line_num, record) for record in reader]
    except csv.Error as error:
        raise ManifestError.unreadable(str(path), f"line {reader.line_num}: {error}") from error
    problems = _header_problems(str(path), reader.fieldnames or ())
    if problems:
        raise ManifestError.of(problems)
    if not records:
        raise ManifestError.empty(str(path))
    return Manifest(_checked_rows(path, records))


def to_csv(rows: Iterable[ManifestRow]) -> str:
    """A manifest as CSV text with all columns."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.model_dump().items()} for row in rows)
    return out.getvalue()


def rows_with_unique_ids(files: Sequence[Path]) -> list[ManifestRow]:
    """A row for each file; where stems collide, the names of the folders above are put before them."""
    names = dict.fromkeys(files, 1)
    while True:
        ids = {file: safe_slide_id("-".join(_last_parts(file, depth))) for file, depth in names.items()}
        folded = [i.lower() for i in ids.values()]
        clashing = [
            f for f, i in ids.items() if folded.count(i.lower()) > 1 and names[f] < len(Path(_absolute(f)).parts)
        ]
        if not clashing:
            break
        names.update({file: names[file] + 1 for file in clashing})
    rows = [ManifestRow(slide_id=ids[file], path=_absolute(file)) for file in files]
    refuse_duplicates(rows)
    return rows


def _last_parts(file: Path, depth: int) -> tuple[str, ...]:
    whole = Path(_absolute(file))
    return (*whole.parts[:-1], whole.stem)[-depth:]


def _row_of_file(file: Path) -> ManifestRow:
    return ManifestRow(slide_id=safe_slide_id(file.stem), path=_absolute(file))


def _absolute(file: Path) -> str:
    """The path without links; where these lead in a circle it is kept, and its slide fails."""
    return os.path.realpath(file)


class _Folders:
    """Resolves the links in paths, each folder once: a large cohort lies in few."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def absolute(self, file: Path) -> str:
        """As `_absolute`."""
        folder, name = os.path.split(file)
        if name in {"", ".", ".."}:
            return _absolute(file)
        if folder not in self._real:
            self._real[folder] = os.path.realpath(folder)
        path = os.path.join(self._real[folder], name)  # noqa: PTH118 - a Path would cost as much as all else here
        return os.path.realpath(path) if os.path.islink(path) else path  # noqa: PTH114


def _present(folder: Path, cell: str) -> Path:
    """The file that a cell names; spaces around the name belong to it only where there is such a file."""
    exact = folder / cell
    return exact if cell != cell.strip() and exact.exists() else folder / cell.strip()


def _header_problems(file: str, header: Sequence[str]) -> list[str]:
    wanted = f"Columns are {', '.join(COLUMNS)}; the first two are needed."
    problems = [manifest_problem(file, 1, name, "missing", wanted) for name in _REQUIRED if name not in header]
    problems += [manifest_problem(file, 1, name, "unknown", wanted) for name in header if name not in COLUMNS]
    twice = {name for name in header if list(header).count(name) > 1}
    return problems + [manifest_problem(file, 1, name, "twice", "Delete one of them.") for name in sorted(twice)]


def _checked_rows(path: Path, records: Sequence[tuple[int, dict[str, str]]]) -> tuple[ManifestRow, ...]:
    rows, problems = [], []
    first_line: dict[str, int] = {}
    real = _Folders()
    for line, record in records:
        row, found = _checked_row(path, line, record, first_line, real)
        problems += found
        rows += [row] if row else []
    if problems:
        raise ManifestError.of(problems)
    return tuple(rows)


def _checked_row(
    path: Path, line: int, record: dict[str, str], first_line: dict[str, int], real: _Folders
) -> tuple[ManifestRow | None, list[str]]:
    name = str(path)
    if None in record or None in record.values():
        wanted = "Give every row as many cells as the header; quote a cell that holds the separator."
        return None, [manifest_problem(name, line, "(all)", "wrong number of cells", wanted)]
    try:
        row = _row(path, record, real)
    except ValidationError as error:
        return None, [_pydantic_problem(name, line, detail["loc"], record, detail["msg"]) for detail in error.errors()]
    return row, _row_problems(name, line, record, row, first_line)


def _row_problems(
    name: str, line: int, record: dict[str, str], row: ManifestRow, first_line: dict[str, int]
) -> list[str]:
    problems = []
    first = first_line.setdefault(row.slide_id.lower(), line)
    if first != line:
        wanted = f"Line {first} has the same slide_id (case is ignored). Give each slide its own."
        problems.append(manifest_problem(name, line, "slide_id", row.slide_id, wanted))
    for column in _FILES:
        file = getattr(row, column)
        if file and not row.skip and not (is_remote(file) and column == "path") and not Path(file).exists():
            problems.append(
                manifest_problem(
                    name, line, column, record[column], f"No such file: {file!r}. Correct it, or fill `skip`."
                )
            )
    return problems


def _row(path: Path, record: dict[str, str], real: _Folders) -> ManifestRow:
    values: dict[str, object] = {k: v.strip() for k, v in record.items()}
    for column in ("mpp", "plane"):
        values[column] = values.get(column) or None
    for column in _FILES:
        if values.get(column) and not is_remote(record[column].strip()):
            values[column] = real.absolute(_present(path.parent, record[column]))
    return ManifestRow.model_validate(values)


def _pydantic_problem(file: str, line: int, loc: Sequence[int | str], record: dict[str, str], message: str) -> str:
    column = str(loc[0]) if loc else "(all)"
    remedy = {
        "slide_id": "Use 1 to 128 letters, digits, `.`, `_` or `-`, starting with a letter or digit.",
        "path": "Give the path of the slide file.",
        "mpp": "Give microns per pixel as a number from 0.05 to 20, or leave it empty.",
        "plane": "Give the number of a focal plane, 0 or more, or leave it empty.",
        "sha256": "Give the SHA-256 of the slide file as 64 hexadecimal digits, or leave it empty.",
    }.get(column, message)
    return manifest_problem(file, line, column, record.get(column, ""), remedy)


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    return re.sub(r"^\[Errno \d+\] ", "", str(error))
