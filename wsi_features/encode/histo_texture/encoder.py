"""The `histo-texture` encoder: tile descriptors, on several cores at once."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.histo_texture.descriptor import DIM, VERSION, tile_descriptor
from wsi_features.encode.histo_texture.planes import Image
from wsi_features.encode.histo_texture.worker import WorkerProcess
from wsi_features.encode.seconds import DeviceSeconds
from wsi_features.errors import CardError
from wsi_features.stain.transform import Identity, StainTransform
from wsi_features.tiles.grid import TileBatch

TILES_BEFORE_PROCESSES = 128
"""So many tiles are described by threads of this process, in about the time that worker processes take to start."""
_PARTS_PER_WORKER = 4
"""A batch is cut into at most that many parts a worker, so that no worker waits long for the last one."""
_LEAST_PART = 4
"""Tiles a part has at least: fewer would not be worth starting another worker."""


class HistoTextureEncoder:
    """Computes one descriptor a tile. Each depends on its own tile alone, whatever the batch or the workers.

    Once there is work enough, every worker is a process, fed by a thread of its own.
    """

    weights_digest = ""
    precision: Precision = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"
    notes: tuple[str, ...] = ()

    def __init__(self, card: EncoderCard, workers: int) -> None:
        self.card = card
        self.seconds = DeviceSeconds()
        self.most: int | None = None
        self._most_parts = workers * _PARTS_PER_WORKER
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="histo-texture")
        self._thread = threading.local()
        self._processes: list[WorkerProcess] = []
        self._submitted = 0

    def submit(self, batch: TileBatch, stain: StainTransform | None = None) -> _Running:
        """Start one batch, each tile normalised by the thread that has it described; rows of invalid tiles are 0."""
        features = np.zeros((len(batch.pixels), DIM), np.float32)
        wanted = np.flatnonzero(batch.valid)
        describe = tile_descriptor if self._submitted < TILES_BEFORE_PROCESSES else self._described_elsewhere
        fill = partial(self._fill, features, batch.pixels, stain or Identity(), describe)
        self._submitted += len(wanted)
        parts = np.array_split(wanted, max(1, min(self._most_parts, len(wanted) // _LEAST_PART)))
        return _Running(features, tuple(self._pool.submit(fill, rows) for rows in parts))

    def close(self) -> None:
        """Stop the workers; parts not yet begun are given up."""
        self._pool.shutdown(cancel_futures=True)
        for process in self._processes:
            process.close()

    def _fill(
        self,
        features: npt.NDArray[np.float32],
        pixels: Image,
        stain: StainTransform,
        describe: Callable[[Image], npt.NDArray[np.float32]],
        rows: npt.NDArray[np.intp],
    ) -> None:
        """Fill the given rows of `features` from the tiles of the same rows."""
        with self.seconds.computing():
            for row in rows:
                features[row] = describe(stain.apply(pixels[row : row + 1])[0])

    def _described_elsewhere(self, tile: Image) -> npt.NDArray[np.float32]:
        """By the process that belongs to the calling thread; one that has died is replaced for later batches."""
        if not hasattr(self._thread, "process"):
            self._thread.process = WorkerProcess()
            self._processes.append(self._thread.process)
        process: WorkerProcess = self._thread.process
        try:
            return process.describe(tile)
        except subprocess.CalledProcessError:
            del self._thread.process
            raise


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """A batch whose parts fill `features`."""

    features: npt.NDArray[np.float32]
    parts: tuple[Future[None], ...]

    def rows(self) -> npt.NDArray[np.float32]:
        """Wait and return float32 (b, dim)."""
        for part in self.parts:
            part.result()
        return self.features


def histo_texture_encoder(card: EncoderCard, *, workers: int) -> HistoTextureEncoder:
    """The descriptor as an encoder with `workers` workers.

    Raises CardError when the card is of another version of the descriptor.
    """
    found = (card.dim, card.arguments.get("version"))
    if found != (DIM, VERSION):
        raise CardError.other_descriptor(card.name, found=found, wanted=(DIM, VERSION))
    return HistoTextureEncoder(card, workers)
