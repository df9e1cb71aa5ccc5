"""From stain density to colour: Beer-Lambert mixing of haematoxylin and eosin over off-white glass.

Two stains differ in the hue of both dyes, in their strength and in the glass, as two
laboratories do. Densities are natural-log optical densities along unit vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from wsi_features.slides.synthetic.noise import F32, U8, hashed, key_of, uniform
from wsi_features.slides.synthetic.spec import Stain

HAEMATOXYLIN_MAX = 3.0
"""Optical density that byte 255 of a haematoxylin plane stands for."""
EOSIN_MAX = 2.0
"""Optical density that byte 255 of an eosin plane stands for."""

_GRAIN_PX = 512
_GRAIN_LEVELS = 0.9

SUBLEVELS = 16
"""Steps of light and noise per grey level."""


@dataclass(frozen=True, slots=True)
class StainMixture:
    """One laboratory's stain: direction of each dye in optical density (R, G, B), its strength, and bare glass."""

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    haematoxylin_strength: float
    eosin_strength: float
    glass: tuple[float, float, float]


# Directions lie in the range of published H&E vectors (Ruifrok and Johnston 2001; Macenko et al. 2009).
MIXTURES: dict[Stain, StainMixture] = {
    "a": StainMixture((0.62, 0.70, 0.35), (0.12, 0.87, 0.48), 1.0, 1.0, (244, 243, 245)),
    "b": StainMixture((0.71, 0.62, 0.31), (0.06, 0.83, 0.55), 0.82, 1.15, (240, 238, 234)),
}


def optical_density(stain: Stain, haematoxylin: F32, eosin: F32) -> F32:
    """Optical density (..., 3) of dye densities of equal shape.

    Chromatin binds little eosin, so eosin fades where haematoxylin is dense.
    """
    mix = MIXTURES[stain]
    in_nucleus = np.clip((haematoxylin - 0.5) / 0.7, 0, 1)
    h = mix.haematoxylin_strength * haematoxylin
    e = mix.eosin_strength * eosin * (1 - 0.55 * in_nucleus)
    directions = np.array([mix.haematoxylin, mix.eosin])
    h_unit, e_unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return np.asarray(h[..., None] * h_unit + e[..., None] * e_unit, dtype=np.float32)


@cache
def colour_table(stain: Stain) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """RGBA colour as one uint32 for each pair of bytes, at index haematoxylin * 256 + eosin."""
    steps = np.arange(256, dtype=np.float32)
    h, e = np.meshgrid(steps * (HAEMATOXYLIN_MAX / 255), steps * (EOSIN_MAX / 255), indexing="ij")
    rgb = np.array(MIXTURES[stain].glass) * np.exp(-optical_density(stain, h, e))
    rgba = np.full((256, 256, 4), 255, np.uint8)
    rgba[..., :3] = np.rint(rgb)
    return rgba.reshape(-1).view(np.uint32)


def coloured(stain: Stain, haematoxylin: U8, eosin: U8) -> U8:
    """RGB uint8 (h, w, 3) of two density planes (h, w)."""
    import cv2

    # One gather per pixel: both bytes side by side are the index, low byte first.
    index = np.asarray(cv2.merge([eosin, haematoxylin]), dtype=np.uint8).view("<u2")[..., 0]
    rgba = np.take(colour_table(stain), index).view(np.uint8).reshape(*index.shape, 4)
    return np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), dtype=np.uint8)


@cache
def _grain() -> U8:
    """Camera noise around 128 in 1 / `SUBLEVELS`, uint8 (h, w, 3), repeated so that a window may start anywhere in the first square."""
    count = np.arange(_GRAIN_PX * _GRAIN_PX * 3)
    draw = uniform(hashed(key_of("grain"), count))
    near_normal = (draw + np.roll(draw, 401) + np.roll(draw, 19_997) - 1.5) * 2
    square = np.rint(128 + SUBLEVELS * _GRAIN_LEVELS * near_normal).astype(np.uint8)
    return np.tile(square.reshape(_GRAIN_PX, _GRAIN_PX, 3), (3, 4, 1))


def exposed(rgb: U8, shading: U8, key: int) -> U8:
    """The image with uneven light and camera noise.

    `shading` (h, w) holds grey levels in steps of 1 / `SUBLEVELS` around 128: the noise then
    hides where the light crosses a whole level. `key` says where the noise is cut, so that
    two blocks do not show the same. Blocks reach at most two squares down and three across.
    """
    import cv2

    height, width = shading.shape
    top, left = key % _GRAIN_PX, key // _GRAIN_PX % _GRAIN_PX
    noise = _grain()[top : top + height, left : left + width]
    change = cv2.addWeighted(cv2.merge([shading] * 3), 1 / SUBLEVELS, noise, 1 / SUBLEVELS, 128 - 256 / SUBLEVELS)
    return np.asarray(cv2.addWeighted(rgb, 1.0, change, 1.0, -128.0), dtype=np.uint8)
