"""Intervals of metrics: patients are drawn again and again, each with all its bags."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wsi_features.mil.training.metrics import Doubles, Metric
from wsi_features.mil.training.results import Interval


def resampled_counts(
    patients: Sequence[str], strata: npt.NDArray[np.int64] | None, resamples: int, seed: int
) -> Doubles:
    """How often each bag counts (resamples, bags): as often as its patient is drawn, with replacement.

    As many patients are drawn of each kind as there are, kinds being which strata their bags are of: so no resample lacks
    a class, or events.
    """
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    kinds: dict[frozenset[int], list[int]] = {}
    for k in range(len(names)):
        kinds.setdefault(frozenset() if strata is None else frozenset(strata[owner == k].tolist()), []).append(k)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((resamples, len(names)))
    for members in kinds.values():
        drawn[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), resamples)
    return np.asarray(drawn[:, owner])


def intervals(metrics: dict[str, Metric], counts: Doubles, patients: int) -> dict[str, Interval]:
    """Each metric of all bags, with the middle 95 % of its resamples (percentiles)."""
    once = np.ones((1, counts.shape[1]))
    values = {name: float(metric(once)[0]) for name, metric in metrics.items()}
    return {name: _interval(values[name], metric(counts), patients) for name, metric in metrics.items()}


def _interval(value: float, resampled: Doubles, patients: int) -> Interval:
    known = resampled[np.isfinite(resampled)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
    return Interval(value, float(low), float(high), patients)
