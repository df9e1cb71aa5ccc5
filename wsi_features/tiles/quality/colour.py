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

DENSITY_STEP = 1e-4
"""Densities are summed in whole steps of this: exact, and faster than floating point."""

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
    """The kinds of every colour of 6 bits a channel, bits in the order of `KINDS`: uint8 (64, 64, 64), red, green, blue."""
    level = np.arange(64) * 4 + 2  # four levels share an entry: the middle one decides
    cube = densities(np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1))
    kinds = kinds_of(cube)
    table = np.zeros(cube.shape[:3], np.uint8)
    for bit, name in enumerate(KINDS):
        table |= kinds[name].astype(np.uint8) << np.uint8(bit)
    return table


@lru_cache(maxsize=1)
def _spread_table() -> U8:
    """`kind_table` where blue, green and red take a byte of an entry's number each: (64 * 256 * 256,), most never looked at.

    So a packed pixel is an entry's number after one shift and one mask, not eight steps: 7 us a tile instead of 15.
    """
    spread = np.zeros((64, 256, 256), np.uint8)
    spread[:, :64, :64] = kind_table()
    return spread.reshape(-1)


def colour_kinds(rgb: U8) -> U8:
    """The kinds of every pixel of tiles (b, h, w, 3) as bits, uint8 (b, h * w)."""
    import cv2

    tall = rgb.reshape(-1, *rgb.shape[2:])
    entry = cv2.cvtColor(tall, cv2.COLOR_RGB2BGRA).view(np.int32).reshape(len(rgb), -1)  # the first byte is blue
    entry >>= 2
    entry &= 0x3F3F3F
    return _spread_table().take(entry.astype(np.intp), mode="clip")  # all are inside; `clip` does not ask for each


def kind_shares(kinds: U8) -> F64:
    """Shares (b, 9) of the pixels (b, n) of each kind in the order of `KINDS`, and in the end of any ink."""
    import cv2

    tiles, pixels = kinds.shape
    rows = np.asarray(cv2.transpose(kinds), np.uint8).reshape(pixels, tiles)  # a tile a column: one sum counts for all
    bits = np.unpackbits(rows.reshape(-1), bitorder="little").reshape(pixels, -1)
    ink = (rows & np.uint8(INK_BITS) > 0).view(np.uint8)
    of_kinds, of_ink = (cv2.reduce(each, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S) for each in (bits, ink))
    return np.asarray(np.hstack([of_kinds.reshape(tiles, -1), of_ink.reshape(tiles, 1)]) / pixels)


@lru_cache(maxsize=1)
def density_table() -> npt.NDArray[np.uint16]:
    """Optical density of every grey level in `DENSITY_STEP`s, as OpenCV's LUT takes it: (1, 256, 1)."""
    return np.rint(densities(np.arange(256)) / DENSITY_STEP).astype(np.uint16).reshape(1, 256, 1)


@lru_cache(maxsize=1)
def unmixing() -> F64:
    """What red, green and blue density (rows) add to that of haematoxylin and of eosin, along unit vectors: (3, 2)."""
    vectors = np.array([HAEMATOXYLIN, EOSIN, RESIDUAL])
    inverse: F64 = np.linalg.inv(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return np.ascontiguousarray(inverse[:, :2])
