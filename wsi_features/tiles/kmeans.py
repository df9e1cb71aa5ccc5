"""k-means that gives the same clusters on any number of threads.

Points are assigned through a k-d tree and means are summed in order; scikit-learn's depend in their last bits
on its threads, and then in their clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_ROUNDS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """`labels` (n,) from 0 on, none left out; `nearest` (k,) is the row of each cluster nearest to its mean."""

    labels: npt.NDArray[np.int64]
    nearest: npt.NDArray[np.int64]


def kmeans(points: npt.NDArray[np.float64], count: int, seed: int = 0) -> Clusters:
    """Lloyd's algorithm from k-means++ starts (Arthur and Vassilvitskii, SODA 2007), at most 50 rounds.

    `points` is (n, d) with n >= `count` >= 1. There are `count` clusters, or fewer where the points differ in fewer
    places; a cluster that loses all its points takes the one farthest from its mean.
    """
    from scipy.spatial import cKDTree

    points = np.ascontiguousarray(points, np.float64)
    means = _starts(points, count, seed)
    labels = np.full(len(points), -1, np.int64)
    for _ in range(_ROUNDS):
        distance, found = cKDTree(means).query(points, workers=1)
        found = _none_empty(found.astype(np.int64), distance, len(means))
        if np.array_equal(found, labels):
            break
        labels = found
        means = _means(points, labels, len(means))
    return Clusters(labels, _nearest(points, labels, means))


def _starts(points: npt.NDArray[np.float64], count: int, seed: int) -> npt.NDArray[np.float64]:
    """Points drawn one after the other, each by its squared distance to the nearest before; different ones only."""
    random = np.random.Generator(np.random.PCG64(seed))
    chosen = [int(random.integers(len(points)))]
    nearest = np.full(len(points), np.inf)
    while len(chosen) < count:
        away = np.zeros(len(points))
        for k in range(points.shape[1]):
            away += (points[:, k] - points[chosen[-1], k]) ** 2
        np.minimum(nearest, away, out=nearest)
        sums = np.cumsum(nearest)
        if sums[-1] <= 0:
            break
        row = int(np.searchsorted(sums, random.random() * sums[-1], side="right"))
        chosen.append(min(row, int(np.flatnonzero(nearest)[-1])))
    return points[chosen]


def _means(points: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    size = np.bincount(labels, minlength=count)
    sums = [np.bincount(labels, weights=points[:, k], minlength=count) for k in range(points.shape[1])]
    return np.stack(sums, axis=1) / size[:, None]


def _none_empty(labels: npt.NDArray[np.int64], distance: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Each empty cluster gets the point that is farthest from its mean, of a cluster that has several."""
    size = np.bincount(labels, minlength=count)
    if size.all():
        return labels
    farthest = iter(np.argsort(-distance, kind="stable").tolist())
    for empty in np.flatnonzero(size == 0).tolist():
        row = next(row for row in farthest if size[labels[row]] > 1)
        size[labels[row]] -= 1
        labels[row], size[empty] = empty, 1
    return labels


def _nearest(
    points: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], means: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """The first of the points of each cluster that are nearest to its mean."""
    away = np.zeros(len(points))
    for k in range(points.shape[1]):
        away += (points[:, k] - means[labels, k]) ** 2
    order = np.lexsort((np.arange(len(points)), away, labels))
    first = np.searchsorted(labels[order], np.arange(len(means)))
    return np.asarray(order[first])
