"""What paired tiles are measured against: the same tiles paired wrongly.

Cosines of many encoders are near 1 between any two tiles, so that a high one says little. A sample of pairs, kept while
the features are read, is compared with itself in another order, and each tile is looked for among the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

SAMPLE = 1024
"""Pairs that are kept: 2,560 features of each on both sides take 20 MiB."""
AMONG = 256
FEWEST = 8
"""With fewer pairs nothing is said of the baseline."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Features (s, d) of both sides, whose widths may differ, of pairs evenly spread over all, whose numbers are `pairs`."""

    one: F32
    two: F32
    pairs: Ints

    def __len__(self) -> int:
        return len(self.one)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Mean cosine of pairs that belong together, of vectors as they are (`matched`) and of standardised ones, and the same of pairs that do not (`shuffled`).

    `retrieval` is the share of tiles whose most similar one on the other side, by standardised features, is their
    own, `among` so many. `same_feature` is the median correlation of a feature with itself, `other_feature` that of
    the absolute correlations with other features.
    """

    matched: float
    shuffled: float
    matched_standardised: float
    shuffled_standardised: float
    retrieval: float
    among: int
    same_feature: float
    other_feature: float


def sampled_pairs(pairs: int) -> Ints:
    """Numbers of the pairs to keep, evenly spread."""
    return np.unique(np.linspace(0, max(0, pairs - 1), min(pairs, SAMPLE)).astype(np.int64))


def baseline(sample: Sample) -> Baseline | None:
    """The baseline of features of one width; None of fewer than 8 pairs, or where no feature varies."""
    if len(sample) < FEWEST or sample.one.shape[1] != sample.two.shape[1]:
        return None
    one, two = sample.one.astype(np.float64), sample.two.astype(np.float64)
    varying = varies(one) & varies(two)
    if not varying.any():
        return None
    straight, turned = directions(one), directions(two)
    level, other = (standardised(side[:, varying]) for side in (one, two))
    crossed = level.T @ other / len(level)
    even, odd = directions(level), directions(other)
    picked = np.linspace(0, len(sample) - 1, min(AMONG, len(sample))).astype(np.int64)
    nearest = (even[picked] @ odd[picked].T).argmax(axis=1)
    away = len(sample) // 2
    beside = np.abs(crossed[~np.eye(len(crossed), dtype=np.bool_)]) if len(crossed) > 1 else np.zeros(1)
    return Baseline(
        matched=_mean_product(straight, turned),
        shuffled=_mean_product(straight, np.roll(turned, away, axis=0)),
        matched_standardised=_mean_product(even, odd),
        shuffled_standardised=_mean_product(even, np.roll(odd, away, axis=0)),
        retrieval=float((nearest == np.arange(len(picked))).mean()),
        among=len(picked),
        same_feature=float(np.median(np.diag(crossed))),
        other_feature=float(np.median(beside)),
    )


def standardised(values: F64) -> F64:
    """Each column with mean 0 and spread 1 over the rows; all of them vary."""
    return np.asarray((values - values.mean(axis=0)) / values.std(axis=0))


def varies(values: F64) -> npt.NDArray[np.bool_]:
    """Columns that vary by more than rounding."""
    return np.asarray(values.std(axis=0) > 1e-6 * np.abs(values).max(axis=0, initial=0) + 1e-12)


def directions(values: F64) -> F64:
    """Each row with length 1."""
    lengths = np.sqrt(np.einsum("ij,ij->i", values, values))
    return np.asarray(values / np.where(lengths > 0, lengths, 1)[:, None])


def _mean_product(one: F64, two: F64) -> float:
    return float(np.einsum("ij,ij->i", one, two).mean())


def wrong_cosines(sample: Sample) -> F64:
    """Cosines (s,) of tiles with tiles that they do not belong to; none where widths differ or there are fewer than 2."""
    if len(sample) < 2 or sample.one.shape[1] != sample.two.shape[1]:
        return np.empty(0)
    one, two = directions(sample.one.astype(np.float64)), directions(sample.two.astype(np.float64))
    return np.asarray(np.einsum("ij,ij->i", one, np.roll(two, len(sample) // 2, axis=0)))
