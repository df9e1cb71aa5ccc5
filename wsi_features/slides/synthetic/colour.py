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
    """One laboratory's stain: direction of each dye in optical density (R, G, B), its strength, and bare glass.

    "Haematoxylin" is whatever lies in nuclei and "eosin" what lies between them, so other stains are the
    same tissue in other colours. Dyes that `emits` shine on a dark background, as in fluorescence.
    """

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    haematoxylin_strength: float
    eosin_strength: float
    glass: tuple[float, float, float]
    emits: bool = False


# Directions lie in the range of published H&E vectors (Ruifrok and Johnston 2001; Macenko et al. 2009).
MIXTURES: dict[Stain, StainMixture] = {
    "a": StainMixture((0.62, 0.70, 0.35), (0.12, 0.87, 0.48), 1.0, 1.0, (244, 243, 245)),
    "b": StainMixture((0.71, 0.62, 0.31), (0.06, 0.83, 0.55), 0.82, 1.15, (240, 238, 234)),
    "ihc": StainMixture((0.65, 0.70, 0.29), (0.27, 0.57, 0.78), 0.8, 0.5, (242, 242, 243)),
    "masson-blue": StainMixture((0.40, 0.80, 0.45), (0.85, 0.48, 0.20), 0.9, 1.2, (242, 241, 243)),
    "masson-green": StainMixture((0.40, 0.80, 0.45), (0.78, 0.30, 0.54), 0.9, 1.1, (242, 241, 243)),
    "alcian": StainMixture((0.30, 0.85, 0.43), (0.91, 0.38, 0.15), 0.8, 0.9, (243, 243, 243)),
    "sirius": StainMixture((0.20, 0.60, 0.77), (0.09, 0.77, 0.63), 0.6, 1.2, (243, 242, 240)),
    "silver": StainMixture((0.58, 0.58, 0.58), (0.57, 0.58, 0.59), 1.1, 0.6, (236, 236, 237)),
    "dapi": StainMixture((0.06, 0.18, 0.98), (0.10, 0.95, 0.30), 1.0, 0.25, (6, 7, 9), emits=True),
}


@dataclass(frozen=True, slots=True)
class Look:
    """How dyes appear on one slide: the stain, how strong it is, and the colour of bare glass."""

    stain: Stain
    strength: float = 1.0
    background: tuple[int, int, int] | None = None

    @property
    def glass(self) -> tuple[float, float, float]:
        """Red, green and blue of bare glass."""
        return self.background or MIXTURES[self.stain].glass


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
def colour_table(look: Look) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """RGBA colour as one uint32 for each pair of bytes, at index haematoxylin * 256 + eosin."""
    steps = np.arange(256, dtype=np.float32)
    h, e = np.meshgrid(steps * (HAEMATOXYLIN_MAX / 255), steps * (EOSIN_MAX / 255), indexing="ij")
    density = optical_density(look.stain, h, e)
    if look.strength != 1:
        density *= np.float32(look.strength)
    if MIXTURES[look.stain].emits:
        rgb = np.array(look.glass) + (250 - np.array(look.glass)) * (1 - np.exp(-density))
    else:
        rgb = np.array(look.glass) * np.exp(-density)
    rgba = np.full((256, 256, 4), 255, np.uint8)
    rgba[..., :3] = np.rint(rgb)
    return rgba.reshape(-1).view(np.uint32)


def coloured(look: Look, haematoxylin: U8, eosin: U8) -> U8:
    """RGB uint8 (h, w, 3) of two density planes (h, w)."""
    import cv2

    # One gather per pixel: both bytes side by side are the index, low byte first.
    index = np.asarray(cv2.merge([eosin, haematoxylin]), dtype=np.uint8).view("<u2")[..., 0]
    rgba = np.take(colour_table(look), index).view(np.uint8).reshape(*index.shape, 4)
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
