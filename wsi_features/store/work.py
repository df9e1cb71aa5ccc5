"""Work directories: where a store is built, and the one step that makes it visible.

A work directory lies beside its target, hidden, and its name tells which process made
it: `.<slide_id>.zarr.<host>-<pid>-<start>-<random>`. Nothing of that enters the store,
because the directory itself becomes the store by being renamed.
"""

from __future__ import annotations

import errno
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsi_features.errors import StoreError
from wsi_features.recipe import digest
from wsi_features.store.commit import flush_folder
from wsi_features.store.reader import is_complete

_OWNER = r"(?P<host>[0-9a-f]{8})-(?P<pid>[0-9]{1,9})-(?P<start>[0-9]+)-[0-9a-f]{8}(?:\.old)?"
_UNKNOWN = 0
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def make_work_directory(target: Path) -> Path:
    """A new empty work directory for `target`, whose folder is made as well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.parent / f".{target.name}.{_token()}"
    work.mkdir()
    return work


def publish(work: Path, target: Path, fingerprint: str) -> None:
    """Make the finished store in `work` visible as `target` by one rename.

    A complete store of the same `fingerprint` that is there already stays, and `work` is
    dropped. Anything else is moved aside first and deleted afterwards.
    """
    replaced = []
    while not _moved_in(work, target):
        if is_complete(target, fingerprint):
            remove(work)
            break
        replaced.append(_moved_aside(target))
    flush_folder(target.parent)
    for old in replaced:
        remove(old)


def sweep(target: Path) -> list[Path]:
    """Delete what writers of `target` left behind that were killed on this machine; returns the paths.

    A writer that still runs keeps its directory, and so does one of another machine,
    container or boot: from here nobody can tell whether it lives.
    """
    dead = _orphans(target.parent, re.escape(target.name))
    for path in dead:
        remove(path)
    return dead


def abandoned(root: Path) -> list[Path]:
    """The work directories below `root` whose writers were killed on this machine, sorted; nothing is deleted."""
    found: list[Path] = []
    for folder, below, _ in os.walk(root):
        found += _orphans(Path(folder), r".+\.zarr")
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
    """Turns what the system refuses (no space, no permission) into a StoreError that names `target`."""
    try:
        yield
    except OSError as error:
        raise StoreError.unwritable(str(target), error.strerror or str(error)) from error


def _moved_in(work: Path, target: Path) -> bool:
    """Rename, unless something is in the way: a folder never replaces a file or a folder with files."""
    try:
        work.rename(target)
    except OSError as error:
        if error.errno not in _OCCUPIED:
            raise
        return False
    return True


def _moved_aside(target: Path) -> Path:
    """The hidden path that `target` was renamed to; nothing is there when another writer was faster."""
    aside = target.parent / f".{target.name}.{_token()}.old"
    with suppress(FileNotFoundError):
        target.rename(aside)
    return aside


def _orphans(folder: Path, name: str) -> list[Path]:
    pattern = re.compile(rf"\.{name}\." + _OWNER)
    if not folder.is_dir():
        return []
    found = [(path, pattern.fullmatch(path.name)) for path in folder.iterdir()]
    return sorted(path for path, match in found if match is not None and _is_orphan(match))


def _token() -> str:
    pid = os.getpid()
    return f"{_host()}-{pid}-{_start_time(pid) or _UNKNOWN}-{secrets.token_hex(4)}"


def _host() -> str:
    """Eight digits for the set of processes that one can look up by number from here."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    identity = (
        platform.node(),
        boot.read_text() if boot.is_file() else "",
        str(namespace.readlink()) if namespace.is_symlink() else "",
    )
    return digest(identity)[:8]


def _is_orphan(owner: re.Match[str]) -> bool:
    """Whether the process that made a directory is known to be gone; numbers are reused, start times are not."""
    if owner["host"] != _host():
        return False
    pid = int(owner["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, or its number was given to another user's process: the start time tells
    start = _start_time(pid)
    return start is not None and int(owner["start"]) not in (start, _UNKNOWN)


def _start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; -1 for one that is dead but not yet reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name in brackets may hold anything
    return -1 if fields[0] in "ZX" else int(fields[19])
