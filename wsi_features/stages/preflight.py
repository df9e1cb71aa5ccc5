"""Preflight: what is known of a slide before a pixel is used, as one JSON object."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.errors import ResolutionError, SlideError
from wsi_features.slides import Resolution, Slide, open_slide, resolution

_OBJECTIVE_MICRONS = 10.0
"""Microns per pixel times objective power that scanners mostly give (0.25 at 40x, 0.5 at 20x)."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """A slide's description, and its resolution where it has one."""

    description: dict[str, Any]
    resolution: Resolution | None


def describe(row: ManifestRow, slide: Slide) -> Preflight:
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
        "candidates": [asdict(candidate) for candidate in slide.mpp_candidates],
    }
    about["levels"] = [
        {"width": level.size.width, "height": level.size.height, "downsample": level.downsample}
        for level in slide.levels
    ]
    about["bounds"] = asdict(slide.bounds) if slide.bounds else None
    about["properties"] = dict(slide.properties)
    about["warnings"] = _warnings(slide, found)
    return Preflight(about, found)


def inspected(row: ManifestRow) -> dict[str, Any]:
    """Open a slide and describe it; one that cannot be opened is described by its error."""
    try:
        with open_slide(row.slide_id, Path(row.path)) as slide:
            return describe(row, slide).description
    except SlideError as error:
        return {
            "slide_id": row.slide_id,
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


def _warnings(slide: Slide, found: Resolution | None) -> list[str]:
    warnings = []
    size = slide.levels[0].size
    if len(slide.levels) == 1 and size.area > 50_000_000:
        warnings.append(f"only one level of {size.width} x {size.height} pixels: thumbnails are slow to read")
    power = slide.properties.get("openslide.objective-power", "")
    if found and power.isdecimal() and int(power) > 0:
        nominal = _OBJECTIVE_MICRONS / int(power)
        if abs(found.mpp - nominal) / nominal > 0.3:
            warnings.append(f"{found.mpp:g} um/px does not fit the stated {power}x objective (about {nominal:g} um/px)")
    return warnings
