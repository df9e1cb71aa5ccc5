"""How much the features of tiles tell which slide or site they come from: what stain normalization is to lower.

All measures are of distances in feature space. They say how strongly tiles of one group lie together, not why:
tissue that differs between slides counts as well as stain, so compare the same tiles with and without normalization.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Separation:
    """How far groups stand apart. Each is 0 or `chance` where the group does not matter, and 1 where it says all.

    `silhouette` (Rousseeuw 1987) is from -1 to 1. `same_neighbours` is the share of a tile's 10 nearest ones
    that are of its own group, and `chance` what that would be at random. `explained` is the share of the
    variance between group means (eta squared), and `by_chance` what as many random groups would explain.
    """

    groups: int
    silhouette: float
    same_neighbours: float
    chance: float
    explained: float
    by_chance: float


def standardised(features: npt.NDArray[np.float32]) -> Floats:
    """Features (n, d) with each column's mean 0 and spread 1; columns that are flat are left out."""
    values = features.astype(np.float64)
    spread = values.std(axis=0)
    used = spread > 1e-9 * np.maximum(np.abs(values).max(axis=0, initial=0), 1e-12)
    return np.asarray((values[:, used] - values[:, used].mean(axis=0)) / spread[used])


def separation(values: Floats, groups: Labels) -> Separation | None:
    """How far the groups (n,) of rows (n, d) stand apart; None where there are not two with two rows each."""
    names, codes, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 2 or counts.min() < 2 or not values.shape[1]:
        return None
    distances = _distances(values)
    nearest = min(NEIGHBOURS, len(values) - 1)
    neighbours = np.argsort(distances + np.diag(np.full(len(values), np.inf)), axis=1, kind="stable")[:, :nearest]
    same = float((codes[neighbours] == codes[:, None]).mean())
    chance = float((counts * (counts - 1)).sum() / (len(values) * (len(values) - 1)))
    return Separation(
        groups=len(names),
        silhouette=_silhouette(distances, codes, counts),
        same_neighbours=same,
        chance=chance,
        explained=_explained(values, codes, counts),
        by_chance=(len(names) - 1) / (len(values) - 1),
    )


def _distances(values: Floats) -> Floats:
    squares = (values**2).sum(axis=1)
    found = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * values @ values.T, 0))
    np.fill_diagonal(found, 0)
    return np.asarray(found)


def _silhouette(distances: Floats, codes: Labels, counts: Labels) -> float:
    rows = np.arange(len(codes))
    sums = np.stack([distances[:, codes == code].sum(axis=1) for code in range(len(counts))], axis=1)
    within = sums[rows, codes] / (counts[codes] - 1)
    means = sums / counts
    means[rows, codes] = np.inf
    nearest = means.min(axis=1)
    widest = np.maximum(within, nearest)
    return float(np.mean(np.divide(nearest - within, widest, out=np.zeros_like(widest), where=widest > 0)))


def _explained(values: Floats, codes: Labels, counts: Labels) -> float:
    centred = values - values.mean(axis=0)
    means = np.stack([centred[codes == code].mean(axis=0) for code in range(len(counts))])
    whole = float((centred**2).sum())
    return float((counts[:, None] * means**2).sum()) / whole if whole else 0.0
