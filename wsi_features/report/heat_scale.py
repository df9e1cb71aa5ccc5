"""How scores become numbers to compare: as they are, from least to greatest, or by their rank.

The reference is one slide or a whole cohort, of which a bounded number of values is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

Scaling = Literal["raw", "min-max", "rank"]

MOST_VALUES = 2**21
_LEAST_OF_A_SLIDE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How scores are distributed: `values` (k,) ascending, each standing for `counts` (k,) tiles, and the true extremes.

    Without any score `low` and `high` are NaN.
    """

    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]
    low: float
    high: float

    def ranks(self, scores: Floats) -> Floats:
        """The share of tiles below each score, 0 to 1, half of those that are equal to it counted; NaN stays NaN."""
        below = np.concatenate([[0.0], np.cumsum(self.counts)])
        ends = (np.searchsorted(self.values, scores, side) for side in ("left", "right"))
        ranks = sum(below[end] for end in ends) / max(2 * below[-1], 1.0)
        return np.where(np.isfinite(scores), ranks, np.nan).astype(np.float32)

    def quantile(self, share: float) -> float:
        """The least value that at least this share of the tiles does not exceed."""
        below = np.cumsum(self.counts)
        place = int(np.searchsorted(below, share * below[-1] * (1 - 1e-12)))
        return float(self.values[min(place, len(self.values) - 1)])


def spread_of(slides: Iterable[Floats], count: int = 1) -> Spread:
    """The spread of the scores of `count` slides together; NaN values are none.

    Of a slide with many tiles evenly spaced order statistics stand for all: as many as fit into two million values for
    the cohort, and at least 64, so that a rank is out by less than a hundredth of the slide's tiles.
    """
    limit = max(_LEAST_OF_A_SLIDE, MOST_VALUES // max(1, count))
    parts: list[npt.NDArray[Any]] = []
    shares: list[npt.NDArray[Any]] = []
    low, high = np.inf, -np.inf
    for scores in slides:
        known = np.sort(scores[np.isfinite(scores)].astype(np.float64))
        if not len(known):
            continue
        low, high = min(low, known[0]), max(high, known[-1])
        kept = min(limit, len(known))
        parts.append(known[((np.arange(kept) + 0.5) * len(known) / kept).astype(np.int64)])
        shares.append(np.full(kept, len(known) / kept))
    if not parts:
        return Spread(np.empty(0), np.empty(0), np.nan, np.nan)
    values, counts = np.concatenate(parts), np.concatenate(shares)
    order = np.argsort(values, kind="stable")
    return Spread(values[order], counts[order], float(low), float(high))


def scaled(scores: Floats, scaling: Scaling, spread: Spread) -> Floats:
    """The scores (n,) on the scale; where all scores are equal they are in the middle of it. NaN stays NaN."""
    if scaling == "rank":
        return spread.ranks(scores)
    if scaling == "raw":
        return scores
    if not spread.high > spread.low:
        return np.where(np.isfinite(scores), np.float32(0.5), np.float32(np.nan))
    return ((scores.astype(np.float64) - spread.low) / (spread.high - spread.low)).astype(np.float32)


def colour_ends(scaling: Scaling, spread: Spread, asked: tuple[float, float] | None = None) -> tuple[float, float]:
    """The scaled values of the first and the last colour; scores of both signs have 0 in the middle."""
    if asked is not None:
        return asked
    if scaling != "raw" or np.isnan(spread.low):
        return 0.0, 1.0
    if is_signed(scaling, spread):
        return -max(-spread.low, spread.high), max(-spread.low, spread.high)
    return spread.low, spread.high


def is_signed(scaling: Scaling, spread: Spread) -> bool:
    """Whether colours should tell scores above 0 from those below."""
    return scaling == "raw" and spread.low < 0 < spread.high
