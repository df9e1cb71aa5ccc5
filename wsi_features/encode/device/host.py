"""The CPU as a stage: threads compute while the caller reads on (torch releases the interpreter lock)."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from wsi_features.encode.device.stage import Work, closed
from wsi_features.encode.encoder import Pending
from wsi_features.encode.seconds import DeviceSeconds
from wsi_features.stain.transform import StainTransform

if TYPE_CHECKING:
    import torch

_PIECE = 4
"""Tiles computed at once: few enough to keep every thread busy at the end of a batch, and within
2 % of the speed of 8 (ViT-S, measured); 2 lose 4 %, 1 loses 8 %."""


class HostStage:
    """Threads that each compute a few tiles, with one core each.

    torch's own way of using several cores changes the last bits with their number (seen).
    Pieces of a fixed size, each computed by one core, give the same bytes on any number.
    """

    def __init__(self, work: Work, threads: int) -> None:
        self._work = work
        self.seconds = DeviceSeconds()
        self.most: int | None = None
        _OneCoreEach.begin()
        self._open = True
        self._executor = ThreadPoolExecutor(max(1, threads), "encoder", initializer=_OneCoreEach.set_here)

    def submit(self, pixels: npt.NDArray[np.uint8], stain: StainTransform) -> Pending:
        """Queue the pieces of one batch; each is normalised by the thread that computes it."""
        starts = range(0, len(pixels), _PIECE)
        pieces = (pixels[start : start + _PIECE] for start in starts)
        return _HostPending([self._executor.submit(self._rows, piece, stain) for piece in pieces])

    def close(self) -> None:
        """Finish what is running, drop what is queued; torch's own threads are as before."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._work = closed
        if self._open:
            self._open = False
            _OneCoreEach.end()

    def _rows(self, pixels: npt.NDArray[np.uint8], stain: StainTransform) -> torch.Tensor:
        import torch

        with self.seconds.computing():
            # A copy, since torch does not take arrays that cannot be written; 0.02 ms a tile.
            return self._work(torch.from_numpy(np.array(stain.apply(pixels), order="C")))


@dataclass(frozen=True, slots=True, eq=False)
class _HostPending:
    pieces: list[Future[torch.Tensor]]

    def rows(self) -> npt.NDArray[np.float32]:
        """Wait for every piece."""
        return np.concatenate([piece.result().numpy() for piece in self.pieces])


class _OneCoreEach:
    """torch's number of threads, while stages are open.

    `set_num_threads` is meant for one thread, but threads started later inherit it. What it was
    before the first stage is put back as stages close, whatever their order.
    """

    _lock: ClassVar[Lock] = Lock()
    _stages: ClassVar[int] = 0
    _before: ClassVar[int] = 0

    @classmethod
    def begin(cls) -> None:
        """Count a stage."""
        import torch

        with cls._lock:
            if not cls._stages:
                cls._before = torch.get_num_threads()
            cls._stages += 1

    @staticmethod
    def set_here() -> None:
        """One core for the calling thread."""
        import torch

        torch.set_num_threads(1)

    @classmethod
    def end(cls) -> None:
        """Take a stage off the count."""
        import torch

        with cls._lock:
            cls._stages -= 1
            torch.set_num_threads(cls._before)
