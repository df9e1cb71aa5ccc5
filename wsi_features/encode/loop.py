"""The embedding loop: batches of pixels in, rows of features out, one batch ahead of the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from wsi_features.encode.encoder import Encoder, Pending
from wsi_features.stain.transform import StainTransform
from wsi_features.tiles.grid import TileBatch


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedBatch:
    """Features float32 (b, dim) of the tiles of one batch; rows of invalid tiles are NaN."""

    batch: TileBatch
    features: npt.NDArray[np.float32]


def embedded(batches: Iterator[TileBatch], stain: StainTransform, encoder: Encoder) -> Iterator[EmbeddedBatch]:
    """Normalise and embed `batches` in order; while the device works, the next batch is prepared."""
    waiting: tuple[TileBatch, Pending] | None = None
    for batch in batches:
        normalised = replace(batch, pixels=stain.apply(batch.pixels))
        started = (batch, encoder.submit(normalised))
        if waiting is not None:
            yield _finished(*waiting)
        waiting = started
    if waiting is not None:
        yield _finished(*waiting)


def _finished(batch: TileBatch, pending: Pending) -> EmbeddedBatch:
    features = pending.rows()
    if not batch.valid.all():
        features = np.where(batch.valid[:, None], features, np.float32(np.nan))
    return EmbeddedBatch(batch, features)
