"""The commit record: the one sign that a store is complete.

Zarr cannot tell a chunk that was never written from one that holds fill values, so a
store counts only with a record of every file, written last. The record is a small
JSON file in the store; making it also brings every file safely to the disk.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import IO, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wsi_features.errors import StoreError
from wsi_features.recipe import canonical_json
from wsi_features.store.archive import is_archive, member, member_sizes
from wsi_features.store.layout import FORMAT_VERSION
from wsi_features.store.provenance import Sha256, stated_version

COMMIT_FILE = "commit.json"

_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")
_READERS = 4
"""Files that are hashed at once."""
_NO_DIRECTORY_FSYNC = (errno.EINVAL, errno.ENOTSUP)


class FileEntry(BaseModel):
    """One file: path from the store's top with `/`, size in bytes, SHA-256 of its content."""

    model_config = _STRICT

    path: str
    size: Annotated[int, Field(ge=0)]
    sha256: Sha256


class CommitRecord(BaseModel):
    """What the store holds: `rows` tiles x `dim` features, made under `fingerprint`, in `files` sorted by path."""

    model_config = _STRICT

    version: Annotated[int, Field(ge=1)]
    fingerprint: Sha256
    rows: Annotated[int, Field(ge=0)]
    dim: Annotated[int, Field(ge=1)]
    files: tuple[FileEntry, ...]

    def to_bytes(self) -> bytes:
        """The only spelling of this record that readers accept."""
        return (canonical_json(self.model_dump()) + "\n").encode()


def seal(root: Path, fingerprint: str, rows: int, dim: int, flushed: Iterable[FileEntry] = ()) -> CommitRecord:
    """Write the commit record of the store at `root`, with everything flushed to the disk.

    Every file and folder is there before the record, and the record before the return. Files that are `flushed`
    already are recorded as they were meant to be, without being read. The version is that of the attributes.
    """
    known = {entry.path: entry for entry in flushed}
    files = tuple(known.get(path) or _flushed_entry(root, path) for path in sorted(_sizes(root)))
    _flush_folders(root)
    record = CommitRecord(version=stated_version(root), fingerprint=fingerprint, rows=rows, dim=dim, files=files)
    with (root / COMMIT_FILE).open("xb") as file:
        file.write(record.to_bytes())
        file.flush()
        os.fsync(file.fileno())
    flush_folder(root)
    return record


def read_record(root: Path) -> CommitRecord:
    """The commit record of the store at `root`. Raises StoreError for anything but a valid one."""
    content = _record_bytes(root)
    _require_known_version(root, content)
    try:
        record = CommitRecord.model_validate_json(content)
    except ValidationError as error:
        raise StoreError.uncommitted(str(root), f"{COMMIT_FILE} is not a commit record") from error
    if record.to_bytes() != content:
        raise StoreError.uncommitted(str(root), f"{COMMIT_FILE} is not in canonical form")
    return record


def _record_bytes(root: Path) -> bytes:
    """The record file of a store. Raises StoreError."""
    try:
        found = _bytes_if_there(root)
        there = found is not None or root.is_dir() or is_archive(root)
        if found is None and there:  # looked for twice: a whole store may have appeared in between
            found = _bytes_if_there(root)
    except OSError as error:
        raise StoreError.unreadable(str(root), COMMIT_FILE, error.strerror or str(error)) from error
    if found is None:
        raise StoreError.uncommitted(str(root), f"no {COMMIT_FILE}") if there else StoreError.absent(str(root))
    return found


def _bytes_if_there(root: Path) -> bytes | None:
    try:
        with opened_file(root, COMMIT_FILE) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def opened_file(root: Path, path: str) -> AbstractContextManager[IO[bytes]]:
    """One file of the store at `root`, a folder or an archive, for reading. Raises OSError and StoreError."""
    return member(root, path) if is_archive(root) else (root / path).open("rb")


def verify_files(root: Path, record: CommitRecord) -> None:
    """Exactly the recorded files with their sizes. Raises StoreError naming the first that differs."""
    sizes = _sizes(root)
    for entry in record.files:
        size = sizes.pop(entry.path, None)
        if size is None:
            raise StoreError.missing_file(str(root), entry.path)
        if size != entry.size:
            found = f"{size} bytes" if size >= 0 else "no regular file"
            raise StoreError.damaged(str(root), entry.path, found, f"{entry.size} bytes")
    for path in sorted(sizes):
        raise StoreError.extra_file(str(root), path)


def verify_hashes(root: Path, record: CommitRecord) -> None:
    """Every recorded byte. Raises StoreError naming the first file that differs."""
    with ThreadPoolExecutor(_READERS, "hash") as executor:  # hashing lets other threads run
        for entry, found in zip(record.files, executor.map(partial(_sha256, root), record.files), strict=True):
            if found != entry.sha256:
                raise StoreError.damaged(str(root), entry.path, f"SHA-256 {found[:16]}", entry.sha256[:16])


def _sha256(root: Path, entry: FileEntry) -> str:
    try:
        with opened_file(root, entry.path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # it reads into buffers
    except OSError as error:
        raise StoreError.unreadable(str(root), entry.path, error.strerror or str(error)) from error


def flush_folder(path: Path) -> None:
    """Bring the entries of one folder to the disk; some network file systems refuse, and need no such call."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_FSYNC:
            raise
    finally:
        os.close(descriptor)


def _require_known_version(root: Path, content: bytes) -> None:
    """A later version may record other things, so its number is read before anything else."""
    try:
        document = json.loads(content)
    except ValueError as error:
        raise StoreError.uncommitted(str(root), f"{COMMIT_FILE} is not JSON") from error
    version = document.get("version") if isinstance(document, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise StoreError.version(str(root), version, FORMAT_VERSION)


def _sizes(root: Path) -> dict[str, int]:
    """Size of every file but the record, by path from `root`; -1 for what is no regular file.

    Links are followed: data managers such as git-annex keep large files behind them.
    """
    if is_archive(root):
        packed = member_sizes(root)
        packed.pop(COMMIT_FILE, None)
        return packed
    sizes = dict(_files(str(root)))
    sizes.pop(COMMIT_FILE, None)
    return sizes


def _files(folder: str, within: str = "") -> Iterator[tuple[str, int]]:
    """What is below a folder, as text: paths as objects took half the time of opening a store."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:  # its files are then missing from the store
        return
    for entry in entries:
        if not entry.is_dir():
            yield within + entry.name, _size(entry)
        elif not entry.is_symlink():
            yield from _files(entry.path, f"{within}{entry.name}/")


def _size(entry: os.DirEntry[str]) -> int:
    try:
        status = entry.stat()
    except OSError:  # a dangling link, for one
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _flushed_entry(root: Path, path: str) -> FileEntry:
    with (root / path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        return FileEntry(path=path, size=os.fstat(file.fileno()).st_size, sha256=sha256)


def _flush_folders(root: Path) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        flush_folder(Path(folder))
