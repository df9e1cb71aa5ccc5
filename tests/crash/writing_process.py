"""A process that writes one store as the embed stage does, and is killed, or finds its disk failing, at a given call.

It reads commands from its input, one JSON object a line, and does each in a forked child, so that imports are paid
once. LD_PRELOAD holds `faults.so`. One line answers each command: how the child ended. A command with `jobs` lets so
many children make the same store at once, each until it is there; with `far` they are of different machines, whose
claims go stale while they live, and whose work is taken from them.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import google_crc32c  # noqa: F401 - imported once, before forking
import numpy as np
import zarr  # noqa: F401 - imported once, before forking

from tests.unit.store.conftest import Samples
from wsi_features.errors import ClaimedError, StorageError, StoreError, WsiFeaturesError
from wsi_features.store import Claims, StoreWriter, is_complete, layout, owner, sweep_finished, work_left

ROWS, BATCH, BAD = 11, 3, (2, 8)


def embed(target: Path, claims: Claims | None = None, silent: float = 0.0) -> str:
    """One store, from whatever is there; the rows that were taken up.

    Work of another machine is taken up at once where it is `silent` for less than nothing.
    """
    content = Samples.content(ROWS)
    sweep_finished(target.parent)
    if is_complete(target, Samples.fingerprint):
        return "complete"
    with ExitStack() as ending:
        mine = ending.enter_context(claims or Claims())
        claim = mine.take(target)
        if is_complete(target, Samples.fingerprint):
            return "complete"
        left = work_left(target, claim.silent_since - silent)
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


def job(command: dict[str, Any], number: int, answers: int) -> None:
    """One of several jobs on one store; it tries until the store is there, and tells what it did."""
    chance, did = random.Random(command["seed"] + number), []
    if command["far"]:
        owner._host = lambda: f"{number:08x}"
    while not did or did[-1] != "complete":
        claims = Claims(chance.uniform(0.0, 0.2), 1000.0) if command["far"] else Claims()
        try:
            did.append(embed(Path(command["target"]), claims, -1e9 if command["far"] else 0.0))
        except (ClaimedError, StoreError) as error:
            did += [type(error).__name__] if type(error).__name__ not in did[-1:] else []
            time.sleep(chance.uniform(0.0, 0.02))
    os.write(answers, json.dumps(did).encode() + b"\n")


def several(command: dict[str, Any]) -> list[list[str]]:
    """What each of the jobs did."""
    reading, writing = os.pipe()
    children = []
    for number in range(command["jobs"]):
        children.append(os.fork())
        if children[-1] == 0:
            try:
                job(command, number, writing)
            except BaseException as error:  # noqa: BLE001 - what nobody planned is what the test looks for
                os.write(writing, json.dumps([f"unplanned {error!r}"]).encode() + b"\n")
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        told = [json.loads(line) for line in answers]
    for process in children:
        os.waitpid(process, 0)
    return told


def main() -> None:
    """Take commands until the input ends."""
    layout.CHUNK_ROWS = 4
    for line in sys.stdin:
        if "jobs" in (command := json.loads(line)):
            sys.stdout.write(json.dumps(several(command)) + "\n")
            sys.stdout.flush()
            continue
        reading, writing = os.pipe()
        process = os.fork()
        if process == 0:
            child(command, writing)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            text = answer.read().decode()
        os.waitpid(process, 0)
        sys.stdout.write((text or '{"killed": true}') + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
