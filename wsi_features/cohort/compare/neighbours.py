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
    picked = whole[np.unique(np.linspace(0, len(whole) - 1, min(_MOST, len(whole))).astype(np.int64))]
    varying = varies(sample.one.astype(np.float64)) & varies(sample.two.astype(np.float64))
    centre = _level(rows_of(one, pairs.first[picked]), sample.one, varying)
    own = _alike(centre, _level(_rows(two, pairs.second[picked]), sample.two, varying))
    left, right, above, below = (_side(centre, beside[picked, k], two, pairs, sample, varying) for k in range(4))
    return Neighbours(own, left, right, above, below, len(picked))


def _side(
    centre: Floats, beside: Ints, two: StoredRows, pairs: Pairing, sample: Sample, varying: npt.NDArray[np.bool_]
) -> float:
    """Mean likeness to the tiles on one side, NaN where too few have one."""
    there = beside >= 0
    if there.sum() < FEWEST:
        return float("nan")
    return _alike(centre[there], _level(_rows(two, pairs.second[beside[there]]), sample.two, varying))


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


def _alike(one: Floats, two: Floats) -> float:
    return float(np.nanmean(np.einsum("ij,ij->i", one, two)))
