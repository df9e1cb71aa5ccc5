"""The first principal components of a cohort's features, as colours.

One set of axes is fitted on all slides of a cohort together, so that one colour
means one thing in the whole report. Nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Features = npt.NDArray[np.floating[Any]]
Colours = npt.NDArray[np.uint8]

SAMPLE_ROWS = 20_000
"""At most this many rows of a cohort are fitted: 20,000 rows of 2,560 numbers take 0.4 GB, and a second copy to scale."""

NEUTRAL = 128
"""Channel value where there is nothing to tell: no such component, or a tile without features."""

_DARKEST, _BRIGHTEST = 24, 232  # never black or white: those would look like ink and bare glass
_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class ComponentAxes:
    """Up to three components, fitted once for a cohort and one encoder.

    A row x of width d lies at `(x - centre) @ weights`, (k,); `low` and `high` (k,) are the
    1st and 99th percentiles of the fitted rows there. `explained` holds each component's
    share of the variance of the standardised features, 0 to 1.
    """

    centre: Floats
    weights: Floats
    low: Floats
    high: Floats
    explained: tuple[float, ...]

    def colours(self, features: Features, usable: Bools) -> Colours:
        """Colours (n, 3) of rows (n, d): red, green and blue are the first three components.

        Rows that are not `usable` (n,) are grey, as is a channel without a component.
        """
        colours = np.full((len(features), 3), NEUTRAL, np.uint8)
        wanted = np.flatnonzero(usable)
        for start in range(0, len(wanted), _CHUNK):
            rows = wanted[start : start + _CHUNK]
            colours[rows, : len(self.low)] = self._levels(features[rows])
        return colours

    def _levels(self, rows: Features) -> Colours:
        place = ((rows.astype(np.float64) - self.centre) @ self.weights - self.low) / (self.high - self.low)
        return np.rint(_DARKEST + np.clip(place, 0, 1) * (_BRIGHTEST - _DARKEST)).astype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class ComponentColours:
    """Colours uint8 (n, 3) and usable rows bool (n,) of each slide, in the order given."""

    colours: tuple[Colours, ...]
    usable: tuple[Bools, ...]
    explained: tuple[float, ...]


def component_colours(features: Sequence[Features], valid: Sequence[Bools] | None = None) -> ComponentColours:
    """Colour the tiles of all slides of one encoder by their first three principal components.

    `features` holds one (n, d) array a slide, `valid` one (n,) array a slide. A cohort that
    does not fit in memory goes step by step, with the same colours: `sample_rows`, then
    `fit_components` on the usable ones, then `ComponentAxes.colours` slide by slide.
    """
    flags = [None] * len(features) if valid is None else valid
    usable = tuple(usable_rows(rows, ok) for rows, ok in zip(features, flags, strict=True))
    picks = sample_rows([len(rows) for rows in features])
    axes = fit_components([rows[pick[ok[pick]]] for rows, ok, pick in zip(features, usable, picks, strict=True)])
    colours = tuple(axes.colours(rows, ok) for rows, ok in zip(features, usable, strict=True))
    return ComponentColours(colours, usable, axes.explained)


def usable_rows(features: Features, valid: Bools | None = None) -> Bools:
    """Which rows (n,) are valid and hold finite numbers only."""
    finite = np.asarray(np.isfinite(features).all(axis=1))
    return finite if valid is None else finite & valid


def sample_rows(counts: Sequence[int], limit: int = SAMPLE_ROWS) -> tuple[npt.NDArray[np.int64], ...]:
    """Row numbers to fit on for slides of `counts` rows: evenly spread over the cohort, at most `limit` in all."""
    total = sum(counts)
    taken = min(total, limit)
    picked = np.arange(taken, dtype=np.int64) * total // max(taken, 1)
    borders = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    return tuple(picked[(picked >= start) & (picked < end)] - start for start, end in pairwise(borders))


def fit_components(samples: Sequence[Features]) -> ComponentAxes:
    """Fit the axes on finite rows (n, d) of all slides together.

    Every feature is standardised first; a constant one has no say. Each axis points where
    its largest weight is positive, so that equal input gives equal colours.
    """
    rows = np.concatenate(samples, dtype=np.float64) if samples else np.zeros((0, 0))
    width = rows.shape[1]
    if len(rows) < 2 or width == 0:
        none = np.zeros(0)
        return ComponentAxes(np.zeros(width), np.zeros((width, 0)), none, none, ())
    centre, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale <= 1e-9 * np.abs(centre)] = np.inf  # constant but for rounding: dividing by infinity takes it out
    rows -= centre
    rows /= scale
    values, vectors = _leading(rows.T @ rows / len(rows))
    low, high = np.percentile(rows @ vectors, (1, 99), axis=0)
    told = high > low
    varying = np.count_nonzero(np.isfinite(scale))  # each of them has variance 1
    shares = tuple(float(value / varying) for value in values[told])
    return ComponentAxes(centre, (vectors / scale[:, None])[:, told], low[told], high[told], shares)


def _leading(covariance: Floats) -> tuple[Floats, Floats]:
    """The three largest eigenvalues, largest first, and their vectors as columns.

    A direction with less than a hundredth of the first one's variance is left out: stretched
    to a full channel it would paint noise over what the others tell.
    """
    from scipy.linalg import eigh

    width = len(covariance)
    values, vectors = eigh(covariance, subset_by_index=[max(0, width - 3), width - 1])
    order = [i for i in reversed(range(len(values))) if values[i] > 0.01 * values[-1]]
    values, vectors = values[order], vectors[:, order]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(order))])
    return values, vectors * signs
