"""Where log lines go: two files beside the results, never the terminal.

`NAME.log` is for people. `NAME.jsonl` holds the same as one JSON object a line, with the slide, stage and shard that each
line is about. Both are scrubbed of secrets and of places outside the run's folders.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from wsi_features.cli.scrub import Scrubber

FIELDS = ("event", "stage", "shard", "slide_id", "status", "reason", "seconds", "facts")
"""What a log call may give as `extra`, in the order of a line."""


@contextmanager
def logging_to(
    path: str | Path, roots: Sequence[Path] = (), about: Mapping[str, str] = MappingProxyType({})
) -> Iterator[None]:
    """Append the package's log to `path` and its .jsonl within the block, and what libraries warn of.

    Paths are shown as seen from `roots` and the working folder; every structured line holds `about`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scrubber = Scrubber([*roots, Path.cwd()])
    handlers = [logging.FileHandler(file, encoding="utf-8") for file in (path, path.with_suffix(".jsonl"))]
    handlers[0].setFormatter(_Readable(scrubber))
    handlers[1].setFormatter(_Structured(scrubber, about))
    logger, root = logging.getLogger("wsi_features"), logging.getLogger()
    level = logger.level
    for handler in handlers:
        root.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()


class _Readable(logging.Formatter):
    """Time, level and message."""

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._scrubber = scrubber

    def format(self, record: logging.LogRecord) -> str:
        return self._scrubber.clean(super().format(record))


class _Structured(logging.Formatter):
    """One JSON object a line."""

    def __init__(self, scrubber: Scrubber, about: Mapping[str, str]) -> None:
        super().__init__()
        self._scrubber, self._about = scrubber, about

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname}
        given = {**self._about, **{name: getattr(record, name) for name in FIELDS if hasattr(record, name)}}
        line |= {name: given[name] for name in FIELDS if name in given}
        line["message"] = self._scrubber.clean(record.getMessage())
        if record.exc_info:
            line["traceback"] = self._scrubber.clean(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)
