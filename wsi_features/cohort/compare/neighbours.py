"""Tiles beside tiles: whether one side's features belong to another place than its positions say."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.compare.baseline import FEWEST, Sample, directions, varies
from wsi_features.cohort.compare.evidence import Neighbours
from wsi_features.cohort.imports.foreign import StoredRows, rows_of
from wsi_features.tiles.pairing import Pairing, usual_step

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MOST = 200


def pairs_beside(corners: Floats) -> Ints:
    """Numbers of the tiles left, right, above and below each of m tiles at `corners` (m, 2): (m, 4), -1 where there is none."""
    steps = usual_step(corners), usual_step(corners[:, ::-1])
    place = {(x, y): number for number, (x, y) in enumerate(np.rint(corners).astype(np.int64).tolist())}
    found = np.full((len(corners), 4), -1, np.int64)
    for column, (dx, dy) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
        moved = np.rint(corners + np.array([dx * steps[0], dy * steps[1]])).astype(np.int64).tolist()
        found[:, column] = [place.get((x, y), -1) for x, y in moved] if steps[column // 2] else -1
    return found


def neighbours(one: StoredRows, two: StoredRows, pairs: Pairing, corners: Floats, sample: Sample) -> Neighbours | None:
    """How alike tiles are to the other side's tiles beside them; None of fewer than 8 tiles that have opposite ones.

    Reads at most 200 tiles of one side and 1,000 of the other. `corners` (m, 2) are those of the pairs.
    """
    beside = pairs_beside(corners)
    across, down = (beside[:, :2] >= 0).all(axis=1), (beside[:, 2:] >= 0).all(axis=1)
    whole = np.flatnonzero(across & down)
    if len(whole) < FEWEST:
        whole = np.flatnonzero(across | down)
    if len(whole) < FEWEST:
        return None
    picked = _runs(whole)
    varying = varies(sample.one.astype(np.float64)) & varies(sample.two.astype(np.float64))
    centre = _level(_rows(one, pairs.first[picked]), sample.one, varying)
    near = np.concatenate([picked[:, None], beside[picked]], axis=1)
    shown, place = np.unique(near[near >= 0], return_inverse=True)
    other = _level(_rows(two, pairs.second[shown]), sample.two, varying)
    likeness = np.full(near.shape, np.nan)
    likeness[near >= 0] = np.einsum("ij,ij->i", centre[np.nonzero(near >= 0)[0]], other[place])
    own, left, right, above, below = (_mean(likeness[:, k]) for k in range(5))
    return Neighbours(own, left, right, above, below, len(picked))


def _runs(numbers: Ints) -> Ints:
    """At most 200 of them in four runs: tiles in a row lie in one chunk with those beside them."""
    if len(numbers) <= _MOST:
        return numbers
    starts = np.linspace(0, len(numbers) - _MOST // 4, 6).astype(np.int64)[1:5]
    return np.unique(np.concatenate([numbers[start : start + _MOST // 4] for start in starts]))


def _mean(likeness: Floats) -> float:
    """Over the tiles that have such a neighbour, NaN of fewer than 8."""
    known = likeness[np.isfinite(likeness)]
    return float(known.mean()) if len(known) >= FEWEST else float("nan")


def _rows(features: StoredRows, rows: Ints) -> npt.NDArray[np.floating[Any]]:
    """Rows in any order, each read once and in order."""
    ordered, back = np.unique(rows, return_inverse=True)
    return np.asarray(rows_of(features, ordered)[back])


def _level(
    rows: npt.NDArray[np.floating[Any]], like: npt.NDArray[np.float32], varying: npt.NDArray[np.bool_]
) -> Floats:
    """Rows as directions from the mean of a sample, in its spreads."""
    base = like[:, varying].astype(np.float64)
    return directions((rows[:, varying].astype(np.float64) - base.mean(axis=0)) / base.std(axis=0))
