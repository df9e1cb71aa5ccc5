"""A trial of one encoder: built as for a run, on made tiles, with the checks that matter before a cohort."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wsi_features.encode.build import build
from wsi_features.encode.registry import card_named
from wsi_features.errors import WeightsError
from wsi_features.stages.encoders import weights_file
from wsi_features.tiles.grid import TileBatch

_TILES = 8


def checked_encoder(name: str, weights: Path | None, device: str) -> Iterator[str]:
    """Build encoder `name` and embed made tiles; yields one line for each thing found good. Raises EncoderError."""
    card = card_named(name)
    yield f"card      {card.name}: {card.tile_px} px at {card.tile_mpp:g} um/px, {card.dim} features, {card.precision}"
    file = weights_file(card, str(weights) if weights else None)
    encoder = build(card, weights=file, precision=None, device=device, workers=1)
    try:
        yield f"weights   {encoder.weights_digest or 'none needed'}"
        pixels = np.random.default_rng(0).integers(0, 256, (_TILES, card.tile_px, card.tile_px, 3), np.uint8)
        batch = TileBatch(pixels, np.arange(_TILES), np.ones(_TILES, np.bool_))
        first = encoder.submit(batch).rows()
        started = time.perf_counter()
        second = encoder.submit(batch).rows()
        seconds = time.perf_counter() - started
    finally:
        encoder.close()
    if first.shape != (_TILES, card.dim):
        raise WeightsError.differs(card.name, "the output of 8 tiles", first.shape, (_TILES, card.dim))
    if not np.isfinite(first).all():
        raise WeightsError.differs(card.name, "the output", "not finite", "finite")
    if not np.array_equal(first, second):
        raise WeightsError.differs(card.name, "the output of equal tiles", "different each time", "equal")
    yield f"output    {first.shape[1]} finite features a tile, equal when repeated"
    yield f"speed     {_TILES / seconds:.1f} tiles/s on {encoder.device} with one thread of reading"
