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

WHITE_LEVEL = 240.0
"""Grey level of no density, as Macenko et al. 2009 (ISBI) use it; anything brighter has none either."""

KINDS = ("white", "grey", "blood", "dense", "blue", "green", "red", "black")
"""What bit 0, 1, ... of a colour's entry says."""
INK_BITS = sum(1 << KINDS.index(name) for name in ("blue", "green", "red", "black"))

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
    table = np.zeros(cube.shape[:3], np.uint8)
    for bit, name in enumerate(KINDS):
        table |= kinds[name].astype(np.uint8) << np.uint8(bit)
    return table.reshape(-1)


def colour_kinds(rgb: U8) -> U8:
    """The kinds of every pixel of tiles (b, h, w, 3) as bits, uint8 (b, h * w)."""
    import cv2

    tiles, height, width, _ = rgb.shape
    tall = rgb.reshape(tiles * height, width, 3)
    packed = cv2.cvtColor(tall, cv2.COLOR_RGB2BGRA).view(np.uint32).reshape(tiles, height * width)  # blue comes first
    return kind_table().take(((packed >> 2) & 0x3F) | ((packed >> 4) & 0xFC0) | ((packed >> 6) & 0x3F000))


def kind_shares(kinds: U8) -> F64:
    """Shares (b, 9) of the pixels (b, n) of each kind in the order of `KINDS`, and in the end of any ink."""
    tiles, pixels = kinds.shape
    counts = np.bincount((kinds + 256 * np.arange(tiles)[:, None]).reshape(-1), minlength=256 * tiles)
    shares: F64 = counts.reshape(tiles, 256) @ _bits() / pixels  # sums of whole numbers: exact in any order
    return shares


@lru_cache(maxsize=1)
def _bits() -> F64:
    """Which kinds an entry of the table stands for, (256, 9)."""
    entry = np.arange(256)[:, None]
    return np.hstack([(entry >> np.arange(len(KINDS))) & 1, (entry & INK_BITS) > 0]).astype(np.float64)


@lru_cache(maxsize=1)
def density_table() -> npt.NDArray[np.float32]:
    """Optical density of every grey level, as OpenCV's LUT takes it: (1, 256, 1)."""
    return densities(np.arange(256)).astype(np.float32).reshape(1, 256, 1)


@lru_cache(maxsize=1)
def unmixing() -> tuple[list[float], list[float]]:
    """What red, green and blue density add to that of haematoxylin, and to that of eosin, along unit vectors."""
    vectors = np.array([HAEMATOXYLIN, EOSIN, RESIDUAL])
    inverse = np.linalg.inv(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return inverse[:, 0].tolist(), inverse[:, 1].tolist()
