"""Slides that lie in an object store, as `s3://bucket/key`: what is known of them from afar, and copies of them.

Readers get local files only. fsspec, which knows the protocols, takes addresses and credentials from where its file
systems look for them: environment variables and the files of the provider's own tools.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from wsi_features.errors import RemoteSlideError, SlideFileError

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+://")
_COPY_BLOCK = 8 * 1024 * 1024
_IN_SEVERAL_FILES = {".mrxs", ".vms", ".vmu"}


def is_remote(path: str) -> bool:
    """Whether a path names an object elsewhere; `file://` is no exception, since nobody needs it."""
    return _REMOTE.match(path) is not None


def remote_name(path: str) -> str:
    """The last part of a remote path, without a query, which may hold a key."""
    return path.partition("?")[0].rstrip("/").rpartition("/")[2]


def shown(path: str) -> str:
    """The path as it may be shown: without user, password and query."""
    return re.sub(r"^([a-z][a-z0-9+.-]+://)[^/@]*@", r"\1", path.partition("?")[0])


def remote_size(slide_id: str, path: str) -> int:
    """Bytes of the object. Raises SlideFileError when it is absent, empty or out of reach."""
    with _translated(slide_id, path):
        size = int(_file_system(path).info(path)["size"])
    if size == 0:
        raise SlideFileError.empty(slide_id, shown(path))
    if Path(remote_name(path)).suffix.lower() in _IN_SEVERAL_FILES:
        raise RemoteSlideError.in_several_files(slide_id, shown(path))
    return size


def remote_stamp(path: str) -> str:
    """What changes when the object is written again: its size with its checksum or time. Raises OSError.

    The folder is listed once, so that a cohort costs a few requests instead of one a slide.
    """
    system = _file_system(path)
    folder = path.rpartition("/")[0]
    system.ls(folder, detail=True)
    about: dict[str, Any] = system.info(path)
    return (
        f"{about['size']} {about.get('ETag') or about.get('etag') or about.get('LastModified') or about.get('mtime')}"
    )


def remote_blocks(slide_id: str, path: str, size: int, block: int, offsets: Sequence[int]) -> Iterator[bytes]:
    """Blocks of `block` bytes of an object of `size` bytes, at these offsets. Raises SlideFileError."""
    with _translated(slide_id, path):
        system = _file_system(path)
        for offset in offsets:
            yield system.cat_file(path, start=offset, end=min(offset + block, size))


def copy_remote(slide_id: str, path: str, target: Path, wanted: Callable[[], bool]) -> None:
    """Copy the object to the file `target`; stops early, with a part of it, when it is not `wanted` any more.

    Raises SlideFileError when it cannot be read to its end, and OSError when `target` cannot be written.
    """
    size = remote_size(slide_id, path)
    done = 0
    with target.open("xb") as file:
        for offset in range(0, size, _COPY_BLOCK):
            if not wanted():
                return
            with _translated(slide_id, path):
                part = _file_system(path).cat_file(path, start=offset, end=min(offset + _COPY_BLOCK, size))
            file.write(part)
            done += len(part)
    if done != size:
        raise RemoteSlideError.unreachable(slide_id, shown(path), f"{done} of {size} bytes came")


@lru_cache
def _system_of(protocol: str) -> Any:
    import fsspec

    return fsspec.filesystem(protocol)


def _file_system(path: str) -> Any:
    try:
        return _system_of(path.partition("://")[0])
    except (ImportError, ValueError) as error:
        raise OSError(str(error)) from error


@contextmanager
def _translated(slide_id: str, path: str) -> Iterator[None]:
    """What a file system raises becomes a SlideFileError; most of it is an OSError, and some comes from a client below."""
    try:
        yield
    except FileNotFoundError as error:
        raise SlideFileError.missing(slide_id, shown(path)) from error
    except OSError as error:
        raise RemoteSlideError.unreachable(slide_id, shown(path), error.strerror or str(error)) from error
