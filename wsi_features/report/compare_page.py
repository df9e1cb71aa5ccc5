"""The comparison of two feature sets as one HTML file: a verdict, what it speaks for, and where the tiles differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.compare.evidence import Hint
from wsi_features.cohort.compare.summary import EDGES, Counts, FarTile, SlideSummary, total
from wsi_features.cohort.compare.verdict import IDENTICAL, ORDER, PIXELS, ROUNDING, TRANSFORMED, verdict_counts
from wsi_features.report.figures import encoded
from wsi_features.report.html import Picture, page_template, picture

Rgb = npt.NDArray[np.uint8]

_EXPLAINED = {
    IDENTICAL: "Every number of every paired tile is the same on both sides.",
    ROUNDING: "Tiles differ by no more than storing or computing in another precision leaves.",
    TRANSFORMED: "Both sides hold the same features, one of them transformed; the hints say how.",
    PIXELS: "One encoder made both sides, and saw other pixels or ran otherwise.",
}
_OTHERWISE = "The two sides do not hold the same features of these tiles."
_TONES = {IDENTICAL: "ok", ROUNDING: "ok", TRANSFORMED: "empty", PIXELS: "empty"}
_LEFT, _RIGHT, _TOP, _FLOOR = 46.0, 690.0, 14.0, 196.0


@dataclass(frozen=True, slots=True, eq=False)
class ComparePage:
    """Everything that the page shows; `why_no_pictures` says of a slide why its tiles have none."""

    one: str
    two: str
    feature_sets: tuple[str, str]
    verdict: str
    slides: tuple[SlideSummary, ...]
    failed: Mapping[str, str]
    empty: tuple[str, ...]
    only_one: tuple[str, ...]
    only_two: tuple[str, ...]
    farthest: tuple[FarTile, ...]
    pictures: Mapping[FarTile, Rgb]
    why_no_pictures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Bar:
    """One bar of the histogram, in the pixels of the drawing."""

    x: float
    y: float
    width: float
    height: float
    says: str


@dataclass(frozen=True, slots=True)
class _SharedHint:
    """A hint with the slides that have it, and its numbers on the first of them."""

    hint: Hint
    slides: tuple[str, ...]


def render_comparison(page: ComparePage) -> str:
    """The whole page. Equal comparisons give equal text."""
    matched, shuffled = (total([getattr(s, name) for s in page.slides]) for name in ("matched", "shuffled"))
    return page_template("compare").render(
        page=page,
        explained=_explained(page),
        tone=_TONES.get(page.verdict, "failed"),
        tones={name: _TONES.get(name, "failed") for name in ORDER},
        verdicts=verdict_counts(page.slides),
        missing=_by_reason(page.why_no_pictures),
        hints=shared_hints(page.slides),
        tiles=sum(slide.paired for slide in page.slides),
        bars=histogram_bars(matched),
        wrong=histogram_line(shuffled),
        ticks=[(_x(k), f"10\u207b{_SUPER[-power]}" if power else "1") for power, k in _decades()],
        shown=[(tile, _framed(page.pictures.get(tile))) for tile in page.farthest],
        floor=_FLOOR,
    )


def shared_hints(slides: Sequence[SlideSummary]) -> list[_SharedHint]:
    """Hints of all slides, those of one kind that say the same once, in the order in which they come."""
    found: dict[tuple[str, str], tuple[Hint, list[str]]] = {}
    for slide in slides:
        for hint in slide.hints:
            found.setdefault((hint.kind, hint.text), (hint, []))[1].append(slide.slide_id)
    return [_SharedHint(hint, tuple(names)) for hint, names in found.values()]


def histogram_bars(counts: Counts) -> list[_Bar]:
    """Bars of the shares of tiles in each bin of 1 - cosine, from equal on the left; the highest fills the drawing."""
    whole, highest = max(1, int(counts.sum())), max(1, int(counts.max()))
    bars = []
    for k, count in enumerate(counts.tolist()):
        height = (_FLOOR - _TOP) * count / highest
        says = f"{count:,} tiles ({count / whole:.1%}) with 1 - cosine {_between(k)}"
        if count:
            bars.append(
                _Bar(
                    round(_x(k), 1), round(_FLOOR - height, 1), round(_x(k + 1) - _x(k) - 1, 1), round(height, 1), says
                )
            )
    return bars


def histogram_line(counts: Counts) -> str:
    """The outline of the same of wrongly paired tiles, as the points of an SVG polyline; empty without any."""
    highest = int(counts.max())
    if not highest:
        return ""
    points = []
    for k, count in enumerate(counts.tolist()):
        y = _FLOOR - (_FLOOR - _TOP) * count / highest
        points += [f"{_x(k):.1f},{y:.1f}", f"{_x(k + 1):.1f},{y:.1f}"]
    return " ".join(points)


_SUPER = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077"


def _x(bin_number: float) -> float:
    return _LEFT + (_RIGHT - _LEFT) * bin_number / len(EDGES)


def _decades() -> list[tuple[int, int]]:
    """Powers of ten, and the number of the bin that begins there."""
    return [(power, 1 + 4 * (power + 7)) for power in range(-6, 1)]


def _between(k: int) -> str:
    return f"below {EDGES[0]:.1g}" if k == 0 else f"from {EDGES[k - 1]:.2g} to {EDGES[k]:.2g}"


def _explained(page: ComparePage) -> str:
    """What the verdict means; of slides with several it is that of the one where both sides are farthest apart."""
    several = "Of the slide that is farthest apart: " if len(verdict_counts(page.slides)) > 1 else ""
    text = _EXPLAINED.get(page.verdict, _OTHERWISE)
    return several + (text[0].lower() + text[1:] if several else text)


def _by_reason(why: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    return [(reason, [name for name, said in why.items() if said == reason]) for reason in dict.fromkeys(why.values())]


def _framed(pixels: Rgb | None) -> Picture | None:
    return None if pixels is None else picture(encoded(pixels, "png"))
