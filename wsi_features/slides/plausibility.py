"""Findings: files that open well and lie, seen from a few dozen reads of an open slide.

A file that was cut short keeps a perfect thumbnail, and one with exchanged levels or a wrong colour
declaration decodes without an error. So pieces of level 0 are compared with what the coarse level
shows there. This never replaces the checks of each tile, and it does not measure how levels are aligned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wsi_features.errors import SlideFileError
from wsi_features.slides.colour import colour_remarks, mean_colour, photometric_lie
from wsi_features.slides.slide import Slide
from wsi_features.slides.spots import Image, Overview, Spot, even_spots, overview_of, spots_of

_GONE_SHARE, _NEARLY_WHOLE = 0.5, 0.995
"""Share of the tissue's pieces that level 0 must lack for a refusal: most of what the thumbnail shows is then not there.
Below it the tiles themselves decide, as `read.max_bad_tile_fraction` allows. And the coverage that is worth no word."""

_MOST_GAP, _FEWEST, _OTHER_SHARE, _ALIKE = 20.0, 4, 0.5, 0.9
"""Two images: mean colours differ by more grey levels, in at least 4 pieces, half of those with tissue, and the means
over the slide correlate less. Measured on generated slides: sound ones up to 8.2 grey levels and from 0.993; 62 with
the coarse level of another slide from 60 % of the pieces, and up to 0.84."""


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
    overview = overview_of(slide)
    spots = even_spots(slide) if overview is None else spots_of(slide, overview)
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
class _Piece:
    """A spot as level 0 shows it.

    `gone` says why less than half of it is there, if so. `gap` is by how many grey levels its mean colour lies
    outside what the overview shows, None where that cannot be said.
    """

    spot: Spot
    rgb: Image
    gone: str
    unreadable: bool
    gap: float | None

    @property
    def where(self) -> str:
        """Its corner in level 0."""
        return f"x={self.spot.region.x}, y={self.spot.region.y}"


def _piece(slide: Slide, spot: Spot) -> _Piece:
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


def _holes(overview: Overview, *, bounded: bool) -> Iterator[Finding]:
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
