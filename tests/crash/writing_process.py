"""A process that writes one store as the embed stage does, and is killed, or finds its disk failing, at a given call.

It reads commands from its input, one JSON object a line, and does each in a forked child, so that imports are paid
once. LD_PRELOAD holds `faults.so`. One line answers each command: how the child ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import google_crc32c  # noqa: F401 - imported once, before forking
import numpy as np
import zarr  # noqa: F401 - imported once, before forking

from tests.unit.store.conftest import Samples
from wsi_features.errors import StorageError, WsiFeaturesError
from wsi_features.store import Claims, StoreWriter, is_complete, layout, sweep_finished, work_left

ROWS, BATCH, BAD = 11, 3, (2, 8)


def embed(target: Path) -> str:
    """One store, from whatever is there; the rows that were taken up."""
    content = Samples.content(ROWS)
    sweep_finished(target.parent)
    if is_complete(target, Samples.fingerprint):
        return "complete"
    with ExitStack() as ending:
        claims = ending.enter_context(Claims())
        claim = claims.take(target)
        left = work_left(target, claim.silent_since)
        writer = ending.enter_context(StoreWriter(target, content, {"batch": BATCH}, left))
        first = writer.rows
        try:
            _feed(writer)
            claim.require()
            writer.commit()
        except StorageError:
            writer.leave()  # as when a job ends
            raise
    return str(first)


def _feed(writer: StoreWriter) -> None:
    rows, valid = Samples.features(ROWS), ~np.isin(np.arange(ROWS), BAD)
    for start in range(writer.rows // BATCH * BATCH, ROWS, BATCH):
        new = slice(max(start, writer.rows), start + BATCH)
        writer.append(rows[new], valid[new], None, [f"missing {row}" for row in BAD if row in range(ROWS)[new]])


def child(command: dict[str, Any], answers: int) -> None:
    """Do what is asked, and tell how it ended, if it lives to the end."""
    faults = ctypes.CDLL(None)
    faults.faults_arm(os.fsencode(command["watched"]), command["call"], command["error"], command["sticky"])
    try:
        answer = {"ended": embed(Path(command["target"]))}
    except WsiFeaturesError as error:
        answer = {"raised": type(error).__name__, "message": str(error)}
    except BaseException as error:  # noqa: BLE001 - what nobody planned is what the test looks for
        answer = {"unplanned": repr(error)}
    answer["calls"] = faults.faults_seen()
    os.write(answers, json.dumps(answer).encode())


def main() -> None:
    """Take commands until the input ends."""
    layout.CHUNK_ROWS = 4
    for line in sys.stdin:
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            child(json.loads(line), writing)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            text = answer.read().decode()
        os.waitpid(process, 0)
        sys.stdout.write((text or '{"killed": true}') + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
