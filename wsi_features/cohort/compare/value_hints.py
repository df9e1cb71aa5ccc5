"""Hints from the numbers of each tile: equal, rounded, of unit length, multiplied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.compare.evidence import Evidence, Hint, Numbers
from wsi_features.cohort.compare.numbers import UNIT, TileNumbers

Values = npt.NDArray[np.floating[Any]]

LENGTHS = ("normalised", "factor", "lengths")
"""Kinds of hints that vectors differ in length alone."""

_UNIT_LENGTH = 2e-3
"""How far lengths of vectors of length 1 are from it when they are stored in half precision."""
_SINGLE, _HALF = 2e-5, 6e-3
"""Relative differences up to which another order of sums in single, and arithmetic in half precision, fit."""


def value_hints(found: Evidence) -> Iterator[Hint]:
    """What the tiles' numbers speak for; nothing where vectors have different widths."""
    if found.tiles is None or not found.compared.any():
        return
    if found.all_equal:
        yield _equal(found)
        return
    if found.rounding:
        yield _rounded(found)
        return
    lengths = list(_lengths(found, found.tiles))
    yield from lengths
    if not lengths:
        yield from _arithmetic(found, found.tiles)


def _equal(found: Evidence) -> Hint:
    one, two = found.one.dtype, found.two.dtype
    kinds = f", in {one} on one side and {two} on the other: every number fits into both" if one != two else ""
    return Hint(
        "identical", "shown", f"Every number of every tile is the same{kinds}.", {"tiles": int(found.compared.sum())}
    )


def _rounded(found: Evidence) -> Hint:
    """Which side was rounded is shown where rounding the other gives it to the bit."""
    name = found.rounding
    largest = float(found.tiles.max_abs[found.compared].max()) if found.tiles is not None else 0.0
    numbers: Numbers = {"largest difference": largest, "one rounding, of a value's size": UNIT[name]}
    one, two = found.sample.one, found.sample.two
    for source, target, says in ((one, two, "B is A"), (two, one, "A is B")):
        for kind in ("float16", "bfloat16"):
            if np.array_equal(rounded(source, kind), target):
                return Hint("rounded", "shown", f"{says} rounded to {kind}, and nothing else differs.", numbers)
    text = f"All numbers lie within one rounding to {name}: stored, or computed, in another precision."
    return Hint("rounded", "shown", text, numbers)


def rounded(values: Values, kind: str) -> npt.NDArray[np.float32]:
    """Values rounded to float16 or bfloat16, to the nearest and to even between two, in float32."""
    if kind == "float16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    even = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.asarray(even.view(np.float32))


def _lengths(found: Evidence, tiles: TileNumbers) -> Iterator[Hint]:
    """One side divided by its lengths, or by one number."""
    lengths, relative = tiles.lengths[found.compared], tiles.relative[found.compared]
    cosine = tiles.cosine[found.compared]
    if cosine.min() < 1 - 1e-4 or np.median(relative) < 1e-2:
        return
    unit = np.abs(lengths - 1).max(axis=0) < _UNIT_LENGTH
    numbers: Numbers = {
        "smallest cosine": float(cosine.min()),
        "lengths in A": _range(lengths[:, 0]),
        "lengths in B": _range(lengths[:, 1]),
    }
    if unit.any() and not unit.all():
        side, other = ("A", "B") if unit[0] else ("B", "A")
        yield Hint(
            "normalised", "shown", f"{side} is {other} with each vector divided by its length (L2-normalised).", numbers
        )
        return
    ratio = lengths[:, 1] / np.where(lengths[:, 0] > 0, lengths[:, 0], np.nan)
    if np.nanmax(ratio) <= np.nanmin(ratio) * (1 + 1e-2):
        factor = float(np.nanmedian(ratio))
        yield Hint("factor", "shown", f"B is A times {factor:.6g}: one number for all tiles and features.", numbers)
    else:
        text = "Vectors of a tile point the same way and differ in length only, by another factor for each tile."
        yield Hint("lengths", "shown", text, numbers | {"factors": _range(ratio[np.isfinite(ratio)])})


def _arithmetic(found: Evidence, tiles: TileNumbers) -> Iterator[Hint]:
    middle = float(np.median(tiles.relative[found.compared]))
    worst = float(tiles.relative[found.compared].max())
    numbers: Numbers = {"median relative difference": middle, "largest": worst}
    if worst <= _SINGLE:
        text = "Differences as single-precision arithmetic in another order leaves: another device, batch size or library version."
        yield Hint("arithmetic", "likely", text, numbers)
    elif middle <= _HALF:
        text = (
            "Differences as arithmetic in half precision leaves (fp16, bf16 or TF32 on one side), or as pixels that differ "
            "by a level here and there (another JPEG decoder): the features alone do not tell which."
        )
        yield Hint("precision", "possible", text, numbers)


def _range(values: Values) -> str:
    return f"{values.min():.4g} to {values.max():.4g}"
