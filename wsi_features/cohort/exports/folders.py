"""Folders that are either complete or absent under their own name."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` that takes its place when the block ends well; after an error nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(4)
    made, old = (path.with_name(f".{path.name[:200]}.{token}.{end}") for end in ("tmp", "old"))
    made.mkdir()
    try:
        yield made
        if path.exists():
            path.rename(old)
        made.rename(path)
    finally:
        for left in (made, old):
            shutil.rmtree(left, ignore_errors=True)
