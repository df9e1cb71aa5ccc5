"""The quality columns of tiles [hot]: pure arrays in and out; no number depends on the batch or the thread.

Colours are judged on tiles halved to about 2 um per pixel, folds and blood on squares of about 16 um, focus on the
pixels themselves. OpenCV and numpy work without the interpreter lock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.tiles.grid import TileScale
from wsi_features.tiles.quality.colour import DENSITY_STEP, INK_BITS, colour_kinds, density_table, kind_shares, unmixing
from wsi_features.tiles.quality.focus import focus_columns, halved, halvings
from wsi_features.tiles.quality.spots import MOST_TILES, spots

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]

QUALITY_VERSION = 2
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
SQUARE_PX = 8
"""Width of the squares of folds and blood, in pixels of `COLOUR_MPP`."""

_PIXELS_TOGETHER = 1 << 17
"""So many small pixels are judged at once, of `MOST_TILES` at most: few calls for small tiles, little memory for large ones."""


@dataclass(frozen=True, slots=True)
class TileOptics:
    """What must be known of tiles besides their pixels: their microns per pixel, and whether these are as decoded."""

    mpp: float
    one_to_one: bool


def tile_optics(scale: TileScale) -> TileOptics:
    """That of tiles read at this scale."""
    return TileOptics(float(scale.effective), scale.resize == 1)


def measured_columns(tiles: U8, optics: TileOptics) -> F32:
    """The `COLUMNS` of tiles uint8 (b, h, w, 3): float32 (b, 15); NaN where a column does not apply to a tile."""
    found = np.empty((len(tiles), len(COLUMNS)), np.float32)
    times = halvings(optics.mpp, COLOUR_MPP)
    together = min(max(1, (_PIXELS_TOGETHER << 2 * times) // (tiles.shape[1] * tiles.shape[2])), MOST_TILES)
    for start in range(0, len(tiles), together):
        part = slice(start, start + together)
        found[part] = _measured(tiles[part], halved(tiles[part], times), optics)
    return found


def _measured(tiles: U8, small: U8, optics: TileOptics) -> npt.NDArray[np.float64]:
    kinds = colour_kinds(small)
    shares, wide = kind_shares(kinds), kind_shares(colour_kinds(_squares(small)))
    columns = [
        shares[:, (0, 1)],
        wide[:, (2, 3)],
        shares[:, (8, 4, 5, 6, 7)],
        focus_columns(tiles, optics.mpp, one_to_one=optics.one_to_one),
        _stains(small),
        _nuclei(small, kinds, tiles.shape[1] * tiles.shape[2] * optics.mpp**2 * 1e-6, optics)[:, None],
    ]
    return np.hstack(columns)


def _squares(small: U8) -> U8:
    """The mean colours of squares of `SQUARE_PX`; a tile narrower than one is one."""
    import cv2

    tiles, height, width, _ = small.shape
    down, across = max(1, height // SQUARE_PX), max(1, width // SQUARE_PX)
    cut = small[:, : down * SQUARE_PX, : across * SQUARE_PX]
    tall = np.ascontiguousarray(cut).reshape(-1, cut.shape[2], 3)
    means = cv2.resize(tall, (across, tiles * down), interpolation=cv2.INTER_AREA)
    return np.asarray(means, np.uint8).reshape(tiles, down, across, 3)


def _stains(small: U8) -> npt.NDArray[np.float64]:
    """Mean density of haematoxylin and of eosin (b, 2) over all pixels, glass included, by the same vectors for every slide."""
    import cv2

    tall = cv2.LUT(small.reshape(-1, *small.shape[2:]), density_table())
    means = np.array([cv2.mean(tile)[:3] for tile in tall.reshape(small.shape)]) * DENSITY_STEP
    return np.asarray(
        (means[:, :, None] * unmixing()).sum(axis=1)
    )  # not a matrix product: its order may follow the batch


def _nuclei(small: U8, kinds: U8, mm2: float, optics: TileOptics) -> npt.NDArray[np.float64]:
    """Spots outside ink per square millimetre; NaN where pixels are too coarse for nuclei."""
    tiles, pixels = kinds.shape
    if optics.mpp > COARSEST_MPP:
        return np.full(tiles, np.nan)
    at = spots(small)
    at = at[(kinds.reshape(-1)[at] & INK_BITS) == 0]
    return np.bincount(at // pixels, minlength=tiles) / mm2
