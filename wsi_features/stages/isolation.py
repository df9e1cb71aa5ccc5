"""The inspector: a process that opens slides first, so that an unknown file cannot hurt a run.

Readers are foreign code on foreign bytes. Whatever one does there, the caller gets a
description: a reader that hangs is ended, one that crashes or eats memory takes only the
inspector with it, and the next slide gets a new one. `Inspector` is the calling side,
and `main` the process itself; they exchange one line of JSON a slide.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self, cast

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.errors import SlideFileError, one_line
from wsi_features.stages.preflight import described_failure, refuse_failed

_START_SECONDS = 300.0
"""For the imports, which take minutes on a busy network file system; no slide is to blame for that."""

_GRACE_SECONDS = 1.0

_LONGEST = 300
"""Characters of a foreign message that are passed on."""

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Each thread that numpy starts takes a share of the memory limit for its stack."""

_START = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from {__name__} import main; main()"
"""Ctrl-C is for the caller to answer, also while the process starts."""


class Inspector:
    """Describes slides, each within `seconds` and `mib` MiB; for one calling thread at a time.

    The process is started by the first slide and ended by `close`. `work` is the
    function, as module:function, that makes a description of a manifest row in it.
    """

    def __init__(self, seconds: float, mib: int, work: str = "wsi_features.stages.preflight:inspected") -> None:
        self._seconds, self._mib, self._work = seconds, mib, work
        self._process: subprocess.Popen[bytes] | None = None

    def described(self, row: ManifestRow) -> dict[str, Any]:
        """What `inspected` says of the slide; one that its reader did not survive is described by that.

        Raises CalledProcessError when the process does not start at all.
        """
        answered = False
        try:
            about = self._asked(row)
            answered = True
        except SlideFileError as error:
            about = described_failure(row.slide_id, error)
        finally:
            if not answered:  # also after an interrupt: a late answer must not be taken for the next slide's
                self.close()
        return about

    def checked(self, row: ManifestRow) -> dict[str, Any]:
        """The description of a slide that may be used. Raises the SlideError that a failed one stands for."""
        about = self.described(row)
        refuse_failed(about)
        return about

    def close(self) -> None:
        """End the process; whatever it was doing is given up."""
        process, self._process = self._process, None
        if process is not None:
            _end(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _asked(self, row: ManifestRow) -> dict[str, Any]:
        process = self._running()
        requests = cast("IO[bytes]", process.stdin)
        with suppress(BrokenPipeError):  # then it has ended, and the answer is the end of its output
            requests.write(json.dumps(row.model_dump()).encode() + b"\n")
            requests.flush()
        line = _line(process, self._seconds)
        if line is None:
            raise SlideFileError.timed_out(row.slide_id, row.path, self._seconds)
        if not line:
            raise SlideFileError.crashed(row.slide_id, row.path, _ending(process))
        answer: dict[str, Any] = json.loads(line)
        if answer.get("out_of_memory"):
            raise SlideFileError.out_of_memory(row.slide_id, row.path, self._mib)
        if "raised" in answer:
            raise SlideFileError.reader_fault(
                row.slide_id, row.path, answer["raised"], one_line(answer["message"])[:_LONGEST]
            )
        about: dict[str, Any] = answer["described"]
        return about

    def _running(self) -> subprocess.Popen[bytes]:
        """The process; a new one where there is none, or where it has ended between two slides."""
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._process = process = self._started()
            if not _line(process, _START_SECONDS):
                self.close()
                raise subprocess.CalledProcessError(process.returncode or 1, process.args)
        return self._process

    def _started(self) -> subprocess.Popen[bytes]:
        # It finds the same packages, and imports nothing of the calling program (as multiprocessing would).
        environment = os.environ | _ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-P", "-c", _START, self._work, str(self._seconds), str(self._mib)]
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """The next line of the process; None when it takes too long, nothing when the process has ended."""
    answers = cast("IO[bytes]", process.stdout).fileno()
    poll = select.poll()
    poll.register(answers, select.POLLIN)
    until = time.monotonic() + seconds
    line = b""
    while not line.endswith(b"\n"):
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            return None
        part = os.read(answers, 1 << 16)
        if not part:
            return b""
        line += part
    return line


def _ending(process: subprocess.Popen[bytes]) -> str:
    """How a process ended whose output has ended, in words."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    code = process.returncode
    if code is None:
        return "it closed its output"
    return f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with suppress(subprocess.TimeoutExpired):  # a process in a system call to a lost disk dies when that returns
        process.wait(_GRACE_SECONDS)
    cast("IO[bytes]", process.stdout).close()
    with suppress(BrokenPipeError):  # what was left to send has no reader any more
        cast("IO[bytes]", process.stdin).close()


def main() -> None:
    """Describe slides until the input ends, as it does when the calling process dies."""
    work, seconds, mib = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # what a library prints must not come between the answers
        os.dup2(nowhere, stream)
    _limit(mib)
    module, _, name = work.partition(":")
    describe = getattr(importlib.import_module(module), name)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def tell(**answer: Any) -> None:
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()

    def last_words(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        tell(raised=kind.__name__, message=str(error), out_of_memory=issubclass(kind, MemoryError))

    tell(ready=True)
    os.dup2(nowhere, 2)
    sys.excepthook = last_words  # a fault nobody planned ends this process, and only this one
    for request in requests:
        # Ends a reader that hangs when the caller is no longer there to do it.
        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)
        tell(described=describe(ManifestRow.model_validate(json.loads(request))))
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit(mib: int) -> None:
    """Limit the memory of this process, and leave no core file.

    RLIMIT_DATA counts what the process can write to, also in mappings (Linux 4.7 and later).
    RLIMIT_AS counts mapped files and libraries, too: OpenSlide does not load under 128 MiB of it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = mib << 20
    soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
