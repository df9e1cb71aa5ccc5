"""The `histo-texture` descriptor: milliseconds per tile, one by one and with several workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.encoder import Encoder
from wsi_features.encode.histo_texture import histo_texture_encoder, tile_descriptor
from wsi_features.geometry import Region
from wsi_features.resources import share
from wsi_features.slides.synthetic import SlideSpec, slide_pixels
from wsi_features.tiles.grid import TileBatch

Image = npt.NDArray[np.uint8]
Row = dict[str, Any]

LIMITS_MS = {128: 5.0, 256: 8.0, 512: 25.0}
"""Alarms, in CPU time. Measured on one core of an EPYC: 1.7, 3.2 and 9.2 ms."""


def rows() -> list[Row]:
    """One row a figure: name, value, unit, and the limit where there is one."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return _table()
    finally:
        cv2.setNumThreads(threads)


def _table() -> list[Row]:
    spec = SlideSpec(width=3072, height=2048, mpp=0.5, seed=1)
    tissue = slide_pixels(spec, Region(512, 512, 2048, 1024))
    return [*_one_by_one(tissue), *_with_workers(tissue)]


def tiles(tissue: Image, size: int, count: int) -> Image:
    """Tiles along the diagonal of a region of 2048 x 1024 pixels, uint8 (count, size, size, 3)."""
    xs, ys = np.linspace(0, 2048 - size, count, dtype=int), np.linspace(0, 1024 - size, count, dtype=int)
    return np.stack([tissue[y : y + size, x : x + size] for x, y in zip(xs, ys, strict=True)])


def _one_by_one(tissue: Image) -> list[Row]:
    table = []
    for size, limit in LIMITS_MS.items():
        cpu = _best_ms(partial(_describe, tiles(tissue, size, 16)), time.process_time)
        table.append({"name": f"histo-texture, {size} px tile, CPU", "value": cpu / 16, "unit": "ms", "limit": limit})
    return table


def _with_workers(tissue: Image) -> list[Row]:
    text = share("resources", "encoders", "histo-texture.yaml").read_text(encoding="utf-8")
    card = EncoderCard.model_validate(yaml.safe_load(text))
    batch = TileBatch(tiles(tissue, 256, 64), np.arange(64), np.ones(64, np.bool_))
    table = []
    for workers in (1, 2):
        encoder = histo_texture_encoder(card, workers=workers)
        for _ in range(3):  # until its processes are at work
            _embed(encoder, batch)
        wall = _best_ms(partial(_embed, encoder, batch), time.perf_counter)
        encoder.close()
        name = f"histo-texture, batches of 64, {workers} workers, per tile"
        table.append({"name": name, "value": wall / 64, "unit": "ms"})
    return table


def _describe(pixels: Image) -> None:
    for tile in pixels:
        tile_descriptor(tile)


def _embed(encoder: Encoder, batch: TileBatch) -> None:
    encoder.submit(batch).rows()


def _best_ms(work: Callable[[], object], clock: Callable[[], float], rounds: int = 5) -> float:
    """The shortest of several runs, by `clock`; a first run is not counted."""
    work()
    spent = []
    for _ in range(rounds):
        start = clock()
        work()
        spent.append(clock() - start)
    return 1e3 * min(spent)
