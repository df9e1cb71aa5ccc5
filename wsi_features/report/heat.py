"""The heat map: the scores of a slide's tiles as one array of whole-number level-0 pixels.

Pixel (i, j), column and row, covers the level-0 pixels from (i, j) * downsample up to (i + 1, j + 1) * downsample. Its
value is the mean of the tiles over it, each weighted by the area that it covers of the pixel, and NaN where no tile
is. Tiles may overlap, lie anywhere and reach beyond the slide. Nothing is coloured here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size, SlidePx

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

PIXELS_PER_TILE = 8
MOST_PIXELS = 2**28
"""Of a heat map that is held in memory: 1 GiB."""

_CHOSEN_PIXELS = 2**25
_BAND_PIXELS = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class HeatMap:
    """Scores float32 (h, w), NaN where no tile is, `downsample` level-0 pixels per pixel, of a slide of `slide` pixels.

    The last column and row may reach beyond the slide by less than a pixel.
    """

    values: Floats
    downsample: int
    slide: Size


def heat_size(slide: Size, downsample: int) -> Size:
    """The pixels of a heat map of the whole slide."""
    return Size(-(-slide.width // downsample), -(-slide.height // downsample))


def chosen_downsample(span: SlidePx, slide: Size) -> int:
    """The power of two that gives a tile about eight pixels, or more where the map would be greater than 32 megapixels."""
    chosen = 2 ** max(0, round(math.log2(max(1.0, span / PIXELS_PER_TILE))))
    while heat_size(slide, chosen).area > _CHOSEN_PIXELS:
        chosen *= 2
    return int(chosen)


def heat_map(origins: Ints, span: SlidePx, scores: Floats, slide: Size, downsample: int) -> HeatMap:
    """Paint `scores` (n,) of tiles with the level-0 corners `origins` (n, 2) and the width `span`.

    Tiles without a score (NaN) are no tiles. Bands of rows bound what is held beside the result.
    """
    known = np.isfinite(scores)
    corners, values = origins[known], scores[known].astype(np.float64)
    size = heat_size(slide, downsample)
    painted = np.full((size.height, size.width), np.nan, np.float32)
    rows = max(1, _BAND_PIXELS // max(1, size.width))
    for top in range(0, size.height, rows):
        band = painted[top : top + rows]
        y = corners[:, 1] - top * downsample
        inside = (y + span > 0) & (y < len(band) * downsample)
        if inside.any():
            _paint(band, np.column_stack([corners[inside, 0], y[inside]]), span, values[inside], downsample)
    return HeatMap(painted, downsample, slide)


def heat_levels(heat: HeatMap, smallest: int = 256) -> list[Floats]:
    """The map and its halves, quarters, ... until the longer side is at most `smallest`.

    A pixel is the mean of the four above it that have a value; an odd last column or row has fewer.
    """
    levels = [heat.values]
    while max(levels[-1].shape) > smallest:
        levels.append(_halved(levels[-1]))
    return levels


def _halved(values: Floats) -> Floats:
    height, width = (-(-side // 2) for side in values.shape)
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.uint8)
    for part in (values[dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)):
        known = np.isfinite(part)
        h, w = part.shape
        total[:h, :w] += np.where(known, part, 0)
        count[:h, :w] += known
    halved = np.full((height, width), np.nan, np.float32)
    np.divide(total, count, out=halved, where=count > 0)
    return halved


def _paint(band: Floats, corners: Ints, span: int, values: npt.NDArray[np.float64], downsample: int) -> None:
    """The tiles on one band of rows; corners are counted from the band's own."""
    height, width = band.shape
    first_x, share_x = _shares(corners[:, 0], span, width, downsample)
    first_y, share_y = _shares(corners[:, 1], span, height, downsample)
    taps_x, taps_y = share_x.shape[1], share_y.shape[1]
    total = np.zeros((height + taps_y, width + taps_x))
    weight = np.zeros_like(total)
    for x, y, across, down, value in zip(first_x.tolist(), first_y.tolist(), share_x, share_y, values, strict=True):
        area = down[:, None] * across
        weight[y : y + taps_y, x : x + taps_x] += area
        total[y : y + taps_y, x : x + taps_x] += value * area
    total, weight = total[:height, :width], weight[:height, :width]
    np.divide(total, weight, out=band, where=weight > 0, casting="same_kind")


def _shares(starts: Ints, span: int, count: int, downsample: int) -> tuple[Ints, npt.NDArray[np.float64]]:
    """The first of `count` pixels that each tile touches along one axis (n,), and the share that it covers of that one and
    the next ones (n, taps); 0 beyond the last.
    """
    taps = span // downsample + 2
    first = np.clip(starts // downsample, 0, count)
    edges = (first[:, None] + np.arange(taps + 1)) * downsample
    covered = np.clip(edges, starts[:, None], (starts + span)[:, None])
    shares = np.diff(covered, axis=1) / downsample
    shares[first[:, None] + np.arange(taps) >= count] = 0
    return first, shares
