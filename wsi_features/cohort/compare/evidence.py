"""All that is known of one slide's two sides once their features have been read: what hints and verdicts are derived of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.compare.baseline import Baseline, Sample
from wsi_features.cohort.compare.numbers import FeatureMoments, TileNumbers
from wsi_features.cohort.compare.recipes import Difference
from wsi_features.tiles.pairing import Pairing

Certainty = Literal["shown", "likely", "possible"]


Numbers = dict[str, float | int | str]
"""What a hint rests on, by name."""


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing that the numbers speak for: `shown` where they admit nothing else, `possible` where other causes fit too."""

    kind: str
    certainty: Certainty
    text: str
    numbers: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """One side: how many tiles and features, in which type, how wide a tile is in level-0 pixels, and its layout."""

    rows: int
    dim: int
    dtype: str
    layout: str
    span: float | None = None
    encoder: str = ""
    invalid: int = 0
    centred: bool = False


@dataclass(frozen=True, slots=True)
class ColumnDifference:
    """A column measured on the pixels of both sides: mean of each, their correlation, and the share of tiles where they are equal."""

    name: str
    one: float
    two: float
    correlation: float
    equal: float


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Mean standardised cosine of a tile with the other side's tile at its own place, and at each place beside it, of `tiles`.

    `error_across` and `error_down` are the standard errors of the difference between opposite places.
    """

    own: float
    left: float
    right: float
    above: float
    below: float
    error_across: float
    error_down: float
    tiles: int


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """`tiles` and `moments` are None where the sides have vectors of different widths; `by_order` says that rows were paired by number.

    `names` are of the features, where the encoder gives them names; `recipes` is None where not both sides have one.
    """

    one: Facts
    two: Facts
    pairing: Pairing
    by_order: bool
    sample: Sample
    tiles: TileNumbers | None = None
    moments: FeatureMoments | None = None
    baseline: Baseline | None = None
    neighbours: Neighbours | None = None
    columns: tuple[ColumnDifference, ...] = ()
    recipes: tuple[Difference, ...] | None = None
    names: tuple[str, ...] = ()

    @property
    def compared(self) -> npt.NDArray[np.bool_]:
        """Which pairs (m,) have finite numbers on both sides."""
        return np.zeros(len(self.pairing), np.bool_) if self.tiles is None else self.tiles.finite

    @property
    def all_equal(self) -> bool:
        """Whether every pair that could be compared has the same numbers."""
        return self.tiles is not None and bool(self.compared.any()) and bool(self.tiles.equal[self.compared].all())

    @property
    def rounding(self) -> str:
        """The type within whose rounding all pairs lie: "" where they are equal, or differ by more."""
        if self.tiles is None or self.all_equal or not self.compared.any():
            return ""
        for name in ("float16", "bfloat16"):
            if getattr(self.tiles, name)[self.compared].all():
                return name
        return ""
