"""Slides copied to a disk of this machine before they are read: for network file systems and object stores.

A copy never changes a result: it has the bytes of the slide. One thread copies in the order of use, ahead of it, within
a bound on the space; each copy is removed once its slide is done, and all of them when the job ends. What a killed job
left behind is removed by the next one: its folder is no longer locked.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition
from typing import Any, Self

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.config import Tuning
from wsi_features.errors import RemoteSlideError, SlideError, SlideFileError
from wsi_features.slides.folders import companions
from wsi_features.slides.remote import copy_remote, is_remote, remote_name, remote_size, shown
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.preflight import described_failure

_BLOCK = 8 * 1024 * 1024
_PREFIX = "wsi_features-staged-"
_YOUNG_SECONDS = 60

_log = logging.getLogger("wsi_features")


@contextmanager
def near(row: ManifestRow, tuning: Tuning) -> Iterator[ManifestRow]:
    """The row with a local path, for the `with` block: of a remote slide that of a copy. Raises SlideFileError."""
    if not is_remote(row.path):
        yield row
        return
    try:
        with _scratch(tuning) as folder:
            yield _copied(row, folder, lambda: True)
    except OSError as error:
        raise _no_scratch(row, tuning, error) from error


def described_near(inspector: Inspector, row: ManifestRow, tuning: Tuning) -> dict[str, Any]:
    """What the inspector says of a slide, wherever it lies; one that cannot be fetched is described by that."""
    try:
        with near(row, tuning) as here:
            return inspector.described(here)
    except SlideFileError as error:
        return described_failure(row.slide_id, error)


class Staging:
    """Copies of slides that are needed soon, for one `with` block; any thread may ask.

    `rows` are in the order of use, and `needed` says whether one will be read at all. Remote slides are always copied,
    others where `tuning.scratch` is given; one that does not fit there is read where it is.
    """

    def __init__(self, rows: Sequence[ManifestRow], tuning: Tuning, needed: Callable[[ManifestRow], bool]) -> None:
        self._rows = [row for row in rows if tuning.scratch or is_remote(row.path)]
        self._tuning, self._needed = tuning, needed
        self._limit = int(tuning.scratch_gib * 2**30)
        self._changed = Condition()
        self._open = True
        self._folder: Path | None = None
        self._pending = {row.slide_id for row in self._rows}
        self._sizes: dict[str, int] = {}
        self._found: dict[str, ManifestRow | SlideError] = {}
        self._thread = ThreadPoolExecutor(1, "staging")
        self._work: Future[None] | None = None

    def __enter__(self) -> Self:
        if self._rows:
            self._work = self._thread.submit(self._copy_all)
        return self

    def __exit__(self, *exc: object) -> None:
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._thread.shutdown(wait=True)

    def near(self, row: ManifestRow) -> ManifestRow:
        """The row with the path of its copy, once that is there, or as it is. Raises SlideFileError."""
        with self._changed:
            while row.slide_id in self._pending and self._open:
                if self._work is not None and self._work.done():
                    self._work.result()
                self._changed.wait(1.0)
            found = self._found.get(row.slide_id, row)
        if found is row and is_remote(row.path) and self._folder is not None:  # it was not expected, or is read again
            found = self._staged(row, self._folder)
            with self._changed:
                self._found[row.slide_id] = found
        if isinstance(found, SlideError):
            raise found
        return found

    def done(self, row: ManifestRow) -> None:
        """The slide is not read any more, and its copy goes."""
        with self._changed:
            copied = self._sizes.pop(row.slide_id, None) is not None
            found = self._found.pop(row.slide_id, None)
            self._pending.discard(row.slide_id)
            if copied and isinstance(found, ManifestRow):
                _delete_copy(found)
            self._changed.notify_all()

    def _copy_all(self) -> None:
        """The thread: copy in order, then keep the folder until the end."""
        try:
            with _scratch(self._tuning) as folder:
                self._folder = folder
                for row in self._rows:
                    self._settle(row, self._staged(row, folder) if self._expected(row) else row)
                with self._changed:
                    self._changed.wait_for(lambda: not self._open)
        except OSError as error:  # of the folder itself; what concerns one slide is told of that
            for row in self._rows:
                self._settle(row, self._in_place(row, error))

    def _settle(self, row: ManifestRow, found: ManifestRow | SlideError) -> None:
        with self._changed:
            if row.slide_id in self._pending:
                self._found[row.slide_id] = found
                self._pending.remove(row.slide_id)
            self._changed.notify_all()

    def _expected(self, row: ManifestRow) -> bool:
        try:
            return row.slide_id in self._pending and self._needed(row)
        except SlideError:  # of which the work on the slide tells
            return False

    def _staged(self, row: ManifestRow, folder: Path) -> ManifestRow | SlideError:
        """The row of the copy, or where that cannot be made the row itself or what is wrong."""
        try:
            self._wait_for_room(row, folder, _size(row))
            return _copied(row, folder, lambda: self._open)
        except SlideError as error:
            return error
        except OSError as error:
            with self._changed:
                self._sizes.pop(row.slide_id, None)
            return self._in_place(row, error)

    def _wait_for_room(self, row: ManifestRow, folder: Path, size: int) -> None:
        """Until the copy fits, and then reserve its space. Raises OSError when it cannot fit."""
        with self._changed:
            while self._open and self._sizes and not self._fits(folder, size):
                self._changed.wait()
            if not self._fits(folder, size):
                raise OSError(f"it has {size / 2**30:.2f} GiB, more than `tuning.scratch_gib` or the disk can take")
            self._sizes[row.slide_id] = size

    def _fits(self, folder: Path, size: int) -> bool:
        return sum(self._sizes.values()) + size <= self._limit and size < shutil.disk_usage(folder).free

    def _in_place(self, row: ManifestRow, error: OSError) -> ManifestRow | SlideError:
        if is_remote(row.path):
            return _no_scratch(row, self._tuning, error)
        _log.warning("slide %s is read where it is, not from scratch: %s", row.slide_id, error.strerror or error)
        return row


def _no_scratch(row: ManifestRow, tuning: Tuning, error: OSError) -> RemoteSlideError:
    why = error.strerror or str(error)
    return RemoteSlideError.no_scratch(row.slide_id, shown(row.path), str(_scratch_root(tuning)), why)


def _copied(row: ManifestRow, folder: Path, wanted: Callable[[], bool]) -> ManifestRow:
    """The row of a copy below `folder`, in a folder of its own. Raises OSError or SlideFileError."""
    own = folder / secrets.token_hex(4)
    own.mkdir()
    if is_remote(row.path):
        target = own / remote_name(row.path)
        copy_remote(row.slide_id, row.path, target, wanted)
        return row.model_copy(update={"path": str(target)})
    path = Path(row.path)
    for source in _files(path):
        target = own / source.relative_to(path.parent)
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(source, target, wanted)
    return row.model_copy(update={"path": str(own / path.name)})


def _copy(source: Path, target: Path, wanted: Callable[[], bool]) -> None:
    with source.open("rb") as reading, target.open("xb") as writing:
        while wanted() and (block := reading.read(_BLOCK)):
            writing.write(block)


def _files(path: Path) -> tuple[Path, ...]:
    return companions(path) if path.is_dir() else (path, *companions(path))


def _size(row: ManifestRow) -> int:
    if is_remote(row.path):
        return remote_size(row.slide_id, row.path)
    return sum(file.stat().st_size for file in _files(Path(row.path)))


def _delete_copy(row: ManifestRow) -> None:
    shutil.rmtree(Path(row.path).parent, ignore_errors=True)


def _scratch_root(tuning: Tuning) -> Path:
    return Path(os.path.expandvars(tuning.scratch) if tuning.scratch else tempfile.gettempdir())


@contextmanager
def _scratch(tuning: Tuning) -> Iterator[Path]:
    """A folder of this process alone, locked while it lives; those of dead processes are removed first."""
    root = _scratch_root(tuning)
    if "$" in str(root):
        raise OSError(f"{tuning.scratch} names a variable that is not set")
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f"{_PREFIX}*"):
        _remove_unlocked(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _remove_unlocked(folder: Path) -> None:
    """Delete a folder that no process holds; a new one is given a minute to be locked."""
    with suppress(OSError):
        if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)
