"""Claims: one job at a time makes a store, also where jobs of several machines share a disk.

A claim on `s1.zarr` is the folder `.s1.zarr.claim` with one file in it, named after its owner. It comes into being by
renaming a prepared folder to that name, which a file system does for one of many who try, and only while no folder with
a file in it is there. A stale claim is taken by deleting its file, whose name nobody else's claim ever has, and then
competing for the empty folder: who was too slow deletes nothing of the new owner.

Claims save work; the store's safety does not rest on them. A writer that lost its claim unknowingly, because its machine
slept, has lost its work directory as well, and cannot mix its rows with those of another.
"""

from __future__ import annotations

import errno
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Self

from wsi_features.errors import ClaimedError
from wsi_features.store import owner
from wsi_features.store.reader import FORMS, slide_of
from wsi_features.store.work import remove, writing

STALE_SECONDS = 120.0
"""How long the owner on another machine may be silent. On this machine the process itself is looked up."""

_BEAT_SECONDS = 15.0
_TRIES = 16
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to make the store `target`, until it is released or another takes it for stale."""

    target: Path
    token: str

    @property
    def file(self) -> Path:
        """Its presence is the claim; its modification time, set by the file system's clock, says when it was last held."""
        return claim_folder(self.target) / self.token

    @property
    def silent_since(self) -> float:
        """Work of another machine that was not touched since this time, of the file system's clock, is nobody's.

        Half of a claim's age: work is touched less often than the claim that goes with it.
        """
        try:
            return self.file.stat().st_mtime - STALE_SECONDS / 2
        except FileNotFoundError:
            raise ClaimedError.lost(slide_of(self.target), str(self.target)) from None

    def require(self) -> None:
        """Raise ClaimedError when another job has taken over."""
        if not self.file.exists():
            raise ClaimedError.lost(slide_of(self.target), str(self.target))

    def beat(self) -> None:
        """Tell the others that the owner lives."""
        with suppress(OSError):  # a disk that is away for a moment is not yet lost, and `require` finds a lost claim
            os.utime(self.file)

    def release(self) -> None:
        """Give the claim back; nothing happens when it is lost."""
        with suppress(OSError):
            self.file.unlink()
        with suppress(OSError):
            claim_folder(self.target).rmdir()


@dataclass(slots=True, eq=False)
class Claims:
    """The claims of one pass, for one `with` block; a thread keeps them fresh, and the end releases them."""

    stale_seconds: float = STALE_SECONDS
    beat_seconds: float = _BEAT_SECONDS
    _held: set[Claim] = field(default_factory=set, init=False)
    _changing: Lock = field(default_factory=Lock, init=False)
    _ended: Event = field(default_factory=Event, init=False)
    _thread: Thread | None = field(default=None, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release what is still held."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        for claim in list(self._held):
            self.release(claim)

    def take(self, target: Path) -> Claim:
        """Claim `target`. Raises ClaimedError where another job holds it, and what `writing` makes of an OSError."""
        with writing(target), _prepared(target) as (folder, token):
            for _ in range(_TRIES):
                if _moved_in(folder, claim_folder(target)):
                    break
                self._refuse_living(target, folder / token)
            else:
                raise ClaimedError.held(slide_of(target), str(target), "jobs that come and go")
        claim = Claim(target, token)
        with self._changing:
            self._held.add(claim)
            if self._thread is None:
                self._thread = Thread(target=self._keep_fresh, name="claims", daemon=True)
                self._thread.start()
        return claim

    def release(self, claim: Claim) -> None:
        """Give one back."""
        with self._changing:
            self._held.discard(claim)
        claim.release()

    def _refuse_living(self, target: Path, own: Path) -> None:
        """Delete what stale owners left in the claim's folder. Raises ClaimedError for one that is alive."""
        with suppress(FileNotFoundError):
            for file in claim_folder(target).iterdir():
                if is_held(file, own, self.stale_seconds):
                    raise ClaimedError.held(slide_of(target), str(target), _described(file))
                file.unlink(missing_ok=True)

    def _keep_fresh(self) -> None:
        while not self._ended.wait(self.beat_seconds):
            with self._changing:
                held = list(self._held)
            for claim in held:
                claim.beat()


def claim_folder(target: Path) -> Path:
    """Where the claim on `target` lies."""
    return target.parent / f".{target.name}.claim"


def sweep_claims(folder: Path) -> None:
    """Delete the claims in `folder` whose owners are known to be dead."""
    endings = tuple(f"{suffix}.claim" for suffix in FORMS.values())
    for place in (path for path in folder.glob(".*.claim") if path.name.endswith(endings)):  # none in the making
        with suppress(OSError):  # it is being released, or was taken meanwhile
            for file in place.iterdir():
                if owner.named(file.name, "") and owner.life(file.name) == "dead":
                    file.unlink(missing_ok=True)
            place.rmdir()


def is_held(file: Path, own: Path, stale_seconds: float) -> bool:
    """Whether the owner of a claim's `file` lives; `own` is a file of this process on the same file system.

    Of an owner on another machine only the file's age tells. Both times are of the file system: clocks may differ.
    """
    life = owner.life(file.name) if owner.named(file.name, "") else "unknown"
    if life != "unknown":
        return life == "alive"
    try:
        os.utime(own)
        with file.open("rb") as opened:  # network file systems ask their server again when a file is opened
            return own.stat().st_mtime - os.fstat(opened.fileno()).st_mtime <= stale_seconds
    except FileNotFoundError:
        return False


@contextmanager
def _prepared(target: Path) -> Iterator[tuple[Path, str]]:
    """A claim that is not yet in its place, and its owner's token."""
    token = owner.token()
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent / f".{target.name}.{token}.claim"
    try:
        folder.mkdir()
        about = {"node": platform.node(), "pid": os.getpid()}
        (folder / token).write_text(json.dumps(about) + "\n", encoding="utf-8")
        yield folder, token
    finally:
        remove(folder)


def _moved_in(folder: Path, place: Path) -> bool:
    try:
        folder.rename(place)
    except OSError as error:
        # A folder that is being deleted at this moment is neither there nor absent, which Linux calls ENOENT.
        if error.errno not in _OCCUPIED and not (error.errno == errno.ENOENT and folder.exists()):
            raise
        return False
    return True


def _described(file: Path) -> str:
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
        return f"process {about['pid']} on {about['node']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another job"
