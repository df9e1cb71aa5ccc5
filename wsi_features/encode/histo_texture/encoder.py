"""The `histo-texture` encoder: tile descriptors on a pool of threads."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.histo_texture.descriptor import DIM, VERSION, tile_descriptor
from wsi_features.errors import CardError
from wsi_features.tiles.grid import TileBatch

_PARTS_PER_WORKER = 4
"""A batch is cut into that many parts a thread, so that no thread waits long for the last one."""


class HistoTextureEncoder:
    """Computes one descriptor a tile. Each depends on its own tile alone, whatever the batch or the threads."""

    weights_digest = ""
    precision: Precision = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"

    def __init__(self, card: EncoderCard, workers: int) -> None:
        self.card = card
        self._parts = workers * _PARTS_PER_WORKER
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="histo-texture")

    def submit(self, batch: TileBatch) -> _Running:
        """Start one batch; the rows of its invalid tiles are 0."""
        features = np.zeros((len(batch.pixels), DIM), np.float32)
        parts = np.array_split(np.flatnonzero(batch.valid), self._parts)
        # OpenCV's own threads stay as the program has set them. They take no part in images of
        # 256 pixels, and where several threads call at once all but one run alone.
        tasks = [self._pool.submit(_describe, batch.pixels, rows, features) for rows in parts if len(rows)]
        return _Running(features, tuple(tasks))

    def close(self) -> None:
        """Stop the threads; parts not yet begun are given up."""
        self._pool.shutdown(cancel_futures=True)


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
    """The descriptor as an encoder that works on `workers` threads.

    Raises CardError when the card is of another version of the descriptor.
    """
    found = (card.dim, card.arguments.get("version"))
    if found != (DIM, VERSION):
        raise CardError.other_descriptor(card.name, found=found, wanted=(DIM, VERSION))
    return HistoTextureEncoder(card, workers)


def _describe(pixels: npt.NDArray[np.uint8], rows: npt.NDArray[np.intp], features: npt.NDArray[np.float32]) -> None:
    """Fill the rows of `features` from the tiles of the same rows."""
    for row in rows:
        features[row] = tile_descriptor(pixels[row])
