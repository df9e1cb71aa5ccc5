"""One folder of weights: files under their SHA-256, and a small JSON record for each encoder that uses one.

    sha256/ab/abcd...            the file, or a symbolic link to it
    encoders/uni/abcd....json    its record

Every file appears whole under its own name, so any number of processes may add and read at once: equal files
meet under one name, and a record is written only after its file. Reading changes nothing.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from wsi_features.encode.weights_store.record import WeightsRecord, slug
from wsi_features.errors import WeightsStoreError, one_line
from wsi_features.files import replacing, write_text

FETCHING = ".fetching"
"""Where in a folder files lie that are still arriving."""

_PIECE = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with the folder it lies in."""

    folder: Path
    record: WeightsRecord

    @property
    def file(self) -> Path:
        """Where the weights are."""
        return file_path(self.folder, self.record.sha256)

    @property
    def record_file(self) -> Path:
        """Where the record is."""
        return record_path(self.folder, self.record.encoder, self.record.sha256)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be read."""

    path: Path
    why: str


def file_path(folder: Path, sha256: str) -> Path:
    """The file of that digest."""
    return folder / "sha256" / sha256[:2] / sha256


def record_path(folder: Path, key: str, sha256: str) -> Path:
    """The record of that file for the encoder `key`."""
    return folder / "encoders" / slug(key) / f"{sha256}.json"


def named_digest(path: Path) -> str | None:
    """The SHA-256 that a file in a weights folder has by its name; None for a file anywhere else."""
    name = path.name
    is_digest = len(name) == 64 and not set(name) - set("0123456789abcdef")
    return name if is_digest and path.parent.parent.name == "sha256" and path.parent.name == name[:2] else None


def entries(folder: Path, key: str | None = None) -> Iterator[Entry | BadRecord]:
    """The records of a folder, or those of one encoder, by path; a folder that is not there has none.

    Raises WeightsStoreError where the folder cannot be read.
    """
    top = folder / "encoders"
    for shelf in [top / slug(key)] if key else _listed(top):
        for path in _listed(shelf):
            if path.suffix == ".json":
                found = _entry(folder, path)
                if key is None or not isinstance(found, Entry) or found.record.encoder == key:
                    yield found


def put_copy(folder: Path, source: Path, record: WeightsRecord) -> Entry:
    """Copy a file in, hashing what is read, and write its record.

    A file that is there already is replaced by the equal one, which mends a damaged one. Raises WeightsStoreError,
    also when `source` has another SHA-256 than the record.
    """
    entry = Entry(folder, record)
    with _opened(source) as read, _writing(folder), replacing(entry.file) as temporary:
        found = _copied(read, temporary)
        if found != record.sha256:
            raise WeightsStoreError.other_digest(record.encoder, str(source), found, record.sha256)
    return _recorded(entry)


def put_link(folder: Path, source: Path, record: WeightsRecord) -> Entry:
    """Link to a file that stays where it is. Raises WeightsStoreError."""
    entry = Entry(folder, record)
    with _writing(folder):
        entry.file.parent.mkdir(parents=True, exist_ok=True)
        temporary = entry.file.with_name(f".{record.sha256}.{secrets.token_hex(4)}.tmp")
        temporary.symlink_to(source.resolve())
        temporary.replace(entry.file)
    return _recorded(entry)


def put_moved(folder: Path, source: Path, record: WeightsRecord) -> Entry:
    """Take over a file of the same file system, which is known to have the record's SHA-256. Raises WeightsStoreError."""
    entry = Entry(folder, record)
    with _writing(folder), replacing(entry.file) as temporary:
        source.replace(temporary)
    return _recorded(entry)


def _recorded(entry: Entry) -> Entry:
    with _writing(entry.folder):
        write_text(entry.record_file, entry.record.model_dump_json(indent=1) + "\n")
    return entry


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WeightsStoreError.unwritable(str(folder), error.strerror or str(error)) from error


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    """A file to copy; that it cannot be opened is not the folder's fault."""
    try:
        file = source.open("rb")
    except OSError as error:
        raise WeightsStoreError.cannot_read(str(source), error.strerror or str(error)) from error
    with file:
        yield file


def _copied(read: BinaryIO, target: Path) -> str:
    """Copy in pieces and return the SHA-256 of what was read."""
    digest = hashlib.sha256()
    with target.open("xb") as written:
        while piece := read.read(_PIECE):
            digest.update(piece)
            written.write(piece)
    return digest.hexdigest()


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where there is none. Unlike a glob, what may not be read is an error."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise WeightsStoreError.cannot_read(str(folder), error.strerror or str(error)) from error


def _entry(folder: Path, path: Path) -> Entry | BadRecord:
    try:
        record = WeightsRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return BadRecord(path, one_line(f"{where}: {first['msg']}" if where else first["msg"]))
    except OSError as error:
        return BadRecord(path, error.strerror or str(error))
    found = Entry(folder, record)
    if found.record_file != path:
        return BadRecord(path, f"it is of {record.encoder!r} with SHA-256 {record.sha256[:12]}, as its path is not")
    return found
