"""Which microns per pixel are used for a slide. They are stated by somebody, or the slide is refused."""

from __future__ import annotations

import math

from wsi_features.errors import ResolutionError
from wsi_features.geometry import Mpp
from wsi_features.slides.slide import MppCandidate, Resolution, Slide

FINEST_MPP, COARSEST_MPP = 0.05, 20.0
"""What slide scanners produce; a TIFF's 72 dpi (352.8 um/px) is none of it."""

_ANISOTROPY = 0.01


def resolution(slide_id: str, slide: Slide, declared: float | None = None) -> Resolution:
    """The microns per level-0 pixel: the manifest's where `declared`, else the file's first statement.

    Raises ResolutionError when there is none, or when it is not finite, not within 0.05 to 20
    or differs in x and y by more than 1 %. Objective power is never turned into a number.
    """
    if declared is not None:
        return _checked(slide_id, MppCandidate("manifest", declared, declared))
    if not slide.mpp_candidates:
        raise ResolutionError.missing(slide_id, [f"{slide.reader} reader", "manifest"])
    return _checked(slide_id, slide.mpp_candidates[0])


def _checked(slide_id: str, candidate: MppCandidate) -> Resolution:
    x, y = candidate.x, candidate.y
    plausible = all(math.isfinite(v) and FINEST_MPP <= v <= COARSEST_MPP for v in (x, y))
    if not plausible or abs(x - y) / x > _ANISOTROPY:
        value = f"{x:g}" if f"{x:g}" == f"{y:g}" else f"{x:g} x {y:g}"
        raise ResolutionError.implausible(slide_id, value, candidate.source)
    return Resolution(Mpp((x + y) / 2), candidate.source)
