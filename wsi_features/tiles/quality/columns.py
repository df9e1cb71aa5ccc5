"""The quality columns of tiles [hot]: pure arrays in and out, tile by tile, so that no batch and no thread matters.

Colours are judged on tiles halved to about 2 um per pixel, folds and blood on squares of about 16 um, focus on the
pixels themselves. OpenCV and numpy work without the interpreter lock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.tiles.quality.colour import density_table, ink_mask, kind_table, unmixing
from wsi_features.tiles.quality.focus import blockiness, halved, halvings, laplacian_variance, sharpness
from wsi_features.tiles.quality.pixels import DENSITY_SCALE, KINDS, counted

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

QUALITY_VERSION = 1
"""Method version of the columns."""

COLUMNS = (
    *("white_share", "grey_share", "blood_share", "fold_share"),
    *("pen_share", "pen_blue_share", "pen_green_share", "pen_red_share", "pen_black_share"),
    *("laplacian_variance", "sharpness", "blockiness"),
    *("haematoxylin_od", "eosin_od", "nuclei_per_mm2"),
)
"""Names of the columns in their order."""

COLOUR_MPP = 2.0
"""Scale at which colours are judged, um/px."""
COARSEST_MPP = 2.83
"""Coarser tiles show no nuclei."""
@dataclass(frozen=True, slots=True)
class TileOptics:
    """What must be known of tiles besides their pixels: their microns per pixel, and whether these are as decoded."""

    mpp: float
    one_to_one: bool


def measured_columns(tiles: U8, optics: TileOptics) -> F32:
    """The `COLUMNS` of tiles uint8 (b, h, w, 3): float32 (b, 15); NaN where a column does not apply to a tile."""
    rows = [_measured(tile, optics) for tile in tiles]
    return np.array(rows, np.float32).reshape(len(tiles), len(COLUMNS))


def _measured(tile: U8, optics: TileOptics) -> list[float]:
    import cv2

    grey = np.asarray(cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY), np.uint8)
    blocks = blockiness(grey) if optics.one_to_one else float("nan")
    focus = [laplacian_variance(grey), sharpness(grey, optics.mpp), blocks]
    shares, stains = _colours(tile, optics.mpp)
    return [*shares, *focus, *stains]


def _colours(tile: U8, mpp: float) -> tuple[list[float], list[float]]:
    """The columns before those of focus, and those after it.

    Densities of the stains are means over all pixels, glass included, along the same vectors for every slide. A
    nucleus is a spot that is darkest among its neighbours in red light, which eosin hardly absorbs, dark enough, and
    darker than the brightest place within 6 um; ink is none. Spots stand for nuclei only statistically: what touches
    may count as one. They are NaN where pixels are too coarse for nuclei.
    """
    small = halved(tile, halvings(mpp, COLOUR_MPP))
    counts = counted(small, kind_table(), density_table(DENSITY_SCALE), ink_mask()).tolist()
    pixels = small.shape[0] * small.shape[1]
    white, grey, _, _, *pens, pen = (count / pixels for count in counts[:KINDS])
    blood, dense = (counts[KINDS + bit] / counts[2 * KINDS] for bit in (2, 3))
    red, green, blue = (total / (pixels * DENSITY_SCALE) for total in counts[-4:-1])
    stains = [r * red + g * green + b * blue for r, g, b in unmixing()]
    mm2 = tile.shape[0] * tile.shape[1] * mpp * mpp * 1e-6
    nuclei = counts[-1] / mm2 if mpp <= COARSEST_MPP else float("nan")
    return [white, grey, blood, dense, pen, *pens], [*stains, nuclei]
