"""Which microns per pixel are used for a slide. They are stated by somebody, or the slide is refused."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from wsi_features.errors import ResolutionError
from wsi_features.geometry import Mpp
from wsi_features.slides.slide import MppCandidate, Resolution, Slide

FINEST_MPP, COARSEST_MPP = 0.05, 20.0
"""What slide scanners produce; a TIFF's 72 dpi (352.8 um/px) is none of it."""

NOMINAL = "objective power (nominal)"
"""Source of the candidate that only says what an objective of this power mostly gives."""

NOMINAL_AGREEMENT = 0.3
"""How far a resolution may be from the objective's nominal."""

_ANISOTROPY = 0.01
_OBJECTIVE_MICRONS = 10.0
"""Microns per pixel times objective power that scanners mostly give (0.25 at 40x, 0.5 at 20x)."""

_UNIT_MICRONS = {"inch": 25_400.0, "centimeter": 10_000.0}


def resolution(slide_id: str, slide: Slide, declared: float | None = None) -> Resolution:
    """The microns per level-0 pixel: the manifest's where `declared`, else the file's first usable statement.

    Raises ResolutionError when there is none, or when it is not finite, not within 0.05 to 20,
    differs in x and y by more than 1 %, or is more than 30 % away from what the stated objective
    power mostly gives. Only a declared one may be. Objective power is never turned into a number.
    """
    if declared is not None:
        return _checked(slide_id, MppCandidate("manifest", declared, declared))
    stated = next((candidate for candidate in slide.mpp_candidates if candidate.usable), None)
    if stated is None:
        shown = [f"{candidate.source}, not usable" for candidate in slide.mpp_candidates]
        raise ResolutionError.missing(slide_id, [f"{slide.reader} reader", *shown, "manifest"])
    found = _checked(slide_id, stated)
    usual = nominal_mpp(slide.mpp_candidates)
    if usual and abs(found.mpp - usual) / usual > NOMINAL_AGREEMENT:
        raise ResolutionError.against_objective(slide_id, found.mpp, found.source, _OBJECTIVE_MICRONS / usual, usual)
    return found


def nominal_mpp(candidates: Sequence[MppCandidate]) -> float | None:
    """Microns per pixel that the stated objective power mostly gives; None where none is stated."""
    return next((c.x for c in candidates if c.source == NOMINAL and _plausible(c.x)), None)


def tiff_candidate(x: float | None, y: float | None, unit: str) -> MppCandidate | None:
    """What the TIFF tags XResolution and YResolution say, in pixels per `unit` ("inch" or "centimeter").

    A value that no scanner produces is the resolution of a display or printer (72 to 600 dpi are
    352.8 to 42.3 um/px), put there by the writing program; it is shown, and not usable.
    """
    microns = _UNIT_MICRONS.get(unit)
    if microns is None or not _finite_nonzero(x) or not _finite_nonzero(y):
        return None
    found_x, found_y = microns / x, microns / y
    return MppCandidate("tiff resolution", found_x, found_y, usable=_plausible(found_x) and _plausible(found_y))


def nominal_candidate(power: float | None) -> MppCandidate | None:
    """What an objective of this power mostly gives. Cameras and adapters differ, so it is never usable."""
    if not _finite_nonzero(power) or power < 0:
        return None
    return MppCandidate(NOMINAL, _OBJECTIVE_MICRONS / power, _OBJECTIVE_MICRONS / power, usable=False)


def _checked(slide_id: str, candidate: MppCandidate) -> Resolution:
    x, y = candidate.x, candidate.y
    if not (_plausible(x) and _plausible(y)) or abs(x - y) / x > _ANISOTROPY:
        value = f"{x:g}" if f"{x:g}" == f"{y:g}" else f"{x:g} x {y:g}"
        raise ResolutionError.implausible(slide_id, value, candidate.source)
    return Resolution(Mpp((x + y) / 2), candidate.source)


def _plausible(mpp: float) -> bool:
    return math.isfinite(mpp) and FINEST_MPP <= mpp <= COARSEST_MPP


def _finite_nonzero(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value) and value != 0
