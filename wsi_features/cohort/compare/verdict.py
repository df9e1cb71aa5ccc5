"""One word on two sides of a slide, from the numbers and the hints that are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from wsi_features.cohort.compare.baseline import Baseline
from wsi_features.cohort.compare.evidence import Evidence, Hint, Numbers

IDENTICAL = "identical"
ROUNDING = "equal within rounding"
TRANSFORMED = "same features, transformed"
PIXELS = "same encoder, other pixels"
DIFFERENT = "different"
FEW = "too few tiles to tell"
NOTHING = "nothing to compare"

ORDER = (IDENTICAL, ROUNDING, TRANSFORMED, PIXELS, FEW, DIFFERENT)
"""From the closest to the farthest."""


class Judged(Protocol):
    """What has a verdict."""

    @property
    def verdict(self) -> str: ...


_TRANSFORMS = {"normalised", "factor", "lengths", "part", "order", "permuted", "affine", "linear", "rows"}
_RELATED = 0.3
"""Median correlation of a feature with itself, from which on one encoder made both: other weights leave it near 0."""


def verdict(found: Evidence, hints: Sequence[Hint]) -> str:
    """One of `ORDER`."""
    if found.all_equal:
        return IDENTICAL
    if found.rounding:
        return ROUNDING
    if any(hint.kind in _TRANSFORMS for hint in hints):
        return TRANSFORMED
    if found.tiles is None:
        return DIFFERENT
    if found.baseline is None:
        return FEW
    return PIXELS if found.baseline.same_feature >= _RELATED else DIFFERENT


def farthest(verdicts: Iterable[str]) -> str:
    """The verdict on several slides: that of the one where sides are farthest apart."""
    return max(verdicts, key=ORDER.index)


def verdict_counts(slides: Sequence[Judged]) -> list[tuple[str, int]]:
    """How many slides have each verdict that occurs, from the closest to the farthest."""
    counts = Counter(slide.verdict for slide in slides)
    return [(name, counts[name]) for name in ORDER if counts[name]]


def different_hint(found: Evidence, base: Baseline | None) -> Hint:
    """What it means that no feature is related to itself."""
    if base is None:
        text = (
            f"Vectors have {found.one.dim} and {found.two.dim} features, and neither side is a part or a linear map of the other as "
            "far as these tiles tell: other encoders, or other outputs of one."
        )
        return Hint("width", "likely", text, {"A": found.one.dim, "B": found.two.dim})
    text = (
        "Features are hardly related to themselves on the same tiles: other weights, another encoder, or another slide. "
        "A cosine says nothing here: that of wrongly paired tiles is as high."
        if base.retrieval < 0.5
        else "Features are hardly related to themselves, while tiles are told apart alike: other weights or another encoder on the same tiles."
    )
    numbers: Numbers = {
        "median correlation": base.same_feature,
        "of any two features": base.other_feature,
        "retrieval": base.retrieval,
    }
    return Hint("weights", "likely", text, numbers)
