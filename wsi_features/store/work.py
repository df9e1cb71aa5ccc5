"""Work directories: where a store is built, and the one step that makes it visible.

A work directory lies beside its target, hidden, and its name tells which process made it:
`.<slide_id>.zarr.<host>-<pid>-<start>-<random>`. The store is built in its folder `store`, which becomes the store by
being renamed, so nothing of the owner enters it. Beside that lies the journal, by which the next writer takes up what
a killed one left.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from wsi_features.errors import StorageError, StoreError
from wsi_features.store.commit import flush_folder
from wsi_features.store.owner import OWNER, Life, life, nobodys_token, token
from wsi_features.store.reader import is_complete, slide_of

STORE, ARCHIVE, JOURNAL = "store", "store.zarr.zip", "journal"
"""What a work directory holds."""

_LONG_SECONDS = 24 * 3600.0
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
_LEFT = re.compile(rf"\.(?P<target>.+\.zarr(?:\.zip)?)\.(?P<owner>{OWNER})(?:\.old|\.claim)?")


class Left(NamedTuple):
    """Something hidden of a writer: a work directory, a replaced store, a claim in the making."""

    path: Path
    target: Path
    owner: str

    @property
    def life(self) -> Life:
        """Whether its owner lives."""
        return life(self.owner)

    def changed(self) -> float:
        """When it was last added to, by the file system's clock."""
        return max(map(_time_of, (self.path, *(self.path / name for name in (STORE, JOURNAL, f"{STORE}/features/c")))))


def make_work_directory(target: Path) -> Path:
    """A new work directory for `target` with an empty folder for the store; the target's folder is made as well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = own_path(target)
    work.mkdir()
    (work / STORE).mkdir()
    return work


def own_path(target: Path) -> Path:
    """A new name for a work directory of this process."""
    return target.parent / f".{target.name}.{token()}"


def publish(root: Path, target: Path, fingerprint: str) -> None:
    """Make the finished store at `root` visible as `target` by one rename.

    A complete store of the same `fingerprint` that is there already stays, and `root` is left where it is. Anything
    else is moved aside first and deleted afterwards.
    """
    replaced = []
    while not _moved_in(root, target):
        if is_complete(target, fingerprint):
            break
        replaced.append(_moved_aside(target))
    flush_folder(target.parent)
    for old in replaced:
        remove(old)


def set_aside(work: Path, target: Path) -> None:
    """Give a work directory up for the next writer of `target`, whoever that is."""
    with suppress(OSError):  # then it is found by its owner's end
        work.rename(target.parent / f".{target.name}.{nobodys_token()}")


def sweep(target: Path) -> list[Path]:
    """Delete what writers of `target` left behind that were killed on this machine; returns the paths.

    A writer that still runs keeps its directory, and so does one of another machine,
    container or boot: from here nobody can tell whether it lives.
    """
    dead = [left.path for left in leftovers(target.parent) if left.target == target and left.life == "dead"]
    for path in dead:
        remove(path)
    return dead


def leftovers(folder: Path) -> list[Left]:
    """All that is hidden in `folder` and belongs to some writer, sorted by path."""
    try:
        found = [(path, _LEFT.fullmatch(path.name)) for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(Left(path, folder / match["target"], match["owner"]) for path, match in found if match is not None)


def abandoned(root: Path) -> list[Path]:
    """What writers below `root` left that were killed, sorted; nothing is deleted.

    Of a writer of another machine nobody can tell from here whether it lives: a day's silence is taken for its end.
    """
    found: list[Path] = []
    long_ago = time.time() - _LONG_SECONDS
    for folder, below, _ in os.walk(root):
        left = leftovers(Path(folder))
        found += [it.path for it in left if it.life == "dead" or (it.life == "unknown" and it.changed() < long_ago)]
        below[:] = [name for name in below if ".zarr" not in name]
    return sorted(found)


def remove(path: Path) -> None:
    """Delete a hidden directory, file or link as far as the system lets us; `sweep` takes what is left."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turns what the system refuses into an error that names the slide of `target`.

    A StorageError, which ends the job, where no other slide could be written either: no space, a read-only or lost
    disk. Else a StoreError.
    """
    try:
        yield
    except OSError as error:
        if StorageError.is_behind(error):
            raise StorageError.refused(slide_of(target), str(target.parent), error.strerror or str(error)) from error
        raise StoreError.unwritable(str(target), error.strerror or str(error)) from error


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _moved_in(root: Path, target: Path) -> bool:
    """Rename, unless something is in the way: a folder never replaces a file or a folder with files, nor a link."""
    try:
        if root.is_dir():
            root.rename(target)
        else:
            os.link(root, target)
    except OSError as error:
        if error.errno in _NO_LINKS and not target.exists():  # where there are no links; both would be complete
            root.rename(target)
            return True
        if error.errno not in _OCCUPIED:
            raise
        return False
    return True


def _moved_aside(target: Path) -> Path:
    """The hidden path that `target` was renamed to; nothing is there when another writer was faster."""
    aside = target.parent / f".{target.name}.{token()}.old"
    with suppress(FileNotFoundError):
        target.rename(aside)
    return aside
