"""What is known of a slide before its pixels are used, as one JSON object."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.errors import ResolutionError, SlideError, SlideFileError
from wsi_features.slides import MppCandidate, Resolution, Slide, resolution
from wsi_features.stages.preflight.contradictions import contradictions
from wsi_features.tiles import usable_bounds

_MUCH_FOR_ONE_LEVEL = 50_000_000


def describe(row: ManifestRow, slide: Slide) -> dict[str, Any]:
    """Describe an open slide from what its file states: reader, form, levels, resolution, warnings, remedy."""
    about: dict[str, Any] = {
        "slide_id": row.slide_id,
        "status": "ok",
        "reason": "",
        "reader": slide.reader,
        "why": slide.why,
    }
    found: Resolution | None = None
    try:
        found = resolution(row.slide_id, slide, row.mpp)
    except ResolutionError as error:
        about |= {"status": "failed", "reason": error.reason, "remedy": str(error)}
    declared = (MppCandidate("manifest", row.mpp, row.mpp),) if row.mpp is not None else ()
    about["mpp"] = {
        "value": found.mpp if found else None,
        "source": found.source if found else None,
        "why": _why(found),
        "candidates": [_shown(candidate) for candidate in (*declared, *slide.mpp_candidates)],
    }
    about["levels"] = [
        {"width": level.size.width, "height": level.size.height, "downsample": level.downsample}
        for level in slide.levels
    ]
    about["bounds"] = asdict(slide.bounds) if slide.bounds else None
    about["form"] = asdict(slide.form) | {"notes": list(slide.form.notes), "icc_profile": slide.icc_profile is not None}
    about["scenes"] = [asdict(scene) for scene in slide.scenes]
    about |= {"scene": slide.scene, "plane": slide.plane, "properties": dict(slide.properties)}
    about["warnings"] = [
        *slide.form.notes,
        *_unchosen(row, slide),
        *_one_level(slide),
        *_odd_bounds(slide),
        *contradictions(slide, found),
    ]
    return about


def described_failure(slide_id: str, error: SlideError) -> dict[str, Any]:
    """The description of a slide that could not be opened."""
    return {
        "slide_id": slide_id,
        "status": "failed",
        "reason": error.reason,
        "reader": None,
        "why": "",
        "mpp": {"value": None, "source": None, "why": "", "candidates": []},
        "levels": [],
        "bounds": None,
        "form": None,
        "scenes": [],
        "properties": {},
        "warnings": [],
        "remedy": str(error),
    }


def refuse_failed(about: dict[str, Any]) -> None:
    """Raise the error that a failed description was made of, with its reason and message."""
    if about["status"] == "failed":
        kind = ResolutionError if about["reason"] == ResolutionError.reason else SlideFileError
        raise kind(about["remedy"])


def _why(used: Resolution | None) -> str:
    if used is None:
        return "no statement can be used"
    return "the manifest goes before the file" if used.source == "manifest" else "the file's first usable statement"


def _shown(candidate: MppCandidate) -> dict[str, Any]:
    """The candidate as JSON, which has no infinity: a file's `inf` or `nan` is shown as that word."""
    values = {
        axis: value if math.isfinite(value) else str(value) for axis, value in (("x", candidate.x), ("y", candidate.y))
    }
    return asdict(candidate) | values


def _unchosen(row: ManifestRow, slide: Slide) -> list[str]:
    """What the file holds beside the scene and plane that are read by default."""
    told = []
    if len(slide.scenes) > 1 and not row.scene:
        others = ", ".join(repr(scene.name) for scene in slide.scenes if scene.name != slide.scene)
        told.append(f"scene {slide.scene!r} is read, others are not: {others}; `scene` in the manifest chooses")
    planes = next((scene.planes for scene in slide.scenes if scene.name == slide.scene), 1)
    if planes > 1 and row.plane is None:
        told.append(f"focal plane {slide.plane} of {planes} is read; `plane` in the manifest chooses")
    return told


def _odd_bounds(slide: Slide) -> list[str]:
    if slide.bounds is None or usable_bounds(slide.levels[0].size, slide.bounds) is not None:
        return []
    return [f"the scanned area that the file states lies outside the slide and is ignored: {asdict(slide.bounds)}"]


def _one_level(slide: Slide) -> list[str]:
    size = slide.levels[0].size
    if len(slide.levels) > 1 or size.area <= _MUCH_FOR_ONE_LEVEL:
        return []
    return [f"only one level of {size.width} x {size.height} pixels: thumbnails are slow to read"]
