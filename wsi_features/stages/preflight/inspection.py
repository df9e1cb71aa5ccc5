"""Opening a slide and looking at it. An unknown file may hang or crash the process: `Inspector` has one for this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.errors import SlideError, SlideFileError
from wsi_features.slides import Slide
from wsi_features.slides.plausibility import findings
from wsi_features.slides.registration import LevelFit, registered
from wsi_features.stages.opened import opened
from wsi_features.stages.preflight.description import describe, described_failure
from wsi_features.stages.preflight.estimate import survey

_SAME_IMAGE = 0.9
"""Least correlation of a level with averaged level 0; that of sound levels is above 0.99."""


def inspected(row: ManifestRow) -> dict[str, Any]:
    """Open a slide, describe it and check that its pixels are what it says; one that fails is described by its error."""
    return _looked_at(row, surveyed=False)


def surveyed(row: ManifestRow) -> dict[str, Any]:
    """The same, with what an estimate of tiles and time starts from."""
    return _looked_at(row, surveyed=True)


def _looked_at(row: ManifestRow, *, surveyed: bool) -> dict[str, Any]:
    try:
        with opened(row) as slide:
            about = examined(row, slide)
            if surveyed and about["status"] == "ok":
                about["survey"] = survey(row.slide_id, slide, about["mpp"]["value"])
            return about
    except SlideError as error:
        return described_failure(row.slide_id, error)


def examined(row: ManifestRow, slide: Slide) -> dict[str, Any]:
    """The description of an open slide after a look at its pixels.

    Its levels get their true downsamples, with how far each differs from level 0. Raises SlideFileError when the
    pixels show that the file is not what it says.
    """
    about = describe(row, slide)
    if about["status"] != "ok":
        return about
    found = findings(slide)
    if error := found.error(row.slide_id, row.path):
        raise error
    fits = registered(slide)
    if any(_other_image(fit) for fit in fits):
        raise SlideFileError.implausible(row.slide_id, row.path, _disagreements(fits))
    for level, fit in zip(about["levels"], fits, strict=True):
        level |= {"downsample": fit.downsample, "downsample_x": fit.downsample_x, "downsample_y": fit.downsample_y}
        level["difference"] = None if fit.residual is None else round(fit.residual, 2)
        level["correlation"] = None if fit.correlation is None else round(fit.correlation, 4)
    about["warnings"] += [*(finding.text for finding in found.warnings), *_disagreements(fits)]
    return about


def _other_image(fit: LevelFit) -> bool:
    """Whether a level shows something else than level 0, and not only in a place or in another tone.

    Scanners that stitch each level by itself (MRXS) leave single places that differ.
    """
    return not fit.agrees and (fit.correlation is None or fit.correlation < _SAME_IMAGE)


def _disagreements(fits: Sequence[LevelFit]) -> list[str]:
    """Levels that show something else than level 0 somewhere."""
    return [
        f"level {number} differs from level 0 by {fit.residual:.0f} grey levels at x={fit.worst.x}, y={fit.worst.y}"
        for number, fit in enumerate(fits)
        if fit.residual is not None and fit.worst is not None and not fit.agrees
    ]
