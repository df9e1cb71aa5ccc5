"""The content fingerprint of a slide: cheap, and changed by any repair that changes size, head or tail.

A slide that is one file has the value that it always had. One of several files has a value over all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from wsi_features.slides.folders import companions
from wsi_features.slides.remote import remote_blocks, remote_size

_BLOCK = 256 * 1024
_SAMPLES = 16
_PARTS_SAMPLED = 256
_BLOCKS_IN_ALL = 512
"""At most 128 MiB are read of a slide of several files, whatever their number."""

_METADATA = {".ini", ".xml", ".json", ".zattrs", ".zarray", ".zgroup", ".zmetadata"}
_LARGEST_METADATA = 1024 * 1024
_SHA256_BLOCK = 1024 * 1024


def content_fingerprint(path: Path) -> str:
    """SHA-256 over the file's size and 18 blocks of 256 KiB: head, tail and 16 spread evenly between.

    A file of up to 4.5 MiB is hashed whole. Reading takes milliseconds for a slide of any size. Of a slide of
    several files, the names and sizes of all count, metadata files whole, and blocks of at most 256 others.
    """
    parts = companions(path)
    if path.is_dir():
        return _of_parts(path, parts)
    return _of_parts(path.parent, (path, *parts)) if parts else _of_file(path)


def remote_fingerprint(slide_id: str, path: str) -> str:
    """`content_fingerprint` of an object elsewhere, of which only the 18 blocks are read: the value of a local copy.

    Raises SlideFileError.
    """
    size = remote_size(slide_id, path)
    hashed = hashlib.sha256(f"wsi_features:{size}:".encode())
    for block in remote_blocks(slide_id, path, size, _BLOCK, _offsets(size, _SAMPLES)):
        hashed.update(block)
    return hashed.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of one file, as 64 hexadecimal digits, read in blocks of 1 MiB while other threads run.

    It is the checksum that `sha256sum` prints, so only a file has it: IsADirectoryError for a folder.
    """
    if path.is_dir():
        raise IsADirectoryError(
            f"{str(path)!r} is a folder, and only a file has a SHA-256; leave it out for this slide"
        )
    hashed = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while block := file.read(_SHA256_BLOCK):
            hashed.update(block)
    return hashed.hexdigest()


def _of_file(path: Path) -> str:
    size = path.stat().st_size
    hashed = hashlib.sha256(f"wsi_features:{size}:".encode())
    _add_blocks(hashed, path, _offsets(size, _SAMPLES))
    return hashed.hexdigest()


def _of_parts(base: Path, parts: Sequence[Path]) -> str:
    """Over files below `base`, by their names relative to it, in whatever order they come."""
    named = sorted((part.relative_to(base).as_posix(), part, part.stat().st_size) for part in parts)
    hashed = hashlib.sha256(f"wsi_features:parts:{len(named)}:".encode())
    for name, _, size in named:
        hashed.update(f"{len(name.encode(errors='surrogateescape'))}:{size}:".encode())
        hashed.update(name.encode(errors="surrogateescape"))
    small = [(part, size) for _, part, size in named if _is_metadata(part) and size <= _LARGEST_METADATA]
    others = _spread([(part, size) for _, part, size in named if not _is_metadata(part) or size > _LARGEST_METADATA])
    for part, size in small:
        _add_blocks(hashed, part, _offsets(size, size // _BLOCK))
    for part, size in others:
        _add_blocks(hashed, part, _offsets(size, _BLOCKS_IN_ALL // len(others) - 2))
    return hashed.hexdigest()


def _is_metadata(path: Path) -> bool:
    return path.name in _METADATA or path.suffix.lower() in _METADATA


def _spread(parts: Sequence[tuple[Path, int]]) -> list[tuple[Path, int]]:
    """At most `_PARTS_SAMPLED` of them, the first and the last among them."""
    if len(parts) <= _PARTS_SAMPLED:
        return list(parts)
    return [parts[i * (len(parts) - 1) // (_PARTS_SAMPLED - 1)] for i in range(_PARTS_SAMPLED)]


def _add_blocks(hashed: hashlib._Hash, path: Path, offsets: Sequence[int]) -> None:
    with path.open("rb") as file:
        for offset in offsets:
            file.seek(offset)
            hashed.update(file.read(_BLOCK))


def _offsets(size: int, samples: int) -> list[int]:
    """Where blocks start: everywhere in a small file, else at its head and tail and `samples` places between."""
    if size <= _BLOCK * (samples + 2):
        return list(range(0, size, _BLOCK))
    last = size - _BLOCK
    return [0, *(last * (i + 1) // (samples + 1) for i in range(samples)), last]
