"""Taking up the work of a writer that is gone: its directory changes hands, and what its journal vouches for is kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from wsi_features.errors import StoreError
from wsi_features.recipe import Json
from wsi_features.store.claim import sweep_claims
from wsi_features.store.commit import FileEntry, read_record
from wsi_features.store.journal import ChunkNote, Journal, read_journal
from wsi_features.store.layout import FEATURES
from wsi_features.store.work import ARCHIVE, JOURNAL, STORE, leftovers, make_work_directory, own_path, remove, set_aside


def work_left(target: Path, silent_since: float = 0.0) -> list[Path]:
    """What writers of `target` left that are gone: known to be dead, or on another machine and silent.

    `silent_since` is a time of the file system's clock: work of another machine that was last changed before it counts
    as left. The caller holds the claim.
    """
    found = [left for left in leftovers(target.parent) if left.target == target and left.life != "alive"]
    return [left.path for left in found if left.life == "dead" or left.changed() < silent_since]


def work_directory(target: Path, about: Json, left: Sequence[Path]) -> tuple[Path, Journal, list[ChunkNote]]:
    """A work directory for `target`, its journal, and the chunks that are in it already.

    Of what is `left` the directory with the most chunks made under `about` is taken over; the others are deleted.
    Raises OSError.
    """
    best = max(left, key=lambda path: len(read_journal(path / JOURNAL, about)), default=None)
    notes = read_journal(best / JOURNAL, about) if best is not None else []
    with ExitStack() as undo:
        if best is None or not notes:
            work = make_work_directory(target)
            undo.callback(remove, work)
        else:
            work = own_path(target)
            best.rename(work)  # of several who try, one succeeds
            undo.callback(set_aside, work, target)
            notes = _verified(work / STORE, notes)
        for path in left:
            remove(path)
        journal = Journal(work / JOURNAL, about, notes)
        remove(work / ARCHIVE)
        _clear(work / STORE, {note.file.path for note in notes})
        undo.pop_all()
    return work, journal, notes


def sweep_finished(folder: Path) -> list[Path]:
    """Delete what dead writers left in `folder` of stores that are there by now; returns the paths.

    What another run may go on with stays, and so does what belongs to an owner that may live. Claims of the dead go too.
    """
    sweep_claims(folder)
    dead = [left for left in leftovers(folder) if left.life == "dead"]
    done = [left.path for left in dead if not _is_of_use(left.path, left.target)]
    for path in done:
        remove(path)
    return done


def bytes_of_work(target: Path) -> int:
    """What is on the disk already for `target`, of whichever writer."""
    places = [left.path for left in leftovers(target.parent) if left.target == target]
    return sum(_bytes(path) for place in places for path in place.rglob("*"))


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # its writer is at work
        return 0


def _is_of_use(path: Path, target: Path) -> bool:
    """Whether a directory holds chunks of a store that is not there."""
    if not (path / JOURNAL).is_file():
        return False
    try:
        fingerprint = read_record(target).fingerprint
    except StoreError:
        return True
    return f'"fingerprint":"{fingerprint}"' not in _first_line(path / JOURNAL)


def _first_line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.readline().decode(errors="replace")
    except OSError:
        return ""


def _verified(root: Path, notes: Sequence[ChunkNote]) -> list[ChunkNote]:
    """The chunks, from the first on, whose files are what the journal says."""
    kept: list[ChunkNote] = []
    for number, note in enumerate(notes):
        if note.file.path != f"{FEATURES}/c/{number}/0" or not _is_as_noted(root, note.file):
            break
        kept.append(note)
    return kept


def _is_as_noted(root: Path, entry: FileEntry) -> bool:
    try:
        with (root / entry.path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    except OSError:
        return False


def _clear(root: Path, keep: set[str]) -> None:
    """Delete all but the files `keep`: the rest is soon written anew, and a half-written file must not stay."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            path = Path(folder, name)
            if path.relative_to(root).as_posix() not in keep:
                path.unlink()
        if folder != str(root) and not any(Path(folder).iterdir()):
            Path(folder).rmdir()
