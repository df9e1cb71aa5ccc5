"""Preflight: what is known of a slide before a pixel is used, as one JSON object."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.errors import ResolutionError, SlideError, SlideFileError
from wsi_features.slides import MppCandidate, Resolution, Slide, open_slide, resolution
from wsi_features.slides.resolution import NOMINAL

_AGREEMENT, _NOMINAL_AGREEMENT = 0.05, 0.3
"""How far two stated resolutions, and a resolution and the objective's nominal, may differ without a warning."""


def describe(row: ManifestRow, slide: Slide) -> dict[str, Any]:
    """Describe an open slide: reader, levels, resolution with every candidate, warnings, remedy."""
    about: dict[str, Any] = {"slide_id": row.slide_id, "status": "ok", "reason": "", "reader": slide.reader}
    found: Resolution | None = None
    try:
        found = resolution(row.slide_id, slide, row.mpp)
    except ResolutionError as error:
        about |= {"status": "failed", "reason": error.reason, "remedy": str(error)}
    about["mpp"] = {
        "value": found.mpp if found else None,
        "source": found.source if found else None,
        "candidates": [_shown(candidate) for candidate in slide.mpp_candidates],
    }
    about["levels"] = [
        {"width": level.size.width, "height": level.size.height, "downsample": level.downsample}
        for level in slide.levels
    ]
    about["bounds"] = asdict(slide.bounds) if slide.bounds else None
    about["properties"] = dict(slide.properties)
    about["warnings"] = _warnings(slide, found)
    return about


def inspected(row: ManifestRow) -> dict[str, Any]:
    """Open a slide and describe it; one that cannot be opened is described by its error.

    An unknown file may hang or crash the process: `Inspector` calls this in one of its own.
    """
    try:
        with open_slide(row.slide_id, Path(row.path)) as slide:
            return describe(row, slide)
    except SlideError as error:
        return described_failure(row.slide_id, error)


def described_failure(slide_id: str, error: SlideError) -> dict[str, Any]:
    """The description of a slide that could not be opened."""
    return {
        "slide_id": slide_id,
        "status": "failed",
        "reason": error.reason,
        "reader": None,
        "mpp": {"value": None, "source": None, "candidates": []},
        "levels": [],
        "bounds": None,
        "properties": {},
        "warnings": [],
        "remedy": str(error),
    }


def refuse_failed(about: dict[str, Any]) -> None:
    """Raise the error that a failed description was made of, with its reason and message."""
    if about["status"] == "failed":
        kind = ResolutionError if about["reason"] == ResolutionError.reason else SlideFileError
        raise kind(about["remedy"])


def _shown(candidate: MppCandidate) -> dict[str, Any]:
    """The candidate as JSON, which has no infinity: a file's `inf` or `nan` is shown as that word."""
    values = {
        axis: value if math.isfinite(value) else str(value) for axis, value in (("x", candidate.x), ("y", candidate.y))
    }
    return asdict(candidate) | values


def _warnings(slide: Slide, found: Resolution | None) -> list[str]:
    warnings = []
    size = slide.levels[0].size
    if len(slide.levels) == 1 and size.area > 50_000_000:
        warnings.append(f"only one level of {size.width} x {size.height} pixels: thumbnails are slow to read")
    return warnings + _contradictions(slide.mpp_candidates, found)


def _contradictions(candidates: tuple[MppCandidate, ...], found: Resolution | None) -> list[str]:
    """Where usable statements differ by more than 5 %, and where the one in use is far from the objective's nominal."""
    told = []
    stated = sorted(((c.x + c.y) / 2, c.source) for c in candidates if c.usable)
    if stated and stated[-1][0] > stated[0][0] * (1 + _AGREEMENT):
        (low, low_source), (high, high_source) = stated[0], stated[-1]
        told.append(f"the file states {low:g} um/px ({low_source}) and {high:g} um/px ({high_source})")
    nominal = next((c.x for c in candidates if c.source == NOMINAL), None)
    if found and nominal and abs(found.mpp - nominal) / nominal > _NOMINAL_AGREEMENT:
        told.append(f"{found.mpp:g} um/px does not fit the stated objective power (about {nominal:g} um/px)")
    return told
