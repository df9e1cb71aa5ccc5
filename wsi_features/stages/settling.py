"""Slides that could not be embedded at the first try and are tried again in the same job.

Another job may be at work on a slide, and a device may have less memory than its first batches needed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.records import SlideResult
from wsi_features.errors import ClaimedError

HALVED = "batch_halved"
"""Reason of a slide of which some rows were computed in larger pieces than others; it never reaches a record."""

_LOOK_AGAIN_SECONDS = 5.0
"""Until a claimed slide is tried again."""

_log = logging.getLogger("wsi_features")

Ended = tuple[ManifestRow, SlideResult]


def settled(
    results: Iterator[Ended], again: Callable[[Sequence[ManifestRow]], Iterator[Ended]], seconds: float
) -> Iterator[Ended]:
    """The results; slides that have to be are passed to `again` after all others.

    Those that another job has claimed for `seconds` at most; those whose batches were halved until all their rows are
    of one size, which each halving brings nearer.
    """
    until = time.monotonic() + seconds
    while True:
        claimed: list[Ended] = []
        halved: list[ManifestRow] = []
        for row, result in results:
            if result.reason == HALVED:
                halved.append(row)
            elif result.reason == ClaimedError.reason:
                claimed.append((row, result))
            else:
                yield row, result
        left = until - time.monotonic()
        if claimed and left <= 0:
            yield from claimed
            claimed = []
        if not claimed and not halved:
            return
        if not halved:
            _log.info("waiting for other jobs with %s", ", ".join(row.slide_id for row, _ in claimed))
            time.sleep(min(left, _LOOK_AGAIN_SECONDS))
        results = again([*halved, *(row for row, _ in claimed)])
