"""Where to look at a slide: windows of level 0, chosen by what its coarsest level shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region
from wsi_features.slides.colour import brightest, mean_colour
from wsi_features.slides.slide import Slide

_SHORT_SIDE, _MOST_PIXELS, _BANDS = 128, 4_000_000, 8
"""The overview is the coarsest level with this short side; one of more pixels would take too long to decode."""

_PIECE, _BLOCKS, _TISSUE_PIECES, _EDGE_PIECES = 256, 5, 16, 4
"""Width of a piece in level-0 pixels, as far as the overview's pixels allow. One comes from each of 5 x 5 blocks, 16 lie
evenly through the tissue, and 4 each along the last row and the last column."""

_ABSORBING, _TISSUE_SHARE = 24, 0.5
"""Grey levels below the brightest that count as tissue, and the share of such pixels that a piece of tissue has."""

Image = npt.NDArray[np.uint8]
Colour = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """The coarsest reasonable level, as far as it is there; `unreadable` says why a part cannot be decoded, if so."""

    rgb: Image
    downsample: float
    coverage: float
    unreadable: str


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """A window of level 0. `tissue` is what the overview says of it; `even` spots stand for the tissue's area.

    `shown` bounds the overview's mean colours (3,) as the window moves by up to one of its pixels.
    """

    region: Region
    tissue: bool = False
    even: bool = False
    shown: tuple[Colour, Colour] | None = None


def overview_of(slide: Slide) -> Overview | None:
    small = [i for i, level in enumerate(slide.levels) if level.size.area <= _MOST_PIXELS]
    if not small:
        return None
    sides = [min(level.size.width, level.size.height) for level in slide.levels]
    number = max((i for i in small if sides[i] >= _SHORT_SIDE), default=small[0])
    level = slide.levels[number]
    bands = [
        slide.read(Region(0, top, level.size.width, bottom - top), number)
        for top, bottom in _cuts(level.size.height, _BANDS)
    ]
    coverage = sum(band.coverage * len(band.rgb) for band in bands) / level.size.height
    unreadable = next((band.reason for band in bands if band.status == "unreadable"), "")
    return Overview(np.concatenate([band.rgb for band in bands]), level.downsample, coverage, unreadable)


def _cuts(length: int, parts: int) -> list[tuple[int, int]]:
    """First and last of each of up to `parts` equal runs, none of them empty."""
    return list(pairwise(sorted(set(np.linspace(0, length, parts + 1).astype(int).tolist()))))


def even_spots(slide: Slide) -> list[Spot]:
    """Windows in a lattice over level 0 that reaches the last row and column."""
    size = slide.levels[0].size
    side = min(_PIECE, size.width, size.height)
    xs, ys = (np.linspace(0, length - side, _BLOCKS + 1).astype(int).tolist() for length in (size.width, size.height))
    return [Spot(Region(x, y, side, side)) for y in sorted(set(ys)) for x in sorted(set(xs))]


def spots_of(slide: Slide, overview: Overview) -> list[Spot]:
    """Windows on whole pixels of the overview, each once."""
    rgb = overview.rgb
    height, width = rgb.shape[:2]
    side = min(max(2, round(_PIECE / overview.downsample)), height, width)
    tissue = np.asarray((rgb < brightest(rgb) - _ABSORBING).any(axis=2))
    inner = _tissue_shares(tissue, side)
    even = {(x * side, y * side) for x, y in _even_through(inner)}
    spread = {(x * side, y * side) for x, y in _richest(inner, _BLOCKS, _BLOCKS)}
    below = {(x * side, height - side) for x, _ in _richest(_tissue_shares(tissue[-side:], side), 1, _EDGE_PIECES)}
    right = {(width - side, y * side) for _, y in _richest(_tissue_shares(tissue[:, -side:], side), _EDGE_PIECES, 1)}
    return [
        Spot(
            _level_0(slide, overview, x, y, side),
            tissue=bool(tissue[y : y + side, x : x + side].mean() >= _TISSUE_SHARE),
            even=(x, y) in even,
            shown=_shown(rgb, x, y, side),
        )
        for x, y in sorted(even | spread | below | right)
    ]


def _tissue_shares(tissue: npt.NDArray[np.bool_], side: int) -> Colour:
    """Share of tissue in each cell of side x side pixels; what is left over at the end is left out."""
    rows, columns = tissue.shape[0] // side, tissue.shape[1] // side
    cells = tissue[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return np.asarray(cells.mean(axis=(1, 3)))


def _even_through(shares: Colour) -> list[tuple[int, int]]:
    """Column and row of cells of tissue, evenly through all of them in raster order."""
    rows, columns = np.nonzero(shares >= _TISSUE_SHARE)
    every = max(1.0, len(rows) / _TISSUE_PIECES)
    return [(int(columns[int(i)]), int(rows[int(i)])) for i in np.arange(every / 2, len(rows), every)]


def _richest(shares: Colour, down: int, across: int) -> Iterator[tuple[int, int]]:
    """Column and row of the cell with most tissue in each of down x across blocks."""
    for top, bottom in _cuts(shares.shape[0], down):
        for left, right in _cuts(shares.shape[1], across):
            row, column = divmod(int(shares[top:bottom, left:right].argmax()), right - left)
            yield left + column, top + row


def _level_0(slide: Slide, overview: Overview, x: int, y: int, side: int) -> Region:
    """The level-0 window of overview pixels; the last ones reach to the slide's edge, whatever is lost by rounding."""
    size, scale = slide.levels[0].size, overview.downsample
    height, width = overview.rgb.shape[:2]
    left, top = round(x * scale), round(y * scale)
    right = size.width if x + side == width else round((x + side) * scale)
    bottom = size.height if y + side == height else round((y + side) * scale)
    return Region(left, top, max(1, right - left), max(1, bottom - top))


def _shown(rgb: Image, x: int, y: int, side: int) -> tuple[Colour, Colour]:
    height, width = rgb.shape[:2]
    means = [
        mean_colour(rgb[top : top + side, left : left + side])
        for top in range(max(0, y - 1), min(height - side, y + 1) + 1)
        for left in range(max(0, x - 1), min(width - side, x + 1) + 1)
    ]
    return np.min(means, axis=0), np.max(means, axis=0)
