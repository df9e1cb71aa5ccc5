"""A writer that dies on command: started by `test_kill.py` as a process of its own.

It reads commands, one a line, and does each in a forked child, so that imports are paid
once. `kill K` ends the child by SIGKILL at its K-th file operation under the target's
folder (0: never); `race` lets two children write the same target at once.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import zarr  # noqa: F401 - imported once, before forking

from wsi_features.store import StoreWriter, layout

_FILE_OPERATIONS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir")


def write(job: dict[str, Any]) -> None:
    """Write the store of `job`, two rows at a time."""
    rows = job["features"]
    with StoreWriter(job["target"], job["content"]) as writer:
        for start in range(0, len(rows), 2):
            writer.append(rows[start : start + 2], job["valid"][start : start + 2])
        writer.commit(job["problems"])


def die_at(last: int, folder: str) -> list[int]:
    """Watch this process; the list returned counts its file operations so far."""
    seen = [0]

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event in _FILE_OPERATIONS and str(args[0]).startswith(folder):
            seen[0] += 1
            if seen[0] == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    return seen


def forked(job: dict[str, Any], last: int) -> int:
    """A child that writes the store; it prints its operations when it lives to the end."""
    child = os.fork()
    if child == 0:
        seen = die_at(last, str(job["target"].parent))
        write(job)
        sys.stdout.write(f"wrote {seen[0]}\n")
        sys.stdout.flush()
        os._exit(0)
    return child


def main() -> None:
    """Take commands until the input ends."""
    os.fsync = lambda fd: None  # noqa: ARG005 - a kill, unlike a power cut, loses nothing that was written
    for line in sys.stdin:
        job_file, command, *numbers = line.split()
        job = pickle.loads(Path(job_file).read_bytes())  # noqa: S301 - written by the test
        layout.CHUNK_ROWS = 4
        children = [forked(job, int(numbers[0]))] if command == "kill" else [forked(job, 0), forked(job, 0)]
        for child in children:
            os.waitpid(child, 0)
        sys.stdout.write("ended\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
