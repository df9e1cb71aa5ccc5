"""The pixels of a scene, block by block: stained tissue over glass, artefacts, light and camera noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsi_features.geometry import Region, Size
from wsi_features.slides.synthetic import artefacts
from wsi_features.slides.synthetic.anatomy import Anatomy
from wsi_features.slides.synthetic.colour import MIXTURES, SUBLEVELS, coloured, exposed
from wsi_features.slides.synthetic.density import densities
from wsi_features.slides.synthetic.noise import F32, F64, U8, key_of
from wsi_features.slides.synthetic.scene import Area, Scene, enlarged, scene_of
from wsi_features.slides.synthetic.spec import SlideSpec

_SHADING_LEVELS = 1.3
_SHADING_UM = 1500.0

# Coarse pixels that blur and bubble may look beyond a block.
_SIGHT = 2


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
    spec = scene.spec
    rgb = _stained(scene, area)
    if spec.blur:
        rgb = _with_blur(scene, area, rgb)
    if spec.bubble:
        rgb = _with_bubble(scene, area, rgb)
    if spec.pen:
        ink = _field(artefacts.pen_field, scene, area)
        rgb = rgb if ink is None else artefacts.marked(rgb, ink, spec.pen_colour)
    return exposed(rgb, _shading(scene, area), key_of(spec.seed, "grain", area.top, area.left))


def _stained(scene: Scene, area: Area) -> U8:
    import cv2

    planes = densities(scene, area)
    if planes is not None:
        return coloured(scene.spec.stain, *planes)
    shape = (area.rows * scene.step, area.columns * scene.step)
    return np.asarray(cv2.merge([np.full(shape, level, np.uint8) for level in MIXTURES[scene.spec.stain].glass]))


def _with_blur(scene: Scene, area: Area, rgb: U8) -> U8:
    strength = _field(artefacts.blur_field, scene, area)
    if strength is None:
        return rgb
    margin = _SIGHT * scene.step
    soft = _blurred(_stained(scene, area.padded(_SIGHT)), artefacts.BLUR_UM / scene.spec.scale)
    return artefacts.defocused(rgb, soft[margin:-margin, margin:-margin], strength)


def _with_bubble(scene: Scene, area: Area, rgb: U8) -> U8:
    depth = _field(artefacts.bubble_field, scene, area)
    if depth is None:
        return rgb
    margin, shift = _SIGHT * scene.step, round(artefacts.BUBBLE_SHIFT_UM / scene.spec.scale)
    soft = _blurred(_stained(scene, area.padded(_SIGHT)), 0.6 / scene.spec.scale)
    shifted = soft[margin - shift : -margin - shift, margin - shift : -margin - shift]
    return artefacts.under_bubble(rgb, shifted, depth)


def _blurred(rgb: U8, sigma: float) -> U8:
    import cv2

    width = 2 * max(1, round(3 * sigma)) + 1
    return np.asarray(cv2.GaussianBlur(rgb, (width, width), sigma), np.uint8)


def _field(field: Callable[[Anatomy, F64, F64], F32], scene: Scene, area: Area) -> F32 | None:
    """An artefact's field on the level-0 pixels of `area`; None where it acts nowhere."""
    coarse = field(scene.anatomy, *scene.centres(area.padded(1)))
    return enlarged(coarse, scene.step) if (coarse > 0).any() else None


def _shading(scene: Scene, area: Area) -> U8:
    """Uneven light as `exposed` takes it, on the level-0 pixels of `area`."""
    y, x = scene.centres(area.padded(1))
    light = scene.anatomy.noise("light", y, x, _SHADING_UM) * (_SHADING_LEVELS * SUBLEVELS) + 128
    return np.clip(np.rint(enlarged(light, scene.step)), 0, 255).astype(np.uint8)
