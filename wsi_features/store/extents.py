"""Extents: where the bytes of a store's files lie, in a directory or in one uncompressed ZIP archive."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wsi_features.errors import StoreError

_LOCAL_HEADER = 30
"""Bytes before a member's name in an archive; the lengths of name and extra field are the last four of them."""


@dataclass(frozen=True, slots=True)
class Extent:
    """`size` bytes from `offset` of the file `path`. `name` is what the store calls them."""

    path: str
    offset: int
    size: int
    name: str = ""


def file_bytes(root: Path, name: str) -> bytes:
    """A small file of the store at `root`. Raises OSError, and KeyError or ValueError for one that an archive lacks."""
    if not _is_archive(root):
        return (root / name).read_bytes()
    try:
        with zipfile.ZipFile(root) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(str(error)) from error


def extents_of(root: Path, names: list[str], size: int) -> tuple[Extent, ...]:
    """Files of the store at `root` of `size` bytes each, in the order given.

    Only an archive's list is read here. Raises StoreError for a member that is absent, compressed or of another size.
    """
    if not _is_archive(root):
        return tuple(Extent(f"{root}/{name}", 0, size, name) for name in names)
    try:
        with zipfile.ZipFile(root) as archive, root.open("rb") as file:
            return tuple(_member(root, archive, file, name, size) for name in names)
    except (OSError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise StoreError.unreadable(str(root), "the archive", str(error)) from error


def _member(root: Path, archive: zipfile.ZipFile, file: BinaryIO, name: str, size: int) -> Extent:
    info = archive.NameToInfo.get(name)
    if info is None:
        raise StoreError.missing_file(str(root), name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != size:
        found = f"{info.file_size} bytes{'' if info.compress_type == zipfile.ZIP_STORED else ', compressed'}"
        raise StoreError.damaged(str(root), name, found, f"{size} bytes")
    local = os.pread(file.fileno(), _LOCAL_HEADER, info.header_offset)
    skipped = int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
    return Extent(str(root), info.header_offset + _LOCAL_HEADER + skipped, size, name)


def _is_archive(root: Path) -> bool:
    return root.name.endswith(".zip") and root.is_file()
