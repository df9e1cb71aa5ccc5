"""Stain normalization: milliseconds per 256 px tile on one core, beside tiatoolbox in the same process."""

from __future__ import annotations

import logging
import time
import timeit
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size, SlidePx
from wsi_features.stain import StainRecipe, fit, patch_origins, stained_pixels

Image = npt.NDArray[np.uint8]
Row = dict[str, Any]

LEAST_RATIO = {"macenko": 150.0, "reinhard": 2.0}
"""Alarms: fewest times faster than tiatoolbox. Measured on two cores of an EPYC: about 375 and 2.4 times."""


def tiles(count: int = 8) -> Image:
    """H&E-like tiles, uint8 (count, 256, 256, 3)."""
    density = np.random.default_rng(0).gamma(1.2, (0.7, 0.5), (count, 256, 256, 2))
    mixed = density @ np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    return np.asarray(np.rint(255 * np.exp(-mixed)), dtype=np.uint8)


def rows() -> list[Row]:
    """One row a figure: name, value, unit; where tiatoolbox does the same, the limit and the ratio to it."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [*_application(tiles()), *_fits(tiles())]
    finally:
        cv2.setNumThreads(threads)


def _application(pixels: Image) -> list[Row]:
    sample = stained_pixels(pixels, 250_000, 0.8)
    table: list[Row] = []
    for method, theirs in _tiatoolbox_ms(pixels[0]).items():
        transform = fit("bench", sample, StainRecipe.model_validate({"method": method}))
        ours = _best_ms(partial(transform.apply, pixels)) / len(pixels)
        compared = {"limit": theirs / LEAST_RATIO[method], "ratio": theirs / ours}
        table.append({"name": f"stain {method}, per tile", "value": ours, "unit": "ms"} | compared)
        table.append({"name": f"tiatoolbox {method}, per tile", "value": theirs, "unit": "ms"})
    return table


def _fits(pixels: Image) -> list[Row]:
    sample = stained_pixels(pixels, 250_000, 0.8)
    tissue = np.random.default_rng(0).random((1000, 1600)) < 0.3
    spread: dict[str, Callable[[], object]] = {
        "stain pixels picked from 0.5 M": lambda: stained_pixels(pixels, 250_000, 0.8),
        "macenko fit of 250,000 pixels": lambda: fit("bench", sample, StainRecipe(method="macenko")),
        "vahadane fit of 250,000 pixels": lambda: fit("bench", sample, StainRecipe(method="vahadane")),
        "reinhard fit of 250,000 pixels": lambda: fit("bench", sample, StainRecipe(method="reinhard")),
        "64 patch positions on a 1.6 MP mask": lambda: patch_origins(
            tissue, scale=(32, 32), slide=Size(51_200, 32_000), span=SlidePx(512), recipe=StainRecipe()
        ),
    }
    return [{"name": name, "value": _best_ms(work, 3), "unit": "ms"} for name, work in spread.items()]


def _tiatoolbox_ms(tile: Image) -> dict[str, float]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tiatoolbox.tools.stainnorm import MacenkoNormalizer, ReinhardNormalizer
    root.handlers[:] = handlers
    root.setLevel(level)
    made = {"macenko": MacenkoNormalizer(), "reinhard": ReinhardNormalizer()}
    for normalizer in made.values():
        normalizer.fit(tile.copy())
    return {method: _best_ms(partial(normalizer.transform, tile)) for method, normalizer in made.items()}


def _best_ms(work: Callable[[], object], repeats: int = 9) -> float:
    # Processor time of all threads: a per-core figure that other programs on the machine disturb little.
    return min(timeit.repeat(work, timer=time.process_time, number=2, repeat=repeats)) / 2 * 1e3
