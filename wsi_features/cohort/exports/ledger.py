"""The ledger of an export folder: which slides lie there, made of which stores.

One line of JSON a slide, appended when all its files are complete, so that an export that was killed goes on where
it stopped. It also carries what most layouts have no room for: the fingerprint of the store and the licence of
the encoder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from wsi_features.recipe import Json

LEDGER = "export.jsonl"


@dataclass(frozen=True, slots=True)
class Entry:
    """One exported slide. `source` covers the store, its chosen rows and all options; `files` are path -> size."""

    slide_id: str
    format: str
    source: str
    rows: int
    files: dict[str, int]
    about: Json = field(default_factory=dict)


def read_ledger(folder: Path) -> dict[tuple[str, str], Entry]:
    """The last entry of each format and slide; a line that was cut short counts for nothing."""
    found: dict[tuple[str, str], Entry] = {}
    try:
        lines = (folder / LEDGER).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return found
    for line in lines:
        try:
            entry = Entry(**json.loads(line))
        except (ValueError, TypeError):
            continue
        found[entry.format, entry.slide_id] = entry
    return found


def append_entry(folder: Path, entry: Entry) -> None:
    """Note a slide whose files are all in place."""
    path = folder / LEDGER
    cut = _is_cut(path)
    line = json.dumps(asdict(entry), sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    with path.open("a", encoding="utf-8") as file:
        file.write(("\n" if cut else "") + line)


def is_there(folder: Path, entry: Entry) -> bool:
    """Whether all files of an entry lie in the folder with the sizes that they had."""
    return all((folder / name).exists() and size_of(folder / name) == size for name, size in entry.files.items())


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size


def _is_cut(path: Path) -> bool:
    """Whether the last line has no end: whoever wrote it was killed."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read() != b"\n"
