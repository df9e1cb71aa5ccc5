"""Two sides of one slide, compared: pairs found, features read once block by block, numbers, hints and a verdict."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.compare.baseline import Sample, baseline, sampled_pairs
from wsi_features.cohort.compare.column_hints import column_hints
from wsi_features.cohort.compare.evidence import ColumnDifference, Evidence, Facts, Hint
from wsi_features.cohort.compare.neighbours import neighbours
from wsi_features.cohort.compare.numbers import FeatureMoments, TileNumbers, joined, tile_numbers
from wsi_features.cohort.compare.pixel_hints import pixel_hints, recipe_hints
from wsi_features.cohort.compare.place_hints import place_hints
from wsi_features.cohort.compare.recipes import recipe_differences
from wsi_features.cohort.compare.sides import Side
from wsi_features.cohort.compare.value_hints import LENGTHS, value_hints
from wsi_features.cohort.compare.verdict import (
    DIFFERENT,
    IDENTICAL,
    PIXELS,
    ROUNDING,
    TRANSFORMED,
    different_hint,
    verdict,
)
from wsi_features.cohort.imports.foreign import StoredRows, in_any_order, rows_of
from wsi_features.errors import CompareError
from wsi_features.tiles.pairing import Frame, Pairing, Placed, pairing

_BLOCK, _TOGETHER = 4096, 256


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """What was found of one slide."""

    evidence: Evidence
    hints: tuple[Hint, ...]
    verdict: str


def compared(slide_id: str, one: Side, two: Side, tolerance: float, names: Sequence[str] = ()) -> Compared:
    """Compare two open sides; `names` are of the features where the encoder has some. Raises CompareError."""
    pairs, by_order = _pairs(slide_id, one, two, tolerance)
    scratch = Path(tempfile.gettempdir())
    first = in_any_order(one.features, pairs.first, scratch)
    second = in_any_order(two.features, pairs.second, scratch)
    tiles, moments, sample = _read(first, second, pairs)
    if tiles is not None and not tiles.finite.any():
        raise CompareError.nothing_finite(slide_id, str(one.path), str(two.path), len(pairs))
    found = Evidence(
        one=_facts(one),
        two=_facts(two),
        pairing=pairs,
        by_order=by_order,
        sample=sample,
        tiles=tiles,
        moments=moments,
        baseline=baseline(sample),
        columns=_columns(one, two, pairs),
        recipes=recipe_differences(one.made, two.made) if one.made and two.made else None,
        names=tuple(names),
    )
    if not (found.all_equal or found.rounding or tiles is None or by_order or found.baseline is None):
        beside = neighbours(first, second, pairs, _corners(one)[pairs.first], sample)
        found = replace(found, neighbours=beside)
    return _judged(found)


def _judged(found: Evidence) -> Compared:
    values = list(value_hints(found))
    columns = [] if any(hint.kind in LENGTHS for hint in values) else column_hints(found)
    hints = [*place_hints(found), *values, *columns]
    said = verdict(found, hints)
    if said == PIXELS:
        hints += pixel_hints(found, hints)
    elif said == DIFFERENT:
        hints.append(different_hint(found, found.baseline))
    if said not in (IDENTICAL, ROUNDING, TRANSFORMED) or found.recipes:
        hints += recipe_hints(found)
    return Compared(found, tuple(hints), said)


def _facts(side: Side) -> Facts:
    invalid = 0 if side.valid is None else int((~side.valid).sum())
    return Facts(len(side), side.dim, side.dtype, side.layout, side.span, side.encoder, invalid, side.centred)


def _pairs(slide_id: str, one: Side, two: Side, tolerance: float) -> tuple[Pairing, bool]:
    """Tiles that belong together, and whether rows were paired by number for want of positions."""
    for side in (one, two):
        if not len(side):
            raise CompareError.empty(slide_id, str(side.path))
    if one.corners is None or two.corners is None:
        return _by_order(slide_id, one, two), True
    spans = _spans(one, two)
    found = pairing(Placed(one.corners, spans[0]), Placed(two.corners, spans[1]), max(tolerance, one.grain, two.grain))
    if not len(found):
        areas = tuple(_extent(side) for side in (one, two))
        raise CompareError.no_pairs(slide_id, str(one.path), str(two.path), areas, tolerance)
    return found, False


def _spans(one: Side, two: Side) -> tuple[float | None, float | None]:
    """A side that does not say how wide its tiles are is taken to have the other's; centres of one cannot be had otherwise."""
    return one.span or two.span, two.span or one.span


def _by_order(slide_id: str, one: Side, two: Side) -> Pairing:
    """All rows, or all that are valid where the other side has so many."""
    for first, second in ((_all(one), _all(two)), (_valid(one), _all(two)), (_all(one), _valid(two))):
        if len(first) == len(second):
            return Pairing(first, second, np.zeros(len(first)), Frame(), len(first))
    counts = tuple(
        f"{len(side)} rows" + (f", {len(_valid(side))} of them valid" if side.valid is not None else "")
        for side in (one, two)
    )
    raise CompareError.other_count(slide_id, str(one.path), str(two.path), counts)


def _all(side: Side) -> npt.NDArray[np.int64]:
    return np.arange(len(side), dtype=np.int64)


def _valid(side: Side) -> npt.NDArray[np.int64]:
    return _all(side) if side.valid is None else np.flatnonzero(side.valid)


def _extent(side: Side) -> str:
    (left, top), (right, bottom) = _corners(side).min(axis=0), _corners(side).max(axis=0)
    wide = f", {side.span:g} wide" if side.span else ""
    return f"{len(side)} tiles{wide}, x {left:g} to {right:g}, y {top:g} to {bottom:g}"


def _corners(side: Side) -> npt.NDArray[np.float64]:
    return side.corners if side.corners is not None else np.zeros((len(side), 2))


def _read(
    first: StoredRows, second: StoredRows, pairs: Pairing
) -> tuple[TileNumbers | None, FeatureMoments | None, Sample]:
    """Every pair once; of vectors of two widths only the sample."""
    if first.shape[1] != second.shape[1]:
        return None, None, _sample_alone(first, second, pairs)
    picked = sampled_pairs(len(pairs))
    numbers: list[TileNumbers] = []
    moments: list[FeatureMoments] = []
    kept: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]] = []
    for start in range(0, len(pairs), _BLOCK):
        one = rows_of(first, pairs.first[start : start + _BLOCK])
        two = rows_of(second, pairs.second[start : start + _BLOCK])
        found = tile_numbers(one, two)
        numbers.append(found)
        usable = np.flatnonzero(found.finite)
        parts = [usable[k : k + _TOGETHER] for k in range(0, len(usable), _TOGETHER)]
        moments += (
            [reduce(FeatureMoments.joined, (FeatureMoments.of(one[part], two[part]) for part in parts))]
            if parts
            else []
        )
        here = np.intersect1d(picked - start, usable)
        kept.append((one[here].astype(np.float32), two[here].astype(np.float32), here + start))
    a, b, at = (np.concatenate(part) for part in zip(*kept, strict=True))
    return joined(numbers), reduce(FeatureMoments.joined, moments) if moments else None, Sample(a, b, at)


def _sample_alone(first: StoredRows, second: StoredRows, pairs: Pairing) -> Sample:
    picked = sampled_pairs(len(pairs))
    one, two = rows_of(first, pairs.first[picked]), rows_of(second, pairs.second[picked])
    finite = np.isfinite(one).all(axis=1) & np.isfinite(two).all(axis=1)
    return Sample(one[finite].astype(np.float32), two[finite].astype(np.float32), picked[finite])


def _columns(one: Side, two: Side, pairs: Pairing) -> tuple[ColumnDifference, ...]:
    """Columns that both stores measured, on the pairs where both have them."""
    found = []
    for name in one.columns:
        if name not in two.columns:
            continue
        a, b = one.columns[name][pairs.first].astype(np.float64), two.columns[name][pairs.second].astype(np.float64)
        both = np.isfinite(a) & np.isfinite(b)
        if not both.any():
            continue
        a, b = a[both], b[both]
        flat = a.std() == 0 or b.std() == 0
        together = float("nan") if flat else float(np.corrcoef(a, b)[0, 1])
        found.append(ColumnDifference(name, float(a.mean()), float(b.mean()), together, float((a == b).mean())))
    return tuple(found)
