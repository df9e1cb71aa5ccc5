"""Hints from features over tiles: one side a part of the other, its columns in another order, scaled, or mixed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.compare.baseline import standardised, varies
from wsi_features.cohort.compare.evidence import Evidence, Hint, Numbers

F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SAME = 0.999
"""Correlation of a feature with itself over the tiles, but for rounding."""
_MOST = 0.98
_MIXED = 0.995
_PRECISE = 2e-2
"""Relative difference below which scales and shifts of features that hardly vary are those of half precision."""
FEWEST_TILES = 32
"""Over fewer, one of thousands of features correlates with any other by chance."""


def column_hints(found: Evidence) -> Iterator[Hint]:
    """What the features' relations speak for; nothing of fewer than 32 tiles, or where all numbers are equal or rounded."""
    if len(found.sample) < FEWEST_TILES or found.all_equal or found.rounding:
        return
    one, two = found.sample.one.astype(np.float64), found.sample.two.astype(np.float64)
    partner, same, used = _partners(one, two)
    narrow, wide = ("A", "B") if one.shape[1] <= two.shape[1] else ("B", "A")
    if one.shape[1] != two.shape[1]:
        hints = _part(partner, same, used, narrow, wide)
    elif _own(partner, used):
        hints = _scaled(found)
    else:
        hints = _moved(partner, same, used)
    given = list(hints)
    yield from given
    if not given and not _own(partner, used):
        yield from _rows_moved(found)
        yield from _mixed(one, two)


def _partners(one: F64, two: F64) -> tuple[Ints, F64, Ints]:
    """For each varying feature of the narrower side the feature of the other that correlates most, that correlation, and its own number."""
    narrow, wide = (one, two) if one.shape[1] <= two.shape[1] else (two, one)
    used, others = np.flatnonzero(varies(narrow)), np.flatnonzero(varies(wide))
    if not len(used) or not len(others):
        return np.empty(0, np.int64), np.empty(0), used
    crossed = standardised(narrow[:, used]).T @ standardised(wide[:, others]) / len(narrow)
    best = crossed.argmax(axis=1)
    if one.shape[1] == two.shape[1]:  # of twins the feature itself
        place = np.searchsorted(others, used).clip(0, len(others) - 1)
        itself = (others[place] == used) & (crossed[np.arange(len(used)), place] >= crossed.max(axis=1) - 1e-9)
        best = np.where(itself, place, best)
    return others[best], crossed[np.arange(len(used)), best], used


def _own(partner: Ints, used: Ints) -> bool:
    """Whether most features are most like themselves."""
    return bool(len(used)) and float((partner == used).mean()) >= 0.5


def _part(partner: Ints, same: F64, used: Ints, narrow: str, wide: str) -> Iterator[Hint]:
    """The narrower side is columns of the wider: of a class token beside the mean of patch tokens, for example."""
    if not len(same) or (same >= _SAME).mean() < _MOST:
        return
    offsets, counts = np.unique(partner - used, return_counts=True)
    numbers: Numbers = {"features found": int((same >= _SAME).sum()), "of": len(same)}
    offset = int(offsets[counts.argmax()])
    if counts.max() >= _MOST * len(used):
        first, last = offset + int(used[0]), offset + int(used[-1])
        text = (
            f"{narrow} is a part of {wide}: its features are columns {first} to {last} there, as a class token alone is of "
            "class token and mean of patch tokens together. Take those columns, or choose the same output of the encoder."
        )
    else:
        text = f"{narrow} is a part of {wide}: every one of its features is a column there, in an order of its own."
    yield Hint("part", "shown", text, numbers)


def _moved(partner: Ints, same: F64, used: Ints) -> Iterator[Hint]:
    """The same features in another order."""
    if not len(same) or (same >= _SAME).mean() < _MOST or len(np.unique(partner)) < _MOST * len(partner):
        return
    dim = int(max(used.max(), partner.max())) + 1
    offsets, counts = np.unique((partner - used) % dim, return_counts=True)
    numbers: Numbers = {
        "features found": int((same >= _SAME).sum()),
        "of": len(same),
        "in another place": int((partner != used).sum()),
    }
    offset = int(offsets[counts.argmax()])
    if offset and counts.max() >= 0.9 * len(used):
        text = (
            f"The same features in another order: B begins with A's columns from {dim - offset} on, and A's first "
            f"{dim - offset} follow. Parts were concatenated the other way round."
        )
        yield Hint("order", "shown", text, numbers | {"cut": dim - offset})
    elif numbers["in another place"]:
        yield Hint("permuted", "shown", "The same features with their columns in another order.", numbers)


def _scaled(found: Evidence) -> Iterator[Hint]:
    """Every feature with a scale and a shift of its own."""
    moments = found.moments
    if moments is None or found.tiles is None or np.median(found.tiles.relative[found.compared]) < _PRECISE:
        return
    with np.errstate(invalid="ignore"):
        together = moments.correlations[moments.varying]
        scales, shifts = moments.scales[moments.varying], moments.shifts[moments.varying]
    if not len(together) or np.quantile(together, 0.02) < _SAME:
        return
    turned, moved = np.abs(scales / np.median(scales) - 1) > 1e-2, np.abs(shifts) > 1e-2
    if np.logical_or(turned, moved).mean() < 0.1:
        return
    plain = (
        np.abs(moments.spreads[1, moments.varying] - 1).max() < 1e-2
        and np.abs(moments.means[1, moments.varying]).max() < 1e-2
    )
    standard = (
        " Over these tiles B has mean 0 and spread 1 in every feature: it was standardised on them." if plain else ""
    )
    text = (
        "Every feature of B is the same feature of A times a number plus a number, others for each: standardised, or passed "
        f"through the weights of another last normalisation layer.{standard}"
    )
    numbers: Numbers = {
        "smallest correlation": float(together.min()),
        "scales": f"{scales.min():.4g} to {scales.max():.4g}",
        "shifts in spreads": f"{shifts.min():.4g} to {shifts.max():.4g}",
    }
    yield Hint("affine", "shown", text, numbers)


def _rows_moved(found: Evidence) -> Iterator[Hint]:
    """The same vectors, given to other tiles: every feature has the same mean and spread, and no relation with itself."""
    moments = found.moments
    if moments is None or not moments.varying.any():
        return
    shift, scale = np.abs(moments.shifts[moments.varying]).max(), np.abs(moments.scales[moments.varying] - 1).max()
    together = float(np.median(moments.correlations[moments.varying]))
    if shift > 2e-3 or scale > 2e-3 or together > 0.9:
        return
    text = (
        "Each feature has the same mean and spread over all tiles on both sides, but not on the same tiles: the vectors are "
        "the same and belong to other rows. Features and positions of one side are in different orders."
    )
    numbers: Numbers = {
        "largest shift in spreads": float(shift),
        "largest change of spread": float(scale),
        "median correlation": together,
    }
    yield Hint("rows", "likely", text, numbers)


def _mixed(one: F64, two: F64) -> Iterator[Hint]:
    """A linear map, fitted on half of the tiles and tried on the other half."""
    for source, target, says in ((one, two, "B is a linear map of A"), (two, one, "A is a linear map of B")):
        half = len(source) // 2
        if half < 1.25 * source.shape[1] + 8:
            continue
        even, odd = (np.column_stack([source[k::2], np.ones(len(source[k::2]))]) for k in (0, 1))
        weights = np.linalg.lstsq(even, target[0::2], rcond=None)[0]
        left = ((odd @ weights - target[1::2]) ** 2).sum()
        whole = ((target[1::2] - target[0::2].mean(axis=0)) ** 2).sum()
        explained = 1 - float(left / whole) if whole else 0.0
        if explained >= _MIXED:
            text = f"{says}: a rotation, a projection layer, PCA or whitening. Take the same output of the encoder on both sides."
            yield Hint("linear", "shown", text, {"variance explained on tiles not fitted": explained})
            return
