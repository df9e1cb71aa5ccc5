"""The pixels of a scene, block by block: stained tissue over glass, artefacts, light and camera noise."""

from __future__ import annotations

import numpy as np

from wsi_features.geometry import Region, Size
from wsi_features.slides.synthetic import artefacts
from wsi_features.slides.synthetic.artefacts import FIELDS
from wsi_features.slides.synthetic.colour import SUBLEVELS, Look, coloured, exposed
from wsi_features.slides.synthetic.density import densities, fine
from wsi_features.slides.synthetic.ground import SIGHT, Ground, ground_of
from wsi_features.slides.synthetic.noise import U8, key_of
from wsi_features.slides.synthetic.scene import Area, Scene, scene_of
from wsi_features.slides.synthetic.spec import SlideSpec

_SHADING_LEVELS = 1.3


def slide_pixels(spec: SlideSpec, region: Region) -> U8:
    """The level-0 pixels of a region before compression: uint8 (h, w, 3), what `write_slide` compresses.

    Raises ValueError where the region leaves the slide.
    """
    if not region.inside(Size(spec.width, spec.height)):
        raise ValueError(f"{region} leaves the slide of {spec.extent} px; ask for a region inside it")
    scene = scene_of(spec)
    height, width = scene.block_px
    out = np.empty((region.height, region.width, 3), np.uint8)
    for row in range(region.y // height, -(-(region.y + region.height) // height)):
        for column in range(region.x // width, -(-(region.x + region.width) // width)):
            top, left = row * height, column * width
            rows, from_rows = _overlap(region.y, region.height, top, height)
            columns, from_columns = _overlap(region.x, region.width, left, width)
            out[rows, columns] = block_pixels(scene, scene.block(row, column))[from_rows, from_columns]
    return out


def _overlap(start: int, length: int, block: int, block_length: int) -> tuple[slice, slice]:
    """Where a block lies in a run of pixels, and which part of the block that is."""
    first, last = max(start, block), min(start + length, block + block_length)
    return slice(first - start, last - start), slice(first - block, last - block)


def block_pixels(scene: Scene, area: Area) -> U8:
    """The level-0 pixels of one block of the scene's lattice, uint8 (h, w, 3)."""
    spec, ground = scene.spec, ground_of(scene, area)
    rgb = _stained(scene, ground)
    acting = {name: fine(scene, field) for name, field in ground.fields.items() if name in FIELDS and (field > 0).any()}
    if "blur" in acting:
        rgb = artefacts.defocused(rgb, _seen(scene, area, artefacts.BLUR_UM, 0.0), acting["blur"])
    if "bubble" in acting:
        shifted = _seen(scene, area, artefacts.BUBBLE_BLUR_UM, artefacts.BUBBLE_SHIFT_UM)
        rgb = artefacts.under_bubble(rgb, shifted, acting["bubble"])
    if "dust" in acting:
        rgb = artefacts.dusty(rgb, acting["dust"])
    if "pen" in acting:
        rgb = artefacts.marked(rgb, acting["pen"], spec.pen_colour)
    if "border" in acting:
        rgb = artefacts.filled_black(rgb, acting["border"])
    return exposed(rgb, _shading(scene, ground), key_of(spec.seed, "grain", area.top, area.left))


def _stained(scene: Scene, ground: Ground) -> U8:
    import cv2

    planes = densities(scene, ground)
    look = Look(scene.spec.stain, scene.spec.strength, scene.spec.glass)
    if planes is not None:
        return coloured(look, *planes)
    shape = (ground.area.rows * scene.step, ground.area.columns * scene.step)
    return np.asarray(cv2.merge([np.full(shape, level, np.uint8) for level in look.glass]))


def _seen(scene: Scene, area: Area, blur_um: float, shift_um: float) -> U8:
    """A block out of focus by `blur_um` (standard deviation), showing what lies `shift_um` up and left."""
    import cv2

    wide = _stained(scene, ground_of(scene, area.padded(SIGHT)))
    sigma, start = blur_um / scene.spec.scale, SIGHT * scene.step - round(shift_um / scene.spec.scale)
    reach = 2 * max(1, round(3 * sigma)) + 1
    soft = np.asarray(cv2.GaussianBlur(wide, (reach, reach), sigma), np.uint8)
    height, width = area.rows * scene.step, area.columns * scene.step
    return soft[start : start + height, start : start + width]


def _shading(scene: Scene, ground: Ground) -> U8:
    """Uneven light as `exposed` takes it, on the level-0 pixels of a block."""
    light = fine(scene, ground.fields["light"]) * np.float32(_SHADING_LEVELS * SUBLEVELS) + 128
    return np.asarray(np.clip(np.rint(light), 0, 255), dtype=np.uint8)
