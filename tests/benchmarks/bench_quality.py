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
from wsi_features.tiles.plan import MOST_TILES
from wsi_features.tiles.quality import TileOptics, colour, columns, focus, measured_columns

Image = npt.NDArray[np.uint8]
Row = dict[str, Any]

AT_ONCE = MOST_TILES
"""Tiles that a reading thread measures together."""


def tiles() -> Image:
    """Generated tissue at 0.5 um/px, uint8 (32, 256, 256, 3)."""
    spec = SlideSpec(width=2048, height=1280, seed=3, mpp=0.5, objective=20, levels=(1,))
    pixels = slide_pixels(spec, Region(0, 128, 2048, 1024))
    return np.ascontiguousarray(pixels.reshape(4, 256, 8, 256, 3).swapaxes(1, 2).reshape(-1, 256, 256, 3)[:AT_ONCE])


def rows() -> list[Row]:
    """One row a figure; the first is a yardstick for the machine and its load."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        best = _best_ms(_works(tiles()))
        return [{"name": name, "value": ms / AT_ONCE, "unit": "ms"} for name, ms in best.items()]
    finally:
        cv2.setNumThreads(threads)


def _works(pixels: Image) -> dict[str, Callable[[], object]]:
    grey, small = focus.greys(pixels), focus.halved(pixels, 2)
    kinds = colour.colour_kinds(small)
    native, resampled = TileOptics(0.5, one_to_one=True), TileOptics(0.5, one_to_one=False)
    return {
        "decoding such a tile, JPEG of quality 80": _decode(pixels),
        "quality columns, read one to one": lambda: measured_columns(pixels, native),
        "quality columns, resampled": lambda: measured_columns(pixels, resampled),
        "  of it grey levels": lambda: focus.greys(pixels),
        "  of it halving to 2 um/px": lambda: focus.halved(pixels, 2),
        "  of it glass, ink, grey: kinds of pixels": lambda: colour.kind_shares(colour.colour_kinds(small)),
        "  of it folds, blood: kinds of squares": lambda: colour.kind_shares(
            colour.colour_kinds(columns._squares(small))
        ),
        "  of it laplacian variance": lambda: focus.laplacian_variance(focus.laplacian_sums(grey)),
        "  of it sharpness": lambda: focus.sharpness(focus.contrasts(grey, 0.5)),
        "  of it blockiness": lambda: focus.blockiness(*focus.block_steps(grey)),
        "  of it haematoxylin and eosin": lambda: columns._stains(small),
        "  of it nuclei": lambda: columns._nuclei(small, kinds, 1.0, native),
    }


def _decode(pixels: Image) -> Callable[[], object]:
    import simplejpeg

    files = [simplejpeg.encode_jpeg(tile, quality=80, colorsubsampling="420") for tile in pixels]
    return lambda: [simplejpeg.decode_jpeg(file) for file in files]


def _best_ms(works: dict[str, Callable[[], object]], rounds: int = 40) -> dict[str, float]:
    # Processor time of all threads, the best of rounds in which everything has its turn: other programs on the
    # machine disturb it little, and all figures alike.
    clocks = {name: timeit.Timer(work, timer=time.process_time) for name, work in works.items()}
    taken = [{name: clock.timeit(2) / 2 * 1e3 for name, clock in clocks.items()} for _ in range(rounds)]
    return {name: min(each[name] for each in taken) for name in works}
