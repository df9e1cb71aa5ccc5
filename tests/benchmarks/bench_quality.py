"""Quality columns: milliseconds per 256 px tile of tissue on one core, in all and of each measure on its own."""

from __future__ import annotations

import time
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import SlideSpec, slide_pixels
from wsi_features.tiles.quality import TileOptics, colour, columns, focus, measured_columns, spots

Image = npt.NDArray[np.uint8]
Row = dict[str, Any]

AT_ONCE = 16
"""Tiles that a reading thread measures together."""


def tiles() -> Image:
    """Generated tissue at 0.5 um/px, uint8 (16, 256, 256, 3)."""
    spec = SlideSpec(width=2048, height=1280, seed=3, mpp=0.5, objective=20, levels=(1,))
    pixels = slide_pixels(spec, Region(0, 128, 2048, 1024))
    cut = pixels.reshape(4, 256, 8, 256, 3).swapaxes(1, 2).reshape(-1, 256, 256, 3)
    return np.ascontiguousarray(cut[::2])


def rows() -> list[Row]:
    """One row a figure."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [{"name": name, "value": _best_ms(work) / AT_ONCE, "unit": "ms"} for name, work in _works(tiles())]
    finally:
        cv2.setNumThreads(threads)


def _works(pixels: Image) -> list[tuple[str, Callable[[], object]]]:
    import cv2

    def halved() -> Image:
        return np.stack([focus.halved(tile, 2) for tile in pixels])

    grey = [np.asarray(cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY), np.uint8) for tile in pixels]
    small = halved()
    kinds = colour.colour_kinds(small)
    return [
        ("quality columns, read one to one", lambda: measured_columns(pixels, TileOptics(0.5, one_to_one=True))),
        ("quality columns, resampled", lambda: measured_columns(pixels, TileOptics(0.5, one_to_one=False))),
        ("  of it grey levels", lambda: [cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY) for tile in pixels]),
        ("  of it halving to 2 um/px", halved),
        ("  of it glass, ink, grey: kinds of pixels", lambda: colour.kind_shares(colour.colour_kinds(small))),
        ("  of it folds, blood: kinds of squares", lambda: colour.kind_shares(colour.colour_kinds(columns._squares(small)))),
        ("  of it laplacian variance", lambda: [focus.laplacian_variance(plane) for plane in grey]),
        ("  of it sharpness", lambda: [focus.sharpness(plane, 0.5) for plane in grey]),
        ("  of it blockiness", lambda: [focus.blockiness(plane) for plane in grey]),
        ("  of it haematoxylin and eosin", lambda: [columns._stains(tile) for tile in small]),
        ("  of it nuclei", lambda: np.count_nonzero(spots.spots(small).reshape(kinds.shape), axis=1)),
    ]  # fmt: skip


def _best_ms(work: Callable[[], object], repeats: int = 15) -> float:
    # Processor time of all threads: a per-core figure that other programs on the machine disturb little.
    return min(timeit.repeat(work, timer=time.process_time, number=3, repeat=repeats)) / 3 * 1e3
