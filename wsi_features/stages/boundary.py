"""The one boundary that catches.

A slide's intended errors become its result. Anything else is a fault of the program: it
is logged with its traceback, recorded as `internal`, and the run exits with code 3.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from wsi_features.cohort.records import SlideResult
from wsi_features.errors import DeviceLostError, SlideError, StorageError, UsageError, one_line

OK, SOME_FAILED, USAGE, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""

_log = logging.getLogger("wsi_features")


@dataclass(frozen=True, slots=True)
class Told:
    """How one slide ended, as a command tells it: `said` is one line for a person, `failed` whether it has no result."""

    said: str
    failed: bool = False


def guarded(slide_id: str, stage: str, work: Callable[[], SlideResult]) -> SlideResult:
    """Run one slide's work and turn its failure into a result; the other slides go on."""
    started = time.perf_counter()
    results: list[SlideResult] = []
    with slide_boundary(slide_id, stage, results.append):
        results.append(work())
    return replace(results[0], seconds=round(time.perf_counter() - started, 3))


@contextmanager
def slide_boundary(slide_id: str, stage: str, failed: Callable[[SlideResult], None]) -> Iterator[None]:
    """A step in the work on one slide: `failed` gets the result of a failure; what ends the whole job is let through."""
    try:
        yield
    except SlideError as error:
        failed(SlideResult("failed", stage, reason=error.reason, message=one_line(error)))
    except (UsageError, DeviceLostError, StorageError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and StorageError.is_full(error):
            raise StorageError.during(f"slide {slide_id!r} in {stage}", error.strerror or str(error)) from error
        about = {"event": "internal", "stage": stage, "slide_id": slide_id}
        _log.exception("slide %s: internal error in %s", slide_id, stage, extra=about)
        message = f"slide {slide_id!r}: internal error in {stage}: {type(error).__name__}: {error}. See the log."
        failed(SlideResult("failed", stage, reason="internal", message=one_line(message)))


def exit_code(work: Callable[[], int], tell: Callable[[str], None]) -> int:
    """Run a whole command: its own code, 2 for wrong usage, 3 for a fault of the program."""
    try:
        return work()
    except UsageError as error:
        tell(str(error))
        return USAGE
    except SlideError as error:
        tell(one_line(error))
        return SOME_FAILED
    except KeyboardInterrupt:
        tell("interrupted; finished work is kept and the same command goes on from there")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary
        _log.exception("the job ends")
        tell(_ending(error))
        return INTERNAL


def _ending(error: Exception) -> str:
    """One line for what ends a whole job."""
    if isinstance(error, StorageError | DeviceLostError):
        return one_line(error)
    if isinstance(error, OSError) and StorageError.is_full(error):
        return str(StorageError.during("writing", error.strerror or str(error)))
    return f"internal error: {type(error).__name__}: {one_line(error)}. The log has the traceback."
