"""The journal of a work directory: which chunks of features are safely on the disk, and what goes with them.

One line a chunk, appended and flushed after the chunk itself. Each line begins with a checksum of the rest, so a line
that was cut short is seen. The first line says under what the chunks were made; chunks are taken up again only under the
very same.
"""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.recipe import Json, canonical_json
from wsi_features.store.commit import FileEntry

JOURNAL_VERSION = 1
_SUM = 16


@dataclass(frozen=True, slots=True, eq=False)
class ChunkNote:
    """One chunk: its file, and of its rows which are `valid` (b,), why the others are not, and measured columns (b, c).

    `problems` names rows of the whole store.
    """

    file: FileEntry
    valid: npt.NDArray[np.bool_]
    columns: npt.NDArray[np.float32]
    problems: tuple[tuple[int, str], ...]


class Journal:
    """A journal that is written to; one owner."""

    def __init__(self, path: Path, about: Json, notes: Sequence[ChunkNote] = ()) -> None:
        """A new file in the place of `path`, whoever still writes into an old one. Raises OSError."""
        new = path.with_name("journal.new")
        new.unlink(missing_ok=True)
        self._file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
        self._write(b"".join([_line({"journal": JOURNAL_VERSION, "about": about}), *map(_note_line, notes)]))
        new.rename(path)

    def append(self, note: ChunkNote) -> None:
        """Note a chunk that is on the disk; it counts once this returns. Raises OSError."""
        self._write(_note_line(note))

    def close(self) -> None:
        """Nothing more will be noted."""
        os.close(self._file)

    def _write(self, lines: bytes) -> None:
        rest = memoryview(lines)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        os.fsync(self._file)


def read_journal(path: Path, about: Json) -> list[ChunkNote]:
    """The chunks that were noted under `about`, in order; none where it was something else, or cannot be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return []
    lines = list(_intact(content))
    if not lines or lines[0] != {"journal": JOURNAL_VERSION, "about": about}:
        return []
    return [_note(line) for line in lines[1:]]


def _line(value: Json) -> bytes:
    text = canonical_json(value).encode()
    return hashlib.sha256(text).hexdigest()[:_SUM].encode() + b" " + text + b"\n"


def _intact(content: bytes) -> Iterator[Json]:
    """The lines up to the first that is damaged or cut."""
    for line in content.split(b"\n")[:-1]:
        found, _, text = line.partition(b" ")
        if found != hashlib.sha256(text).hexdigest()[:_SUM].encode():
            return
        yield json.loads(text)


def _note_line(note: ChunkNote) -> bytes:
    return _line(
        {
            "file": note.file.model_dump(),
            "rows": len(note.valid),
            "valid": b64encode(np.packbits(note.valid).tobytes()).decode(),
            "columns": b64encode(note.columns.astype("<f4").tobytes()).decode(),
            "problems": [list(problem) for problem in note.problems],
        }
    )


def _note(line: Json) -> ChunkNote:
    rows = line["rows"]
    valid = np.unpackbits(np.frombuffer(b64decode(line["valid"]), np.uint8), count=rows).astype(np.bool_)
    columns = np.frombuffer(b64decode(line["columns"]), "<f4").astype(np.float32)
    problems = tuple((row, reason) for row, reason in line["problems"])
    return ChunkNote(FileEntry(**line["file"]), valid, columns.reshape(rows, -1) if rows else columns, problems)
