"""What a page shows of predictions against the truth: ROC curves, survival curves and how far they differ, mistakes.

Functions of plain arrays, one value a bag; nothing is drawn here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalCurve:
    """The share without the event: `share[k]` from `times[k]` on, the first from time 0; `censored` are times of leaving."""

    times: Floats
    share: Floats
    censored: Floats

    def at(self, times: Floats) -> Floats:
        """The share at some times, which are 0 or later."""
        return self.share[np.searchsorted(self.times, times, side="right") - 1]


def roc_curve(positive: Bools, score: Floats) -> tuple[Floats, Floats]:
    """Rates of false and of true positives (m,), from 0, 0 to 1, 1, as the threshold falls; equal scores are one step.

    Both kinds of bags must be there.
    """
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    true, false = np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
    return np.append(0.0, false / false[-1]), np.append(0.0, true / true[-1])


def mean_roc(positive: Bools, score: Floats, fold: Ints) -> tuple[Floats, Floats]:
    """The mean of the folds' curves, each counting as its pairs of a positive and another bag do; empty without such a pair.

    Only scores of one fold are compared, so the area under it is the AUC over all pairs within folds.
    """
    parts = [fold == one for one in np.unique(fold)]
    parts = [part for part in parts if 0 < np.count_nonzero(positive[part]) < np.count_nonzero(part)]
    if not parts:
        return np.zeros(0), np.zeros(0)
    curves = [roc_curve(positive[part], score[part]) for part in parts]
    weights = [np.count_nonzero(positive[part]) * np.count_nonzero(~positive[part]) for part in parts]
    x = np.unique(np.concatenate([curve[0] for curve in curves]))
    before = np.average([_height(*curve, x, "left") for curve in curves], axis=0, weights=weights)
    after = np.average([_height(*curve, x, "right") for curve in curves], axis=0, weights=weights)
    return np.repeat(x, 2), np.stack([before, after], axis=1).ravel()


def _height(x: Floats, y: Floats, at: Floats, side: Literal["left", "right"]) -> Floats:
    """The height of a curve at some places, where it rises straight up that of its foot (left) or of its top (right)."""
    here = np.searchsorted(x, at, side) - (side == "right")
    slope = np.interp(at, x, y)
    return np.where(x[here] == at, y[here], slope)


def confusion(truth: Ints, said: Ints, classes: int) -> Ints:
    """How many bags of class i (rows) were taken for class j (columns), (classes, classes)."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (truth, said), 1)
    return table


def kaplan_meier(time: Floats, event: Bools) -> SurvivalCurve:
    """The product-limit estimate (Kaplan and Meier 1958). Who leaves at the time of an event was still at risk."""
    times = np.unique(time[event])
    at_risk = (time[None, :] >= times[:, None]).sum(axis=1)
    events = ((time[None, :] == times[:, None]) & event[None, :]).sum(axis=1)
    return SurvivalCurve(np.append(0.0, times), np.append(1.0, np.cumprod(1 - events / at_risk)), np.sort(time[~event]))


def log_rank(time: Floats, event: Bools, group: Bools) -> tuple[float, float]:
    """Chi-squared (one degree of freedom) and p of two groups having one survival (Mantel 1966). NaN without events."""
    observed = expected = variance = 0.0
    for when in np.unique(time[event]):
        there = time >= when
        here = (time == when) & event
        n, inside, events = there.sum(), (there & group).sum(), here.sum()
        observed += float((here & group).sum())
        expected += float(events * inside / n)
        if n > 1:
            variance += float(events * (inside / n) * (1 - inside / n) * (n - events) / (n - 1))
    if variance == 0:
        return math.nan, math.nan
    chi_squared = (observed - expected) ** 2 / variance
    return chi_squared, math.erfc(math.sqrt(chi_squared / 2))


def higher_half(score: Floats, fold: Ints) -> Bools:
    """Which bags are above the median of their own fold (n,): scores of two folds come from two models."""
    above = np.zeros(len(score), np.bool_)
    for one in np.unique(fold):
        inside = fold == one
        above[inside] = score[inside] > np.median(score[inside])
    return above


def misordered(time: Floats, event: Bools, risk: Floats, fold: Ints) -> Floats:
    """Of the pairs that each bag makes in its fold, the share whose order of events the risk has the wrong way (n,).

    A pair counts where it is known who had the event first; equal risks count half. NaN for a bag without a pair.
    """
    found = np.full(len(time), np.nan)
    for one in np.unique(fold):
        inside = np.flatnonzero(fold == one)
        t, e, r = time[inside], event[inside], risk[inside]
        earlier = e[:, None] & ((t[:, None] < t) | ((t[:, None] == t) & ~e))
        wrong = np.where(r[:, None] < r, 1.0, np.where(r[:, None] == r, 0.5, 0.0)) * earlier
        pairs = earlier.sum(axis=0) + earlier.sum(axis=1)
        found[inside] = np.where(pairs > 0, (wrong.sum(axis=0) + wrong.sum(axis=1)) / np.maximum(pairs, 1), np.nan)
    return found
