"""Crashes: a decoder that ends the whole process costs one slide, not its shard.

Before each slide its id is noted in a hidden file beside the shard's record, and Python's
faulthandler adds its words there when a fatal signal ends the process. The job that takes up
the shard next finds them, fails that slide with the reason `crashed`, and goes on with the
others: a cluster's retry does so by itself, and after a crash of `wsi-features run` the same
command goes on. Where several slides were read ahead together, the job after the crash takes them
one by one, so that a second crash tells which it was. A process that was killed (SIGKILL, SIGTERM)
has no last words, so no slide is blamed for a lost machine or a full memory.

While a shard runs, faulthandler writes nowhere else. A host program that had it enabled gets
it back on standard error: Python does not tell which file it wrote to before.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Self

from wsi_features.cohort.manifest import SLIDE_ID, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import CrashError
from wsi_features.files import read_json, write_json
from wsi_features.stages.lineage import lineage_of
from wsi_features.stages.plan import retries

_LAST_WORDS = "Fatal Python error: "
_STANDARD_ERROR = 2

_log = logging.getLogger("wsi_features")


@dataclass(frozen=True, slots=True)
class _Noted:
    """A slide that is being worked on: the content of its file, and how often a retry was asked for."""

    slide_id: str
    content: str
    retry: int


class CrashWatch:
    """One shard in one stage, for one `with` block: what crashed before is failed, what crashes now is noted.

    `alone` names slides that were worked on together when a process crashed: one of them is to
    blame, so none is failed, and each must now be current without another.
    """

    def __init__(self, out: Outputs, stage: str, shard: str) -> None:
        self._out, self._stage = out, stage
        self._path = out.record(stage, shard).with_name(f".{shard}.running")
        self._current: list[_Noted] = []
        self._changing = Lock()
        self._retries: Mapping[str, int] = {}
        self.alone: frozenset[str] = frozenset()

    def __enter__(self) -> Self:
        self._retries = retries(self._out)
        self._settle()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # A new file, not an emptied one: another process may still write into the old one.
        self._path.unlink(missing_ok=True)
        self._file = FileIO(self._path, "a")
        self._host_had_it = faulthandler.is_enabled()
        faulthandler.enable(self._file, all_threads=False)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._host_had_it:
            faulthandler.enable(_STANDARD_ERROR)
        else:
            faulthandler.disable()
        self._file.close()
        self._path.unlink(missing_ok=True)

    @contextmanager
    def current(self, row: ManifestRow) -> Iterator[None]:
        """Note the slide while the block runs.

        Raises CrashError for one that crashed in this stage, until its file has other content or it
        is retried on purpose; and what `lineage_of` raises.
        """
        noted = _Noted(row.slide_id, lineage_of(row).content, self._retries.get(row.slide_id, 0))
        self._refuse_crashed(noted, row.path)
        with self._changing:
            self._current.append(noted)
            self._note()
        try:
            yield
        finally:
            with self._changing:
                self._current.remove(noted)
                self._note()

    def _note(self) -> None:
        self._file.write(json.dumps([asdict(noted) for noted in self._current]).encode() + b"\n")

    def _refuse_crashed(self, noted: _Noted, path: str) -> None:
        note = self._out.slide(noted.slide_id, "crashed.json")
        try:
            found = read_json(note)
        except (OSError, ValueError):
            return
        if found.get("stage") != self._stage:
            return
        if (found.get("content"), found.get("retry")) == (noted.content, noted.retry):
            raise CrashError.in_stage(noted.slide_id, path, self._stage, str(found.get("signal")))
        note.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Blame the slide on which the process before this one crashed, if it did."""
        signal, slides, words = _crash_of(self._path)
        if not slides:
            return
        _log.warning("%s crashed on %s:\n%s", self._stage, " or ".join(noted.slide_id for noted in slides), words)
        if len(slides) > 1:
            self.alone = frozenset(noted.slide_id for noted in slides)
            return
        about = {"stage": self._stage, "signal": signal, "content": slides[0].content, "retry": slides[0].retry}
        write_json(self._out.slide(slides[0].slide_id, "crashed.json"), about)


def _crash_of(path: Path) -> tuple[str, tuple[_Noted, ...], str]:
    """The signal in words, the slides that were current, and all last words; empty when there was no crash on a slide."""
    nothing = ("", (), "")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return nothing
    last_note = max((k for k, line in enumerate(lines) if line.startswith("[")), default=len(lines))
    words = lines[last_note + 1 :]
    if not words or not words[0].startswith(_LAST_WORDS):
        return nothing
    with suppress(ValueError, TypeError):
        slides = tuple(_Noted(**noted) for noted in json.loads(lines[last_note]))
        # The id becomes a path, so a file that someone wrote into must not choose it.
        if all(re.fullmatch(SLIDE_ID, noted.slide_id) for noted in slides):
            return words[0].removeprefix(_LAST_WORDS), slides, "\n".join(words)
    return nothing
