"""Findings: files that open well and lie, seen from a few dozen reads of an open slide.

A file that was cut short keeps a perfect thumbnail, and one with exchanged levels or a wrong colour
declaration decodes without an error. So pieces of level 0 are compared with what the coarse level
shows there. This never replaces the checks of each tile, and it does not measure how levels are aligned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region
from wsi_features.slides.colour import brightest, colour_remarks, mean_colour, photometric_lie
from wsi_features.slides.slide import Slide

_SHORT_SIDE, _MOST_PIXELS, _BANDS = 128, 4_000_000, 8
"""The overview is the coarsest level with this short side; one of more pixels would take too long to decode."""

_PIECE, _BLOCKS, _TISSUE_PIECES, _EDGE_PIECES = 256, 5, 16, 4
"""Width of a piece in level-0 pixels, as far as the overview's pixels allow. One comes from each of 5 x 5 blocks, 16 lie
evenly through the tissue, and 4 each along the last row and the last column."""

_ABSORBING, _TISSUE_SHARE = 24, 0.5
"""Grey levels below the brightest that count as tissue, and the share of such pixels that a piece of tissue has."""

_GONE_SHARE, _NEARLY_WHOLE = 0.5, 0.995
"""Share of the tissue's pieces that level 0 must lack for a refusal: most of what the thumbnail shows is then not there.
Below it the tiles themselves decide, as `read.max_bad_tile_fraction` allows. And the coverage that is worth no word."""

_MOST_GAP, _FEWEST, _OTHER_SHARE, _ALIKE = 20.0, 4, 0.5, 0.9
"""Two images: mean colours differ by more grey levels, in at least 4 pieces, half of those with tissue, and the means
over the slide correlate less. Measured on generated slides: sound ones up to 8.2 grey levels and from 0.993; 62 with
the coarse level of another slide from 60 % of the pieces, and up to 0.84."""

Image = npt.NDArray[np.uint8]
Colour = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Finding:
    """A short code, and a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What makes a slide unusable, and what is only to be known of it."""

    refusals: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    def error(self, slide_id: str, path: str) -> SlideFileError | None:
        """The error that the refusals stand for, or None."""
        if not self.refusals:
            return None
        return SlideFileError.implausible(slide_id, path, [finding.text for finding in self.refusals])


_Verdict = tuple[bool, Finding]
"""Whether it refuses the slide, and what was found."""


def findings(slide: Slide) -> Findings:
    """What the coarsest level and up to 49 pieces of level 0 say; the same for the same file.

    Takes a few tenths of a second and some tens of megabytes, and raises nothing for what the file holds. A single
    level of more than 4 megapixels has no overview: its pieces are looked at for colours and damage only.
    """
    overview = _overview(slide)
    spots = _even_spots(slide) if overview is None else _spots(slide, overview)
    pieces = [_piece(slide, spot) for spot in spots]
    close_up = _close_up(pieces)
    picture = close_up if overview is None else overview.rgb
    verdicts = [*_false_colours(picture, close_up), *_absent(pieces), *_different(pieces)]
    if overview is not None and not overview.coverage and not overview.unreadable:
        verdicts.append((True, Finding("coverage", "it holds no pixel at all")))
    refusals = tuple(finding for refused, finding in verdicts if refused)
    warnings = [finding for refused, finding in verdicts if not refused]
    if overview is not None:
        warnings += _holes(overview, bounded=slide.bounds is not None)
    if not refusals:
        warnings += [Finding(code, text) for code, text in colour_remarks(picture)]
    return Findings(refusals, tuple(warnings))


@dataclass(frozen=True, slots=True, eq=False)
class _Overview:
    """The coarsest reasonable level, as far as it is there; `unreadable` says why a part cannot be decoded, if so."""

    rgb: Image
    downsample: float
    coverage: float
    unreadable: str


@dataclass(frozen=True, slots=True, eq=False)
class _Spot:
    """A window of level 0. `tissue` is what the overview says of it; `even` spots stand for the tissue's area.

    `shown` bounds the overview's mean colours (3,) as the window moves by up to one of its pixels.
    """

    region: Region
    tissue: bool = False
    even: bool = False
    shown: tuple[Colour, Colour] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A spot as level 0 shows it.

    `gone` says why less than half of it is there, if so. `gap` is by how many grey levels its mean colour lies
    outside what the overview shows, None where that cannot be said.
    """

    spot: _Spot
    rgb: Image
    gone: str
    unreadable: bool
    gap: float | None

    @property
    def where(self) -> str:
        """Its corner in level 0."""
        return f"x={self.spot.region.x}, y={self.spot.region.y}"


def _overview(slide: Slide) -> _Overview | None:
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
    return _Overview(np.concatenate([band.rgb for band in bands]), level.downsample, coverage, unreadable)


def _cuts(length: int, parts: int) -> list[tuple[int, int]]:
    """First and last of each of up to `parts` equal runs, none of them empty."""
    return list(pairwise(sorted(set(np.linspace(0, length, parts + 1).astype(int).tolist()))))


def _even_spots(slide: Slide) -> list[_Spot]:
    """Windows in a lattice over level 0 that reaches the last row and column."""
    size = slide.levels[0].size
    side = min(_PIECE, size.width, size.height)
    xs, ys = (np.linspace(0, length - side, _BLOCKS + 1).astype(int).tolist() for length in (size.width, size.height))
    return [_Spot(Region(x, y, side, side)) for y in sorted(set(ys)) for x in sorted(set(xs))]


def _spots(slide: Slide, overview: _Overview) -> list[_Spot]:
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
        _Spot(
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


def _level_0(slide: Slide, overview: _Overview, x: int, y: int, side: int) -> Region:
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


def _piece(slide: Slide, spot: _Spot) -> _Piece:
    pixels = slide.read(spot.region, 0)
    gone = pixels.reason or pixels.status if pixels.status != "ok" else ""
    if not gone and pixels.coverage < 0.5:
        gone = "not scanned"
    gap = None
    if spot.shown is not None and not gone and pixels.coverage == 1.0:
        mean = mean_colour(pixels.rgb)
        gap = max(0.0, float(np.maximum(spot.shown[0] - mean, mean - spot.shown[1]).max()))
    return _Piece(spot, pixels.rgb, gone, pixels.status == "unreadable", gap)


def _close_up(pieces: Sequence[_Piece]) -> Image:
    """Every 8th pixel each way of the pieces that are there, (n, 3)."""
    there = [piece.rgb[::8, ::8].reshape(-1, 3) for piece in pieces if not piece.gone]
    return np.concatenate(there) if there else np.empty((0, 3), np.uint8)


def _false_colours(*pictures: Image) -> Iterator[_Verdict]:
    told = next(filter(None, map(photometric_lie, pictures)), None)
    if told is not None:
        yield True, Finding("photometric", f"its colours are wrong: {told}")


def _absent(pieces: Sequence[_Piece]) -> Iterator[_Verdict]:
    """Pieces that level 0 does not hold. Where the overview shows no tissue, a piece may well be missing."""
    gone = [piece for piece in pieces if piece.gone and (piece.spot.tissue or piece.unreadable)]
    if not gone:
        return
    even = [piece for piece in pieces if piece.spot.even]
    lost = [piece for piece in even if piece.gone]
    first = f"first at {gone[0].where}: {gone[0].gone}"
    if all(piece.unreadable for piece in pieces):
        yield True, Finding("unreadable", f"no part of level 0 that was tried can be decoded ({first})")
    elif len(lost) >= max(min(_FEWEST, len(even)), _GONE_SHARE * len(even), 1):
        text = f"level 0 lacks {len(lost)} of {len(even)} pieces of the tissue that its thumbnail shows ({first})"
        yield True, Finding("sparse", text)
    else:
        text = f"{len(gone)} of {len(pieces)} pieces of level 0 are missing or cannot be decoded ({first})"
        yield False, Finding("sparse", text)


def _different(pieces: Sequence[_Piece]) -> Iterator[_Verdict]:
    """Pieces whose mean colours differ between level 0 and the overview."""
    compared = [piece for piece in pieces if piece.gap is not None]
    other = [piece for piece in compared if piece.gap is not None and piece.gap > _MOST_GAP]
    if not other:
        return
    of = sum(piece.spot.tissue or piece in other for piece in compared)
    found = f"in {len(other)} of {of} pieces with tissue, first at {other[0].where}"
    if len(other) < max(_FEWEST, _OTHER_SHARE * of):
        yield False, Finding("levels", f"level 0 and the coarsest level differ {found}")
    elif _correlation(compared) < _ALIKE:
        yield True, Finding("levels", f"its levels show different images ({found})")
    else:
        yield False, Finding("tone", f"level 0 and the coarsest level show one image in different colours ({found})")


def _holes(overview: _Overview, *, bounded: bool) -> Iterator[Finding]:
    """What the overview itself lacks. A file that states bounds is expected to hold nothing beyond them."""
    if overview.unreadable:
        yield Finding("overview", f"a part of the coarsest level cannot be decoded ({overview.unreadable})")
    elif not bounded and overview.coverage < _NEARLY_WHOLE:
        yield Finding("coverage", f"{1 - overview.coverage:.1%} of the slide are not in the file: not scanned, or lost")


def _correlation(pieces: Sequence[_Piece]) -> float:
    """Of the mean colours in level 0 with those in the overview, 0 where one of them is all alike."""
    shown = np.array([np.mean(piece.spot.shown, axis=0) for piece in pieces if piece.spot.shown is not None])
    found = np.array([mean_colour(piece.rgb) for piece in pieces])
    shown, found = shown - shown.mean(axis=0), found - found.mean(axis=0)
    norm = float(np.sqrt((shown**2).sum() * (found**2).sum()))
    return float((shown * found).sum()) / norm if norm else 0.0
