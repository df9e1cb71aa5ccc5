"""Looking for damage: every file is hashed again and compared with its name, every record with its file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from wsi_features.encode.weights_store.folder import FETCHING, BadRecord, Entry, file_path
from wsi_features.encode.weights_store.hub_address import address_in
from wsi_features.encode.weights_store.registry import WeightsRegistry

_PIECE = 8 * 2**20
_READERS = 4
"""Files hashed at once: SHA-256 takes 0.5 to 2 GB/s on a core, which a few cores exceed any disk with."""

State = Literal["ok", "damaged", "gone", "unreadable", "bad record", "left over"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one file: `text` says what is wrong with it and how it is mended."""

    path: Path
    state: State
    encoder: str = ""
    size: int = 0
    text: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing has to be done; a file that no record names does no harm."""
        return self.state in ("ok", "left over")


def bytes_to_hash(registry: WeightsRegistry) -> int:
    """How much `findings` reads."""
    return sum(e.file.stat().st_size for e in registry.all() if isinstance(e, Entry) and e.file.is_file())


def findings(registry: WeightsRegistry, progress: Callable[[int], None] = lambda _: None) -> Iterator[Finding]:
    """One finding for each record, in order, then those for files without a record.

    `progress` is told the bytes read, from several threads.
    """
    everything = list(registry.all())
    with ThreadPoolExecutor(min(_READERS, len(os.sched_getaffinity(0)))) as readers:
        yield from readers.map(partial(_finding, progress=progress), everything)
    recorded = {entry.file for entry in everything if isinstance(entry, Entry)}
    for folder in registry.folders:
        yield from _left_over(folder, recorded)


def _finding(entry: Entry | BadRecord, progress: Callable[[int], None]) -> Finding:
    if isinstance(entry, BadRecord):
        text = f"{entry.why}. Delete it and add its file again."
        return Finding(entry.path, "bad record", text=text)
    record, path = entry.record, entry.file
    about = partial(Finding, path, encoder=record.encoder, size=record.size)
    mend = _mending(entry)
    if not path.is_file():
        target = f", which links to {str(path.readlink())!r}," if path.is_symlink() else ""
        return about("gone", text=f"no file is there{target}. {mend}")
    try:
        found = _hashed(path, progress)
    except OSError as error:
        return about("unreadable", text=f"{error.strerror or error}. Check the permissions and the disk.")
    if found != record.sha256:
        size = path.stat().st_size
        differs = f"{size} bytes instead of {record.size}" if size != record.size else f"its SHA-256 is {found}"
        return about("damaged", text=f"{differs}. {mend}")
    return about("ok")


def _mending(entry: Entry) -> str:
    key, record = entry.record.encoder, entry.record
    add = f"`wsi-features weights add {key} FILE` with a good copy of {record.file}"
    address = address_in(record.source)
    if address is None:
        return f"Run {add}."
    where = f"--repository {address.repository}" + (f" --file {address.file}" if address.file else "")
    revision = f" --revision {record.revision}" if record.revision else ""
    return f"Run `wsi-features weights fetch {key} {where}{revision}`, or {add}."


def _hashed(path: Path, progress: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            progress(len(piece))
    return digest.hexdigest()


def _left_over(folder: Path, recorded: set[Path]) -> Iterator[Finding]:
    """Files that no record names: of a command that was stopped, or whose record was deleted."""
    for path in sorted((folder / "sha256").glob("*/*")):
        if path not in recorded:
            size = path.lstat().st_size
            whole = path == file_path(folder, path.name)
            why = "no record names it" if whole else "a command was stopped while it wrote it"
            yield Finding(path, "left over", size=size, text=f"{why}. Delete it when no command is running.")
    for path in sorted((folder / FETCHING).glob("*")):
        size = sum(file.lstat().st_size for file in path.rglob("*"))
        yield Finding(
            path, "left over", size=size, text="a fetch was stopped; the same fetch goes on from it, or delete it."
        )


def bad(found: Sequence[Finding]) -> list[Finding]:
    """Those that something has to be done about."""
    return [finding for finding in found if not finding.good]
