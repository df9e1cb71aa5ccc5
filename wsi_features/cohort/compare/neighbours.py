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


def beside(corners: Floats) -> tuple[Ints, Ints]:
    """Numbers (k, 2) of tiles at `corners` (m, 2) and the tiles one step to their right, and of tiles and those below."""
    place = {(x, y): number for number, (x, y) in enumerate(np.rint(corners).astype(np.int64).tolist())}
    found = []
    for axis, step in enumerate((usual_step(corners), usual_step(corners[:, ::-1]))):
        moved = corners.copy()
        moved[:, axis] += step
        next_to = [place.get((x, y), -1) for x, y in np.rint(moved).astype(np.int64).tolist()] if step else []
        pairs = [(number, other) for number, other in enumerate(next_to) if other >= 0]
        found.append(np.array(pairs, np.int64).reshape(-1, 2))
    return found[0], found[1]


def neighbours(one: StoredRows, two: StoredRows, pairs: Pairing, corners: Floats, sample: Sample) -> Neighbours | None:
    """How alike tiles are to the other side's tiles beside them; None where fewer than 8 tiles have any.

    Of two tiles side by side, each is compared with the other side's features of its neighbour: where both sides show
    the same places, one likeness is as large as the other. Reads about 400 tiles of each side. `corners` (m, 2) are
    those of the pairs.
    """
    across, down = (_runs(found) for found in beside(corners))
    if max(len(across), len(down)) < FEWEST:
        return None
    shown, place = np.unique(np.concatenate([across, down]), return_inverse=True)
    varying = varies(sample.one.astype(np.float64)) & varies(sample.two.astype(np.float64))
    first = _level(_rows(one, pairs.first[shown]), sample.one, varying)
    second = _level(_rows(two, pairs.second[shown]), sample.two, varying)
    places = place.reshape(-1, 2)
    found = [_both_ways(first, second, part) for part in (places[: len(across)], places[len(across) :])]
    own = float(np.nanmean(np.einsum("ij,ij->i", first, second)))
    (right, left, far_across), (below, above, far_down) = found
    return Neighbours(own, left, right, above, below, far_across, far_down, len(shown))


def _both_ways(first: Floats, second: Floats, places: Ints) -> tuple[float, float, float]:
    """Mean likeness of tiles to their neighbours ahead, of these to the tiles themselves, and the standard error of the difference; NaN of fewer than 8."""
    if len(places) < FEWEST:
        return float("nan"), float("nan"), float("nan")
    ahead = np.einsum("ij,ij->i", first[places[:, 0]], second[places[:, 1]])
    back = np.einsum("ij,ij->i", first[places[:, 1]], second[places[:, 0]])
    return float(np.nanmean(ahead)), float(np.nanmean(back)), float(np.nanstd(ahead - back) / np.sqrt(len(places)))


def _runs(numbers: Ints) -> Ints:
    """At most 200 pairs in four runs: tiles in a row lie in one chunk with those beside them."""
    if len(numbers) <= _MOST:
        return numbers
    starts = np.linspace(0, len(numbers) - _MOST // 4, 6).astype(np.int64)[1:5]
    return np.unique(np.concatenate([numbers[start : start + _MOST // 4] for start in starts]), axis=0)


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
