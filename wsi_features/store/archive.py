"""A store in one file: the same files, uncompressed, in a ZIP archive `<slide_id>.zarr.zip`.

For disks on which the number of files is what runs out. Every chunk lies in the archive as it would lie in the folder.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wsi_features.errors import StoreError

ARCHIVE_SUFFIX = ".zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that ZIP knows: equal stores are equal files."""


def is_archive(root: Path) -> bool:
    """Whether a store is one file."""
    return root.name.endswith(ARCHIVE_SUFFIX) and root.is_file()


def pack(root: Path, archive: Path) -> None:
    """Put every file below `root` into a new `archive`, sorted, and flush it to the disk. Raises OSError."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    with archive.open("xb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as packed:
            for path in files:
                member = zipfile.ZipInfo(path.relative_to(root).as_posix(), _EPOCH)
                member.external_attr = 0o644 << 16
                member.file_size = path.stat().st_size
                with path.open("rb") as source, packed.open(member, "w") as target:
                    while data := source.read(1 << 22):
                        target.write(data)
        file.flush()
        os.fsync(file.fileno())


def member_sizes(archive: Path) -> dict[str, int]:
    """Size of every file by its path in the store; -1 for one that is compressed or there twice. Raises StoreError."""
    found: dict[str, int] = {}
    with _opened(archive) as packed:
        for member in packed.infolist():
            plain = member.compress_type == zipfile.ZIP_STORED and member.filename not in found
            found[member.filename] = member.file_size if plain else -1
    return found


@contextmanager
def member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """One file of a store, open for reading. Raises FileNotFoundError and StoreError."""
    with _opened(archive) as packed:
        if name not in packed.NameToInfo:
            raise FileNotFoundError(name)
        with packed.open(name) as file:
            yield file


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(archive) as packed:
            yield packed
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise StoreError.unreadable(str(archive), "the archive", str(error)) from error
