"""Statistics of every feature over a whole cohort, in one pass that holds one chunk at a time.

Sums are float64 and relative to each block's own mean, and blocks are joined as Chan, Golub and LeVeque do (The American
Statistician 37, 1983): a mean that is large beside the spread costs no digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import BagError
from wsi_features.store import FeatureStore, RawArray
from wsi_features.store.raw import aligned_empty

Values = npt.NDArray[np.float64]

_BLOCK = 512
"""Rows that are widened to float64 at once: 6 MiB at width 1,536."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureStatistics:
    """Of `n` tiles: `mean`, `std` (of the tiles there are, not an estimate: divided by n), `min` and `max`, float64 (d,).

    Without tiles they are NaN.
    """

    n: int
    mean: Values
    std: Values
    min: Values
    max: Values


def feature_statistics(stores: Iterable[tuple[FeatureStore, npt.NDArray[np.bool_]]]) -> FeatureStatistics:
    """Statistics of the rows (n,) of each store that are marked; rows that are not valid never count.

    Raises BagError where stores differ in width, and StoreError where a chunk cannot be read or its checksum differs.
    """
    total, one = _Moments.none(0), None
    for store, used in stores:
        one = store if one is None else one
        one_width((one, store))
        marked = used & store.valid
        total = total if total.n else _Moments.none(store.dim)
        for start, values in _chunks(store.raw_features):
            for first in range(0, len(values), _BLOCK):
                rows = values[first : first + _BLOCK]
                block = rows[marked[start + first :][: len(rows)]]
                total = total.joined(_Moments.of(block)) if len(block) else total
    spread = np.sqrt(total.squares / total.n) if total.n else np.full_like(total.mean, np.nan)
    return FeatureStatistics(total.n, total.mean, spread, total.least, total.most)


def one_width(stores: Sequence[FeatureStore]) -> int:
    """The width of all stores' features; 0 where there are none. Raises BagError for the first that has another."""
    for store in stores:
        if store.dim != stores[0].dim:
            raise BagError.width(store.provenance.slide_id, store.dim, stores[0].dim)
    return stores[0].dim if stores else 0


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """What is known of n rows; `squares` is the sum of squared distances to their mean."""

    n: int
    mean: Values
    squares: Values
    least: Values
    most: Values

    @classmethod
    def none(cls, dim: int) -> _Moments:
        nan = np.full(dim, np.nan)
        return cls(0, nan, nan, nan, nan)

    @classmethod
    def of(cls, block: npt.NDArray[np.floating[Any]]) -> _Moments:
        rows = block.astype(np.float64)
        mean, least, most = rows.mean(axis=0), rows.min(axis=0), rows.max(axis=0)
        rows -= mean
        return cls(len(rows), mean, np.einsum("ij,ij->j", rows, rows), least, most)

    def joined(self, other: _Moments) -> _Moments:
        if not self.n:
            return other
        n, apart = self.n + other.n, other.mean - self.mean
        return _Moments(
            n,
            self.mean + apart * (other.n / n),
            self.squares + other.squares + apart**2 * (self.n * other.n / n),
            np.minimum(self.least, other.least),
            np.maximum(self.most, other.most),
        )


def _chunks(features: RawArray) -> Iterator[tuple[int, npt.NDArray[np.floating[Any]]]]:
    """The first row of each chunk and its rows, in memory that the next one takes."""
    memory = aligned_empty((min(features.chunk_rows, len(features)), *features.shape[1:]), features.dtype)
    for number in range(len(features.extents)):
        start = number * features.chunk_rows
        yield start, features.chunk(number, memory[: len(features) - start])
