"""What a tile stream does next: which unit of work, in which batch, and how far ahead of the consumer.

Units are given out in the order of sources, and within one in the order of its tiles, so the batch that the consumer
waits for is always among those begun. Nothing here waits or locks: the stream asks while it holds its lock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import prod

from wsi_features.tiles.buffers import Buffers
from wsi_features.tiles.source import Filling, Reading

_PREPARED = 2
"""Sources that are open before their first tile is read."""
_LEAST_AHEAD = 2
"""Batches that are made ahead whatever their size."""

Task = tuple[Reading, int, Filling]
"""A source, the number of its unit, and the batch that the unit is part of."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How a stream is to run; `memory` is bytes for batches, and the same again for decoded blocks."""

    batch: int
    workers: int
    ahead: int
    memory: int
    stall_seconds: float


class Schedule:
    """The sources in work: `unread` ones have units to give out, `undelivered` ones owe the consumer something."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.unread: deque[Reading] = deque()
        self.undelivered: deque[Reading] = deque()
        self._buffers = Buffers()
        self._ahead = self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether enough sources are prepared."""
        return len(self.unread) >= _PREPARED or len(self.undelivered) > self._limits.ahead + _PREPARED

    @property
    def ready(self) -> int:
        """How many finished batches wait for the consumer."""
        return sum(not filling.waiting for reading in self.undelivered for filling in reading.fillings.values())

    def next_unit(self) -> Task | None:
        """The next unit of work, or None while there is none or its batch would be too far ahead."""
        if not self.unread:
            return None
        reading = self.unread[0]
        unit = reading.next_unit
        number = reading.number(unit)
        filling = reading.fillings.get(number) or self._begun(reading, number)
        if filling is None:
            return None
        reading.next_unit += 1
        reading.users += 1
        if reading.next_unit == reading.units:
            self.unread.popleft()
            reading.users -= 1
        return reading, unit, filling

    def _begun(self, reading: Reading, number: int) -> Filling | None:
        shape = reading.shape(number)
        room = self._bytes + prod(shape) <= self._limits.memory or self._ahead < _LEAST_AHEAD
        if self._ahead >= self._limits.ahead or not room:
            return None
        self._ahead += 1
        self._bytes += prod(shape)
        return reading.begin(number, self._buffers.array(shape))

    def finished(self, reading: Reading, number: int) -> Filling | None:
        """Batch `number` for delivery, if it is complete; from then on it is not ahead any more."""
        filling = reading.fillings.get(number)
        if filling is None or filling.waiting:
            return None
        self._forget(reading, filling)
        return filling

    def fail(self, reading: Reading, number: int, error: BaseException) -> None:
        """Batch `number` cannot be made: none of the source is from there on. Of several errors the earliest counts."""
        if number < reading.failed_at:
            reading.failed_at, reading.error = number, error
        if reading in self.unread:
            self.unread.remove(reading)
            reading.users -= 1

    def dismiss(self, reading: Reading) -> None:
        """The consumer has heard the last of the source; what was made beyond is not wanted."""
        reading.failed_at = -1
        for filling in list(reading.fillings.values()):
            self._forget(reading, filling)
        self.undelivered.remove(reading)

    def _forget(self, reading: Reading, filling: Filling) -> None:
        del reading.fillings[filling.number]
        self._ahead -= 1
        self._bytes -= filling.pixels.nbytes
