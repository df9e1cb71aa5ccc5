"""What is kept of a compared slide: numbers for people and for JSON, counts for the histogram, and its farthest tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.compare.baseline import Baseline, wrong_cosines
from wsi_features.cohort.compare.evidence import ColumnDifference, Evidence, Facts, Hint, Neighbours
from wsi_features.cohort.compare.recipes import Difference
from wsi_features.cohort.compare.sides import Side
from wsi_features.cohort.compare.slide import Compared
from wsi_features.cohort.scores import SlideScores
from wsi_features.recipe import Json

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
SCORES = ("cosine", "max_abs", "relative", "row_other", "x", "y")
"""Columns of the score table; `row_other` is the row of the side that the table does not number, x and y level-0 pixels."""
EDGES = (*(10 ** (k / 4) for k in range(-28, 2)), 2.0)
"""Borders of the histogram of 1 - cosine: four bins a decade; below the first is what a float32 cannot tell from 0."""

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FarTile:
    """One of the tiles that differ most: its rows on both sides, level-0 corner and width on the side that was scored."""

    slide_id: str
    row_a: int
    row_b: int
    x: float
    y: float
    span: float
    cosine: float
    max_abs: float
    relative: float


@dataclass(frozen=True, slots=True)
class FeatureSummary:
    """Over the features that vary: quantiles of correlation, scale and shift, how many do not vary, and the features that moved most."""

    varying: int
    constant: int
    correlation: dict[str, float]
    scale: dict[str, float]
    shift: dict[str, float]
    farthest: tuple[tuple[str, float, float, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class SlideSummary:
    """One compared slide. Quantiles are by name, `p0` to `p100`; empty where vectors have different widths."""

    slide_id: str
    verdict: str
    hints: tuple[Hint, ...]
    one: Facts
    two: Facts
    notes: tuple[str, ...]
    paired: int
    exact: int
    only_one: int
    only_two: int
    by_order: bool
    not_finite: int
    equal: int
    within_float16: int
    within_bfloat16: int
    cosine: dict[str, float]
    mean_cosine: float | None
    max_abs: dict[str, float]
    relative: dict[str, float]
    features: FeatureSummary | None
    baseline: Baseline | None
    neighbours: Neighbours | None
    columns: tuple[ColumnDifference, ...]
    recipes: tuple[Difference, ...] | None
    matched: Counts
    shuffled: Counts

    def to_json(self) -> Json:
        """Plain values; what is not known is null."""
        held = asdict(self)
        for name in ("matched", "shuffled"):
            held[name] = getattr(self, name).tolist()
        return {name: _plain(value) for name, value in held.items()}


def summary(slide_id: str, one: Side, two: Side, found: Compared) -> SlideSummary:
    """The numbers of a slide without its tiles."""
    seen, tiles = found.evidence, found.evidence.tiles
    usable = seen.compared
    counted = (
        {} if tiles is None else {n: int(getattr(tiles, n)[usable].sum()) for n in ("equal", "float16", "bfloat16")}
    )
    cosines = np.empty(0) if tiles is None else tiles.cosine[usable].astype(np.float64)
    return SlideSummary(
        slide_id=slide_id,
        verdict=found.verdict,
        hints=found.hints,
        one=seen.one,
        two=seen.two,
        notes=tuple(f"{name}: {side.note}" for name, side in (("A", one), ("B", two)) if side.note),
        paired=len(seen.pairing),
        exact=seen.pairing.exact,
        only_one=len(one) - len(seen.pairing),
        only_two=len(two) - len(seen.pairing),
        by_order=seen.by_order,
        not_finite=0 if tiles is None else int((~usable).sum()),
        equal=counted.get("equal", 0),
        within_float16=counted.get("float16", 0),
        within_bfloat16=counted.get("bfloat16", 0),
        cosine=quantiles(cosines),
        mean_cosine=float(cosines.mean()) if len(cosines) else None,
        max_abs={} if tiles is None else quantiles(tiles.max_abs[usable]),
        relative={} if tiles is None else quantiles(tiles.relative[usable]),
        features=_features(seen),
        baseline=seen.baseline,
        neighbours=seen.neighbours,
        columns=seen.columns,
        recipes=seen.recipes,
        matched=histogram(cosines),
        shuffled=histogram(wrong_cosines(seen.sample)),
    )


def quantiles(values: npt.NDArray[np.floating[Any]]) -> dict[str, float]:
    """`p0` (least), `p1`, `p5`, `p25`, `p50`, `p75`, `p95`, `p99` and `p100` of finite values; nothing of none."""
    known = values[np.isfinite(values)].astype(np.float64)
    if not len(known):
        return {}
    return {f"p{round(100 * q)}": float(v) for q, v in zip(QUANTILES, np.quantile(known, QUANTILES), strict=True)}


def histogram(cosines: npt.NDArray[np.float64]) -> Counts:
    """How many cosines lie in each bin of 1 - cosine; bin 0 is below the first of `EDGES`."""
    bins = np.searchsorted(np.array(EDGES[:-1]), 1 - cosines, side="right")
    return np.bincount(bins, minlength=len(EDGES)).astype(np.int64)


def scores(slide_id: str, one: Side, two: Side, found: Compared) -> SlideScores | None:
    """A score table's part: rows of A's store, or of B's where only B is one; None where widths differ.

    A tile that could not be compared has NaN, and one without a partner has no row.
    """
    tiles, pairs = found.evidence.tiles, found.evidence.pairing
    if tiles is None:
        return None
    of_second = bool(two.fingerprint) and not one.fingerprint
    rows, others = (pairs.second, pairs.first) if of_second else (pairs.first, pairs.second)
    side = two if of_second else one
    places = np.full((len(rows), 2), np.nan) if side.corners is None else side.corners[rows]
    values = np.column_stack([tiles.cosine, tiles.max_abs, tiles.relative, others, places]).astype(np.float32)
    return SlideScores(slide_id, rows, SCORES, values, side.fingerprint)


def farthest_tiles(slide_id: str, one: Side, two: Side, found: Compared, most: int) -> list[FarTile]:
    """The tiles with the smallest cosines, of those alike the ones with the largest difference; none of equal tiles."""
    tiles, pairs = found.evidence.tiles, found.evidence.pairing
    side, rows = (one, pairs.first) if one.corners is not None else (two, pairs.second)
    if tiles is None or side.corners is None:
        return []
    order = np.lexsort((-np.nan_to_num(tiles.max_abs, nan=-1), np.nan_to_num(tiles.cosine, nan=2)))[:most]
    span = side.span or (two.span or one.span or 0.0)
    return [
        FarTile(
            slide_id,
            int(pairs.first[k]),
            int(pairs.second[k]),
            float(side.corners[rows[k], 0]),
            float(side.corners[rows[k], 1]),
            span,
            float(tiles.cosine[k]),
            float(tiles.max_abs[k]),
            float(tiles.relative[k]),
        )
        for k in order
        if found.evidence.compared[k] and not tiles.equal[k]
    ]


def _features(seen: Evidence) -> FeatureSummary | None:
    moments = seen.moments
    if moments is None:
        return None
    varying = np.flatnonzero(moments.varying)
    together, shifts, scales = moments.correlations[varying], moments.shifts[varying], moments.scales[varying]
    order = np.argsort(together)[:8]
    names = seen.names if len(seen.names) == len(moments.varying) else [f"f{k}" for k in range(len(moments.varying))]
    far = tuple((names[varying[k]], float(together[k]), float(shifts[k]), float(scales[k])) for k in order)
    constant = len(moments.varying) - len(varying)
    return FeatureSummary(len(varying), constant, quantiles(together), quantiles(scales), quantiles(shifts), far)


def _plain(value: object) -> object:
    """JSON has no NaN."""
    if isinstance(value, dict):
        return {name: _plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(held) for held in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def total(counts: Sequence[Counts]) -> Counts:
    """Histograms of several slides as one."""
    return np.sum(counts, axis=0).astype(np.int64) if counts else np.zeros(len(EDGES), np.int64)
