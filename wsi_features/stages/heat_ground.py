"""What a heat map lies on: the size and resolution of its slide, and a picture of it as far as there is one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.config import Tuning
from wsi_features.errors import ScoreError, SlideError
from wsi_features.geometry import Mpp, Size
from wsi_features.report.figures import fitted_thumbnail
from wsi_features.slides import content_fingerprint, thumbnail
from wsi_features.stages.opened import opened
from wsi_features.stages.preflight.recorded import UNREADABLE, recorded_size
from wsi_features.stages.staging import near
from wsi_features.stages.thumbnails import thumbnail_of
from wsi_features.store import FeatureStore
from wsi_features.tissue import mask_from_png

PICTURE_PX = 2048
"""The longer side of a picture."""

Rgb = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Ground:
    """The slide's size in level-0 pixels; `note` says where that is not its own but that of its tiles."""

    size: Size
    mpp: Mpp | None
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class GroundPicture:
    """The slide as uint8 (h, w, 3), white where it could not be read: then `bare`, with the `tissue` mask to outline where
    that is there, and `note` says why.
    """

    rgb: Rgb
    note: str = ""
    bare: bool = False
    tissue: npt.NDArray[np.bool_] | None = None


def ground_of(out: Outputs, store: FeatureStore) -> Ground:
    """What the store says, else the preflight; of an imported store that says nothing the area of its tiles."""
    about = store.provenance
    mpp = about.mpp_native if about.knows("mpp_native") else None
    if about.knows("slide_size"):
        return Ground(Size(*about.slide_size), mpp)
    try:
        return Ground(recorded_size(out, about.slide_id), mpp)
    except UNREADABLE:
        width, height = (store.coords.max(axis=0) + about.span).tolist() if len(store) else (1, 1)
        return Ground(
            Size(width, height), mpp, f"slide {about.slide_id!r}: its size is unknown, that of its tiles is taken"
        )


def ground_picture(
    out: Outputs, row: ManifestRow, store: FeatureStore, ground: Ground, tuning: Tuning
) -> GroundPicture:
    """The slide itself, which a remote one is copied for; else the thumbnail of the run; else an outline of the tissue."""
    try:
        return GroundPicture(_of_slide(row, store, ground, tuning))
    except SlideError as error:
        why = str(error)
    try:
        small = fitted_thumbnail(thumbnail_of(out, store), PICTURE_PX)
        return GroundPicture(small, f"{why} Its map is drawn on the thumbnail of the run.")
    except SlideError:
        tissue = _tissue(out, row.slide_id, ground)
        return GroundPicture(_glass(ground), f"{why} Its map is drawn without the slide.", bare=True, tissue=tissue)


def _of_slide(row: ManifestRow, store: FeatureStore, ground: Ground, tuning: Tuning) -> Rgb:
    """Raises SlideError when it cannot be read, or is another one."""
    about = store.provenance
    with near(row, tuning) as here, opened(here) as slide:
        found = slide.levels[0].size
        if found != ground.size:
            sizes = (f"{size.width} x {size.height} pixels" for size in (found, ground.size))
            raise ScoreError.other_slide(row.slide_id, row.path, "it has", *sizes)
        if about.knows("slide_fingerprint"):
            content, wanted = content_fingerprint(Path(here.path)), about.slide_fingerprint
            if content != wanted:
                raise ScoreError.other_slide(row.slide_id, row.path, "its fingerprint is", content[:8], wanted[:8])
        return thumbnail(row.slide_id, slide, 1.0, max(found.width, found.height) / PICTURE_PX)


def _glass(ground: Ground) -> Rgb:
    shrink = max(1.0, max(ground.size.width, ground.size.height) / PICTURE_PX)
    shape = (max(1, round(ground.size.height / shrink)), max(1, round(ground.size.width / shrink)))
    return np.full((*shape, 3), 255, np.uint8)


def _tissue(out: Outputs, slide_id: str, ground: Ground) -> npt.NDArray[np.bool_] | None:
    path = out.slide(slide_id, "tissue.png")
    try:
        return mask_from_png(path.read_bytes(), slide_id=slide_id, source=str(path), slide=ground.size).mask
    except (OSError, SlideError):
        return None
