"""How far the features of paired tiles differ [hot]: numbers of each tile, and of each feature over all tiles.

Blocks of rows come and go; what stays is a few numbers a tile and a few a feature. Everything is computed in double
precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.floating[Any]]

UNIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
"""The largest relative error of rounding to a type."""
_SMALLEST = {"float16": 2.0**-25, "bfloat16": 2.0**-134}
"""Half the distance of two numbers next to zero."""
_TOGETHER = 256


@dataclass(frozen=True, slots=True, eq=False)
class TileNumbers:
    """Of m pairs of tiles, each (m,); NaN and False where one side has no finite features.

    `cosine` of the two vectors; `max_abs` the largest difference of one feature; `relative` the length of the
    difference over that of the longer vector; whether all features are `equal`, or differ by no more than one rounding
    to `float16` or `bfloat16`. `lengths` (m, 2) are of the vectors themselves.
    """

    cosine: F32
    max_abs: F32
    relative: F32
    lengths: F32
    equal: Bools
    float16: Bools
    bfloat16: Bools

    def __len__(self) -> int:
        return len(self.cosine)

    @property
    def finite(self) -> Bools:
        """Which pairs (m,) could be compared."""
        return np.isfinite(self.relative)


def tile_numbers(one: Rows, two: Rows) -> TileNumbers:
    """The numbers of rows (m, d) of both sides."""
    found = [_few(one[k : k + _TOGETHER], two[k : k + _TOGETHER]) for k in range(0, len(one), _TOGETHER)]
    return joined(found or [_few(one, two)])


def joined(parts: list[TileNumbers]) -> TileNumbers:
    """Numbers of blocks, one after another."""
    return TileNumbers(*(np.concatenate([getattr(part, name) for part in parts]) for name in TileNumbers.__slots__))


def _few(one: Rows, two: Rows) -> TileNumbers:
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        a, b = one.astype(np.float64), two.astype(np.float64)
        apart = np.abs(a - b)
        larger = np.maximum(np.abs(a), np.abs(b))
        squares = [np.einsum("ij,ij->i", x, y) for x, y in ((a, a), (b, b), (a, b), (apart, apart))]
        lengths = np.sqrt(np.stack(squares[:2], axis=1))
        product = lengths[:, 0] * lengths[:, 1]
        longer = lengths.max(axis=1)
        alike = longer == 0  # two vectors of zeros have no angle, and are the same
        cosine = np.where(alike, 1.0, np.where(product > 0, squares[2] / product, 0.0))
        relative = np.where(alike, 0.0, np.sqrt(squares[3]) / longer)
    finite = np.isfinite(relative)
    half, brain = (np.asarray((apart <= UNIT[n] * larger + _SMALLEST[n]).all(axis=1)) for n in ("float16", "bfloat16"))
    none = np.where(finite, 0.0, np.nan)
    return TileNumbers(
        cosine=(np.clip(cosine, -1, 1) + none).astype(np.float32),
        max_abs=(apart.max(axis=1, initial=0) + none).astype(np.float32),
        relative=relative.astype(np.float32),
        lengths=lengths.astype(np.float32),
        equal=(apart == 0).all(axis=1) & finite,
        float16=half & finite,
        bfloat16=brain & finite,
    )


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMoments:
    """Means (d,) of each feature on both sides, and the sums of squares and products around them, of n pairs.

    Joined as Chan, Golub and LeVeque do (The American Statistician 37, 1983).
    """

    n: int
    means: F64
    squares: F64
    products: F64

    @classmethod
    def of(cls, one: Rows, two: Rows) -> FeatureMoments:
        """Those of finite rows (m, d), one or more."""
        a, b = one.astype(np.float64), two.astype(np.float64)
        means = np.stack([a.mean(axis=0), b.mean(axis=0)])
        a -= means[0]
        b -= means[1]
        squares = np.stack([np.einsum("ij,ij->j", a, a), np.einsum("ij,ij->j", b, b)])
        return cls(len(a), means, squares, np.einsum("ij,ij->j", a, b))

    def joined(self, other: FeatureMoments) -> FeatureMoments:
        """Those of both together."""
        n, apart = self.n + other.n, other.means - self.means
        weight = self.n * other.n / n
        return FeatureMoments(
            n,
            self.means + apart * (other.n / n),
            self.squares + other.squares + apart**2 * weight,
            self.products + other.products + apart[0] * apart[1] * weight,
        )

    @property
    def spreads(self) -> F64:
        """Standard deviations (2, d) over the tiles."""
        return np.sqrt(self.squares / self.n)

    @property
    def varying(self) -> Bools:
        """Features (d,) that vary on both sides by more than rounding."""
        return np.asarray((self.spreads > 1e-6 * np.abs(self.means) + 1e-12).all(axis=0))

    @property
    def shifts(self) -> F64:
        """How far each feature's mean moves (d,), in the first side's standard deviations; NaN where it does not vary."""
        return self._over(self.means[1] - self.means[0], self.spreads[0])

    @property
    def scales(self) -> F64:
        """The second side's standard deviation over the first's (d,)."""
        return self._over(self.spreads[1], self.spreads[0])

    @property
    def correlations(self) -> F64:
        """Of each feature with itself on the other side (d,), over the tiles."""
        return self._over(self.products, np.sqrt(self.squares[0] * self.squares[1]))

    def _over(self, upper: F64, lower: F64) -> F64:
        return np.divide(upper, lower, out=np.full_like(upper, np.nan), where=self.varying)
