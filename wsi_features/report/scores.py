"""Scores of classes as colours: each tile in the colour of the class that it is most like.

Colours are those that Okabe and Ito chose to be told apart by every kind of colour vision.
The page has one for each of seven classes; the classes that fewest tiles are most like share a grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
OTHERS = (120, 120, 120)
_PALE = (236, 236, 236)


@dataclass(frozen=True, slots=True)
class ScoredClass:
    """One class in the legend: its place in the palette, None where it shares the grey, and the tiles most like it."""

    name: str
    place: int | None
    tiles: int


@dataclass(frozen=True, slots=True, eq=False)
class ScoreColours:
    """Colours uint8 (n, 3), which rows have scores (n,), and the legend in the order of the columns."""

    colours: npt.NDArray[np.uint8]
    usable: npt.NDArray[np.bool_]
    classes: tuple[ScoredClass, ...]


def score_colours(names: tuple[str, ...], scores: npt.NDArray[Any], places: tuple[int | None, ...]) -> ScoreColours:
    """Colour tiles by scores (n, c); `places` are the classes' in the palette, the same on every slide.

    With one class there is nothing to choose between: its colour then deepens from the least
    to the greatest score of the slide.
    """
    usable = np.asarray(np.isfinite(scores).all(axis=1))
    best = np.where(usable, np.where(np.isfinite(scores), scores, -np.inf).argmax(axis=1), -1)
    palette = np.array([OTHERS if place is None else PALETTE[place] for place in places], np.uint8)
    colours = palette[best]
    if len(names) == 1:
        colours = _ramp(scores[:, 0], usable, palette[0])
    counts = np.bincount(best[usable], minlength=len(names))
    classes = tuple(ScoredClass(*of) for of in zip(names, places, counts.tolist(), strict=True))
    return ScoreColours(colours, usable, classes)


def palette_places(counts: npt.NDArray[Any]) -> tuple[int | None, ...]:
    """Places in the palette for classes, of which `counts` (c,) tiles of the cohort are most like each."""
    kept = sorted(np.argsort(-counts, kind="stable")[: len(PALETTE)].tolist())
    return tuple(kept.index(k) if k in kept else None for k in range(len(counts)))


def most_like(scores: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many tiles are most like each class, (c,)."""
    usable = np.isfinite(scores).all(axis=1)
    return np.bincount(scores[usable].argmax(axis=1), minlength=scores.shape[1])


def _ramp(
    scores: npt.NDArray[Any], usable: npt.NDArray[np.bool_], colour: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    known = scores[usable].astype(np.float64)
    low, high = np.percentile(known, (1, 99)) if len(known) else (0.0, 1.0)
    share = np.clip((np.nan_to_num(scores.astype(np.float64)) - low) / max(high - low, 1e-12), 0, 1)[:, None]
    return np.rint(np.array(_PALE) * (1 - share) + colour * share).astype(np.uint8)
