"""What a colour of a tile is [hot]: glass, ink, blood, nothing of these. One table answers for all pixels.

A colour is judged by its optical density, -ln(level / 240), of red, green and blue: for one dye their ratios do not
depend on how much there is of it (Beer-Lambert), so a thin stroke of a pen is told like a thick one. The bounds lie
between inks and what haematoxylin and eosin mix to; they do not know the slide, so that columns compare across slides.
Per pixel, red ink and blood can look alike: what absorbs more than an eosinophilic cell can is called ink.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

WHITE_LEVEL = 240.0
"""Grey level of no density, as Macenko et al. 2009 (ISBI) use it; anything brighter has none either."""

KINDS = ("white", "grey", "blood", "dense", "blue", "green", "red", "black")
"""What bit 0, 1, ... of a colour's entry says."""
INKS = ("blue", "green", "red", "black")

HAEMATOXYLIN, EOSIN, RESIDUAL = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78)
"""Optical density of each dye in red, green and blue: Ruifrok and Johnston 2001, Anal Quant Cytol Histol 23:291."""


def densities(levels: npt.NDArray[np.generic]) -> F64:
    """Optical density of grey levels, of any shape; natural logarithm, never below 0."""
    found: F64 = np.maximum(np.log(WHITE_LEVEL / np.maximum(np.asarray(levels, np.float64), 1.0)), 0.0)
    return found


def kinds_of(od: F64) -> dict[str, npt.NDArray[np.bool_]]:
    """Which colours of optical density (..., 3) are of each kind; `dense` is judged of means over 16 um, the others of pixels."""
    red, green, blue = od[..., 0], od[..., 1], od[..., 2]
    most, least = od.max(axis=-1), od.min(axis=-1)
    black = (least > 0.9) & (least > 0.6 * most)
    is_green = (red > 0.3) & (red > 1.25 * green) & (blue > 1.1 * green) & ~black
    is_blue = (red > 0.4) & (red > 1.2 * green) & (blue < 0.45 * red)
    is_red = (green > 1.5) & (red < 0.2 * green) & (blue > 0.7 * green)
    ink = black | is_green | is_blue | is_red
    return {
        "white": most < 0.12,
        "grey": (most >= 0.12) & (least <= 0.9) & (most - least < 0.25 * most),
        "blood": (green > 0.7) & (red < 0.4 * green) & (blue > 0.8 * green) & ~is_red,
        "dense": (most > 1.05) & ~ink,
        "blue": is_blue,
        "green": is_green,
        "red": is_red,
        "black": black,
    }


@lru_cache(maxsize=1)
def kind_table() -> U8:
    """The kinds of every colour of 6 bits a channel, bits in the order of `KINDS`; blue runs fastest: uint8 (262144,)."""
    level = np.arange(64) * 4 + 2  # four levels share an entry: the middle one decides
    cube = densities(np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1))
    kinds = kinds_of(cube)
    table = sum((kinds[name].astype(np.uint8) << bit for bit, name in enumerate(KINDS)), np.zeros(cube.shape[:3], np.uint8))
    table = table.reshape(-1)
    return table


@lru_cache(maxsize=1)
def ink_mask() -> int:
    """The bits of all inks."""
    return sum(1 << KINDS.index(name) for name in INKS)


@lru_cache(maxsize=1)
def density_table(scale: int) -> Ints:
    """Optical density of every grey level in whole numbers of 1 / `scale`, int64 (256,): sums of them are exact."""
    table = np.rint(densities(np.arange(256)) * scale).astype(np.int64)
    return table


@lru_cache(maxsize=1)
def unmixing() -> tuple[list[float], list[float]]:
    """What red, green and blue density add to that of haematoxylin, and to that of eosin, along unit vectors."""
    vectors = np.array([HAEMATOXYLIN, EOSIN, RESIDUAL])
    inverse = np.linalg.inv(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return inverse[:, 0].tolist(), inverse[:, 1].tolist()
