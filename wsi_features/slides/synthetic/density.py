"""How much of each dye lies at each pixel of one block: textures, nuclei, edges and folds."""

from __future__ import annotations

import numpy as np

from wsi_features.slides.synthetic import nuclei
from wsi_features.slides.synthetic.anatomy import OVERLAYS
from wsi_features.slides.synthetic.artefacts import FOLD_GAIN
from wsi_features.slides.synthetic.ground import MARGIN, Ground
from wsi_features.slides.synthetic.noise import F32, U8
from wsi_features.slides.synthetic.scene import Scene, enlarged
from wsi_features.slides.synthetic.texture import PERIOD_UM, patch, texel_um

# Softness of the border between two types and of the tissue's edge, and how ragged both are, in microns.
_BORDER_UM, _EDGE_UM, _RAGGED_UM = 2.5, 2.0, 7.0

# Where the outline is farther than this, its raggedness cannot reach.
_CERTAIN_UM = 20.0

# How much of its own texture a lesion shows; the rest is that of the tissue that it is in.
_LESION_SHARE = 0.55

Course = tuple[F32, F32]
"""Where in a texture patch each level-0 pixel looks: its x and y in texture pixels."""


def densities(scene: Scene, ground: Ground) -> tuple[U8, U8] | None:
    """Haematoxylin and eosin bytes (h, w) of the level-0 pixels of one block; None where all is glass."""
    if not ground.labels.any():
        return None
    haematoxylin, eosin, rough = _background(scene, ground)
    return _adjusted(scene, ground, _with_nuclei(scene, ground, haematoxylin), eosin, rough)


def fine(scene: Scene, field: F32) -> F32:
    """A field on the coarse pixels with their margin, interpolated to the block's level-0 pixels."""
    extra = MARGIN - 1
    return enlarged(field[extra:-extra, extra:-extra], scene.step)


def _background(scene: Scene, ground: Ground) -> tuple[U8, U8, U8]:
    """Both dyes and the raggedness of the textures, each type laid softly over those before it."""
    import cv2

    first, *others = [kind for kind in ("stroma", *OVERLAYS) if ground.has(kind)]
    plain = _course(scene, ground.fields["right"], ground.fields["down"])
    fibres = _course(scene, ground.fields["along"], ground.fields["across"]) if first == "stroma" else plain
    laid = _looked_up(scene, first, fibres)
    for kind in others:
        texture = _looked_up(scene, kind, plain)
        rough = np.asarray(cv2.extractChannel(texture, 2), np.uint8)
        share = _inside(scene, ground.fields[f"spread-{kind}"], _BORDER_UM, rough)
        laid = np.asarray(cv2.blendLinear(texture, laid, share, 1 - share), np.uint8)
    if "lesion" in ground.fields and (ground.fields["lesion"] > 0).any():
        texture = _looked_up(scene, "lesion", plain)
        rough = np.asarray(cv2.extractChannel(texture, 2), np.uint8)
        share = _LESION_SHARE * _inside(scene, ground.fields["lesion"], _BORDER_UM, rough)
        laid = np.asarray(cv2.blendLinear(texture, laid, share, 1 - share), np.uint8)
    haematoxylin, eosin, rough = (np.asarray(plane, np.uint8) for plane in cv2.split(laid))
    return haematoxylin, eosin, rough


def _course(scene: Scene, right: F32, down: F32) -> Course:
    """Positions in microns as lookup maps; whole periods are taken off, since texture pixels count from 0."""
    texel = texel_um(scene.spec.scale)
    x, y = ((axis - np.floor(axis.min() / PERIOD_UM) * PERIOD_UM) / texel - 0.5 for axis in (right, down))
    return fine(scene, x.astype(np.float32)), fine(scene, y.astype(np.float32))


def _looked_up(scene: Scene, name: str, course: Course) -> U8:
    import cv2

    longest_um = max(course[0].shape) * scene.spec.scale
    texture = patch(name, scene.spec.scale, 2 + int(longest_um // PERIOD_UM))
    return np.asarray(cv2.remap(texture, *course, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.uint8)


def _inside(scene: Scene, depth: F32, width_um: float, rough: U8) -> F32:
    """Share 0 to 1 that lies inside a ragged border, given the coarse depth behind it in microns."""
    import cv2

    gain = _RAGGED_UM / width_um
    smooth = fine(scene, depth / np.float32(width_um) + np.float32(0.5 - gain / 2))
    return np.clip(np.asarray(cv2.scaleAdd(rough.astype(np.float32), gain / 255, smooth), np.float32), 0, 1)


def _with_nuclei(scene: Scene, ground: Ground, plane: U8) -> U8:
    """The haematoxylin plane with the nuclei laid on it."""
    import cv2

    drawn = {laid.kind: nuclei.pictures(laid.kind, scene.spec.scale) for laid in ground.nuclei}
    margin = max((pictures.shape[1] for pictures in drawn.values()), default=0)
    wide = np.asarray(cv2.copyMakeBorder(plane, margin, margin, margin, margin, cv2.BORDER_CONSTANT), np.uint8)
    top, left = ground.area.top * scene.step - margin, ground.area.left * scene.step - margin
    for laid in ground.nuclei:
        nuclei.stamp(wide, laid.tops - top, laid.lefts - left, drawn[laid.kind], laid.which)
    return np.ascontiguousarray(wide[margin : margin + plane.shape[0], margin : margin + plane.shape[1]])


def _adjusted(scene: Scene, ground: Ground, haematoxylin: U8, eosin: U8, rough: U8) -> tuple[U8, U8]:
    """Both dyes with the tissue's edge, slow changes of thickness and the fold."""
    import cv2

    gains = [fine(scene, ground.fields[f"thick-{k}"]) for k in "he"]
    if ground.fields["depth"].min() < _CERTAIN_UM:
        edge = _inside(scene, ground.fields["depth"], _EDGE_UM, rough)
        gains = [gain * edge for gain in gains]
    if "fold" in ground.fields and (ground.fields["fold"] > 0).any():
        doubled = 1 + FOLD_GAIN * np.clip(fine(scene, ground.fields["fold"]), 0, 1)
        gains = [gain * doubled for gain in gains]
    h, e = (cv2.multiply(p, gain, dtype=cv2.CV_8U) for p, gain in zip((haematoxylin, eosin), gains, strict=True))
    return np.asarray(h, np.uint8), np.asarray(e, np.uint8)
