"""The segmenters that need nothing but a thumbnail and a few rules: `otsu`, `hsv` and `entropy`.

All three make the glass white first, leave ink out, and see on a dark background what shines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsi_features.tissue.background import (
    BrightField,
    Image,
    Mask,
    bright_field,
    extremes,
    is_dark_field,
    is_featureless,
)
from wsi_features.tissue.cleanup import cleaned, shrunk, smooth
from wsi_features.tissue.entropy import local_entropy
from wsi_features.tissue.ink import ink_of
from wsi_features.tissue.protocol import Segmenter
from wsi_features.tissue.recipe import TissueRecipe
from wsi_features.tissue.thresholds import above_background, guarded_threshold

Rule = Callable[[BrightField, Mask, float, TissueRecipe], Mask]
"""Raw tissue of a bright field, given where there is ink or black fill and the microns per pixel."""

_SHINE_LEAST, _SHINE_MOST = 6, 24
"""How far above the dark tissue in fluorescence must shine, in grey levels."""

_SHINE_EDGE = 0.3
"""Share of the light around it that a pixel on an edge must have: glare around bright tissue has less."""

_ROUGH, _ROUGH_SHARE = 14, 0.35
"""Difference of neighbours in tissue, and the share of such pixels that makes a window textured."""

_MOST_VALUE = 0.98
"""`hsv`: bare glass, made white, is brighter than this; its noise may be coloured."""

_ENTROPY_LEAST, _ENTROPY_SURE = 0.8, 2.2
"""Bits between which the threshold of `entropy` lies."""

_ENTROPY_REACH = 0.4
"""Share of the window's width by which texture is felt beyond its edge (measured)."""


def thumbnail_segmenter(rule: Rule, recipe: TissueRecipe) -> Segmenter:
    """A `Segmenter` that applies one rule, with what all rules share around it."""

    def tissue(thumbnail: Image, mpp: float) -> Mask:
        if is_featureless(thumbnail):
            return np.zeros(thumbnail.shape[:2], np.bool_)
        if is_dark_field(thumbnail):
            return cleaned(_shining(thumbnail, mpp, recipe), mpp, recipe)
        field = bright_field(thumbnail)
        unusable = field.black | ink_of(field, mpp) if recipe.exclude_pen else field.black
        found = cleaned(rule(field, unusable, mpp, recipe) & ~unusable, mpp, recipe)
        return found & ~unusable

    return tissue


def by_otsu(field: BrightField, unusable: Mask, mpp: float, recipe: TissueRecipe) -> Mask:
    """Tissue is what is more saturated than glass by Otsu's threshold, or darker and textured.

    The second half finds what has no colour: silver stains, unstained tissue, faint fat. Shadows, seams of the
    scanner and grey glass are dark without texture.
    """
    saturation = smooth(field.saturation, recipe.median_um / mpp)
    usable = ~unusable
    coloured = saturation > guarded_threshold(saturation, usable, recipe.min_saturation, recipe.sure_saturation)
    darkness = smooth(255 - field.darkest, recipe.median_um / mpp)
    dark = darkness > guarded_threshold(darkness, usable, recipe.min_darkness, 3 * recipe.min_darkness)
    return coloured | (dark & _textured(field, mpp, recipe))


def by_hsv(field: BrightField, unusable: Mask, mpp: float, recipe: TissueRecipe) -> Mask:
    """Tissue is what has at least `min_saturation` and is darker than glass: the same threshold on every slide."""
    del unusable
    saturation = smooth(field.saturation, recipe.median_um / mpp)
    darkest = smooth(field.darkest, recipe.median_um / mpp)
    return (saturation > recipe.min_saturation * 255) & (darkest < _MOST_VALUE * 255)


def by_entropy(field: BrightField, unusable: Mask, mpp: float, recipe: TissueRecipe) -> Mask:
    """Tissue is where grey levels vary: entropy of the darkest colour in a window, split by Otsu's threshold."""
    bits = local_entropy(np.where(unusable, np.uint8(255), field.darkest), recipe.window_um / mpp)
    plane = np.rint(bits * (255 / 4)).clip(0, 255).astype(np.uint8)
    found = plane > guarded_threshold(plane, ~unusable, _ENTROPY_LEAST / 4, _ENTROPY_SURE / 4)
    return shrunk(found, _ENTROPY_REACH * recipe.window_um / mpp)


def _textured(field: BrightField, mpp: float, recipe: TissueRecipe) -> Mask:
    import cv2

    width = 2 * round((recipe.window_um / mpp - 1) / 2) + 1
    share = cv2.blur((field.rough > _ROUGH).view(np.uint8) * np.uint8(255), (width, width))
    return np.asarray(share >= _ROUGH_SHARE * 255)


def _shining(thumbnail: Image, mpp: float, recipe: TissueRecipe) -> Mask:
    """Tissue on a dark background: what is brighter, in any colour, than the background and its noise."""
    import cv2

    brightest = smooth(extremes(thumbnail)[0], recipe.median_um / mpp)
    threshold = above_background(brightest, least=_SHINE_LEAST, most=_SHINE_MOST)
    shines = brightest > threshold
    width = 2 * round((recipe.window_um / mpp - 1) / 2) + 1
    light = cv2.blur(np.where(shines, brightest - np.float32(threshold), np.float32(0)), (width, width))
    around = light / np.maximum(cv2.blur(shines.astype(np.float32), (width, width)), 1e-3)
    return np.asarray(shines & (brightest - np.float32(threshold) > _SHINE_EDGE * around))
