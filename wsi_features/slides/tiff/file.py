"""One open file for all readers of a slide: reads name their position, so threads and forked processes share it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class SharedFile:
    """A file that is open while anybody needs it: counted by `retain` and `release`, or for the length of a block.

    It stays the same file: when another has taken its place or it was written to since it was first
    opened, opening it again raises OSError.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = Lock()
        self._users = 0
        self._descriptor = -1
        self._identity: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Bytes in the file when it was first opened."""
        return self._identity[0] if self._identity is not None else 0

    def retain(self) -> None:
        """One user more; the first opens the file. Raises OSError."""
        with self._lock:
            if self._descriptor < 0:
                self._descriptor = self._opened()
            self._users += 1

    def release(self) -> None:
        """One user less; the last closes the file."""
        with self._lock:
            self._users -= 1
            if self._users <= 0:
                self._close()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Open for the length of a block. Raises OSError."""
        self.retain()
        try:
            yield
        finally:
            self.release()

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`, fewer at the end of the file. Raises OSError, also while nobody holds it."""
        return os.pread(self._descriptor, count, offset)

    def _opened(self) -> int:
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(descriptor)
        identity = (found.st_size, found.st_mtime_ns, found.st_ino, found.st_dev)
        if self._identity not in (None, identity):
            os.close(descriptor)
            raise OSError(errno.ESTALE, "the file has changed since it was opened")
        self._identity = identity
        return descriptor

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        self._close()
