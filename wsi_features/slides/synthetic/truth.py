"""What is known of a synthetic slide without looking at it: tissue types and artefacts on a coarse grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.slides.synthetic.artefacts import FIELDS
from wsi_features.slides.synthetic.noise import U8
from wsi_features.slides.synthetic.scene import Area, Scene, scene_of
from wsi_features.slides.synthetic.spec import SlideSpec

Mask = npt.NDArray[np.bool_]

_ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """Labels uint8 (h, w) and masks bool (h, w); row r, column c covers level-0 pixels from r, c times `downsample`.

    Label 0 is glass, 1, 2, ... are `TISSUE_TYPES`, taken at each truth pixel's centre.
    `downsample` is a whole number of level-0 pixels, the same in x and y; the last row and
    column may reach beyond the slide. An artefact's mask holds every truth pixel in which
    it changes any level-0 pixel; it is None where the slide has no such artefact. `lesion` is
    taken at each truth pixel's centre, as the labels are, which go on naming the tissue that it lies in.
    """

    labels: U8
    downsample: float
    pen: Mask | None
    fold: Mask | None
    blur: Mask | None
    bubble: Mask | None
    dust: Mask | None = None
    border: Mask | None = None
    lesion: Mask | None = None

    @property
    def tissue(self) -> Mask:
        """Where there is tissue, bool (h, w)."""
        return self.labels > 0


def ground_truth(spec: SlideSpec) -> GroundTruth:
    """The truth of a slide, without making its pixels."""
    scene = scene_of(spec)
    masks = {name: _mask(scene, name) if getattr(spec, name) else None for name in FIELDS}
    return GroundTruth(scene.labels, float(scene.step), lesion=_lesion(scene), **masks)


def _lesion(scene: Scene) -> Mask | None:
    if scene.lesion is None:
        return None
    height, width = scene.labels.shape
    return scene.lesion.depth(scene.anatomy, *scene.centres(Area(0, 0, height, width))) > 0


def _mask(scene: Scene, name: str) -> Mask:
    """Where an artefact's field interpolated between coarse pixels is above 0: at them and their neighbours."""
    height, width = scene.labels.shape
    known = np.zeros((height + 2, width + 2), np.bool_)
    for top in range(0, height + 2, _ROWS_AT_ONCE):
        rows = min(_ROWS_AT_ONCE, height + 2 - top)
        known[top : top + rows] = FIELDS[name](scene.anatomy, *scene.centres(Area(top - 1, -1, rows, width + 2))) > 0
    mask = np.zeros((height, width), np.bool_)
    for down in range(3):
        for right in range(3):
            mask |= known[down : down + height, right : right + width]
    return mask
