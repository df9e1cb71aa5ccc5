"""A reader that does what the file's name says, in the inspector's process."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wsi_features.cohort.manifest import ManifestRow


def describe(row: ManifestRow) -> dict[str, Any]:
    path = Path(row.path)
    path.with_suffix(".pid").write_text(str(os.getpid()))
    DEEDS.get(path.stem, bool)()
    return {
        "slide_id": row.slide_id,
        "status": "ok",
        "pid": os.getpid(),
        "stdin": sys.stdin.read(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
    }


def raise_key_error() -> None:
    raise KeyError("no\nsuch tag")


def raise_without_end() -> None:
    raise ValueError("x" * 100_000)


def allocate_bit_by_bit() -> None:
    held = []
    while True:
        held.append(bytearray(1000))


def allocate_in_crumbs() -> None:
    chain: tuple[object, ...] = ()
    while True:
        chain = (chain,)


def make_noise() -> None:
    os.write(1, b'{"described": "noise"}\n')
    os.write(2, b"TIFFReadDirectory: noise\n")


DEEDS: dict[str, Callable[[], object]] = {
    "hang": lambda: time.sleep(60),
    "abort": os.abort,
    "segv": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exit": lambda: sys.exit(7),
    "bomb": lambda: bytearray(10 << 30),
    "many": allocate_bit_by_bit,
    "crumbs": allocate_in_crumbs,
    "key": raise_key_error,
    "long": raise_without_end,
    "noise": make_noise,
}
