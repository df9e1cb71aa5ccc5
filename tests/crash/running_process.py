"""A process that runs `wsi-features` commands in forked children, so that imports are paid once, and kills them in time.

It reads commands from its input, one JSON object a line: `arguments`, and `seconds` after which SIGKILL ends the child
(0: never). One line answers each: the exit code, negative for a signal, and the seconds it lived.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import google_crc32c  # noqa: F401 - what a run loads is imported once, before forking
import pyarrow.parquet  # noqa: F401
import zarr  # noqa: F401

import wsi_features.slides.tiff.reader
import wsi_features.stages.report  # noqa: F401
from wsi_features.cli.main import run_command
from wsi_features.store import layout


def lived(command: dict[str, Any], nowhere: int) -> dict[str, float]:
    """One child from its start to its end."""
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        for stream in (1, 2):  # also for the processes that it starts, which complain when it is killed
            os.dup2(nowhere, stream)
        os._exit(run_command(command["arguments"]))
    while not (ended := os.waitpid(process, os.WNOHANG))[0]:
        if command["seconds"] and time.monotonic() - started > command["seconds"]:
            os.kill(process, signal.SIGKILL)
            ended = os.waitpid(process, 0)
            break
        time.sleep(0.001)
    return {"code": os.waitstatus_to_exitcode(ended[1]), "seconds": time.monotonic() - started}


def main() -> None:
    """Take commands until the input ends."""
    layout.CHUNK_ROWS = 8
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(lived(json.loads(line), nowhere)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
