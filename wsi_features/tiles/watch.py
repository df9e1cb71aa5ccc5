"""What can be seen of a tile stream from outside: where its time goes, and that its threads are alive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from time import monotonic


@dataclass(slots=True)
class StreamTimes:
    """Where a stream's time went so far, summed over its threads; it may be read while the stream runs.

    `opening` covers opening and planning, `reading` waiting for the file, `resampling` all that makes tiles of decoded
    blocks. Readers that give no blocks do all of it in one: that is `decoding`. `measuring` is what
    sources have measured of their tiles, `finishing` what they have done to them: stain normalization. `for_consumer` is how long threads had nothing to do because enough batches
    were ready, `for_batches` how long the consumer waited for one. `ready` is how many batches lay ready each time the
    consumer took one, `taken` how many it took.
    """

    opening: float = 0.0
    reading: float = 0.0
    decoding: float = 0.0
    resampling: float = 0.0
    measuring: float = 0.0
    finishing: float = 0.0
    for_consumer: float = 0.0
    for_batches: float = 0.0
    bytes_read: int = 0
    blocks: int = 0
    tiles: int = 0
    ready: int = 0
    taken: int = 0

    def add(self, other: StreamTimes) -> None:
        """Add what one piece of work took."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class AbandonedError(Exception):
    """Ends the work on tiles that nobody wants any more; it never leaves the stream."""


class Watch:
    """The sign of life of one thread: since when it has been at which tile, while it is at work."""

    __slots__ = ("abandoned", "row", "since", "unwanted")

    def __init__(self) -> None:
        self.abandoned = False
        self.row, self.since = -1, float("inf")
        self.unwanted: Callable[[], bool] = bool

    def begin(self, row: int, unwanted: Callable[[], bool]) -> None:
        """Work begins at tile `row`; `unwanted` is asked between tiles."""
        self.row, self.since, self.unwanted = row, monotonic(), unwanted

    def at(self, row: int) -> None:
        """The thread is at tile `row` now. Raises AbandonedError where that is not wanted any more."""
        self.row, self.since = row, monotonic()
        if self.abandoned or self.unwanted():
            raise AbandonedError

    def rest(self) -> None:
        """Nothing that could hang is done from now on."""
        self.since = float("inf")
