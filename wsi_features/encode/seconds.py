"""How long an encoder's device has worked: what the meter of a run is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import perf_counter


class DeviceSeconds:
    """Seconds in which tiles were copied to the device and rows computed there, so far.

    On a CPU nothing is copied, and what its threads took is added up.
    """

    def __init__(self) -> None:
        self.transfer = self.model = 0.0
        self._lock = Lock()

    def add(self, *, transfer: float = 0.0, model: float = 0.0) -> None:
        """Add what a batch, or a part of one, took; any thread."""
        with self._lock:
            self.transfer += transfer
            self.model += model

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Count the block as computing, by the clock."""
        start = perf_counter()
        yield
        self.add(model=perf_counter() - start)
