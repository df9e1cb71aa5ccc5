"""Where a slide's statements about its resolution contradict each other, in words."""

from __future__ import annotations

from wsi_features.slides import MppCandidate, Resolution, Slide
from wsi_features.slides.resolution import NOMINAL_AGREEMENT, nominal_mpp

_AGREEMENT = 0.05
"""How far two stated resolutions may differ without a warning."""


def contradictions(slide: Slide, used: Resolution | None) -> list[str]:
    """One sentence for each: among the file's usable statements, and of the one in use with the others."""
    usable = [candidate for candidate in slide.mpp_candidates if candidate.usable]
    return _among(usable) + _with_manifest(usable, used) + _with_objective(slide, used)


def _among(usable: list[MppCandidate]) -> list[str]:
    stated = sorted((_mean(c), c.source) for c in usable)
    if not stated or stated[-1][0] <= stated[0][0] * (1 + _AGREEMENT):
        return []
    (low, low_source), (high, high_source) = stated[0], stated[-1]
    return [f"the file states {low:g} um/px ({low_source}) and {high:g} um/px ({high_source})"]


def _with_manifest(usable: list[MppCandidate], used: Resolution | None) -> list[str]:
    """A typing error in the manifest makes wrong features without any other sign."""
    if used is None or used.source != "manifest" or not usable:
        return []
    stated = _mean(usable[0])
    if abs(used.mpp - stated) <= _AGREEMENT * stated:
        return []
    return [f"the manifest's {used.mpp:g} um/px is used; the file states {stated:g} ({usable[0].source})"]


def _with_objective(slide: Slide, used: Resolution | None) -> list[str]:
    usual = nominal_mpp(slide.mpp_candidates)
    if used is None or usual is None or abs(used.mpp - usual) <= NOMINAL_AGREEMENT * usual:
        return []
    return [f"{used.mpp:g} um/px does not fit the stated objective power (about {usual:g} um/px)"]


def _mean(candidate: MppCandidate) -> float:
    return (candidate.x + candidate.y) / 2
