"""Texture of one tile: local binary patterns and grey-level co-occurrence.

Both forget position and tolerate rotation: patterns are counted whatever way they
are turned, and co-occurrence is averaged over four directions.
"""

from __future__ import annotations

from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from wsi_features.encode.histo_texture.planes import Feature, Image, Planes, Values, histogram, opencv, pyramid

_Level = TypeVar("_Level", np.uint8, np.uint16)

RING = ((1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1))
"""Steps (x, y) to the eight neighbours, once round the pixel."""
PATTERN_SCALES = (1, 2, 4)
"""Radii of the patterns in tile pixels: radius 1 on the tile, its half and its quarter."""
PATTERNS = 10
MARGIN = 3
"""Levels by which a neighbour may be darker and still count as equal."""

GREY_LEVELS = 16
PAIR_STEPS = ((2, 1), (2, 2), (4, 2))
"""Tile pixels per pixel, and distance in those: 2, 4 and 8 tile pixels apart.

Eosin at full size would cost a tenth of the descriptor's time, for details that JPEG has
already averaged over 2 x 2 pixels.
"""

_TYPICAL_PATTERNS = (
    (0.15, 0.06),
    (0.19, 0.055),
    (0.16, 0.05),
    (0.23, 0.06),
    (0.31, 0.07),
    (0.32, 0.07),
    (0.265, 0.065),
    (0.295, 0.065),
    (0.6, 0.15),
    (0.285, 0.07),
)
_TYPICAL_PROPERTIES = {
    "contrast": (1.2, 0.5),
    "dissimilarity": (0.6, 0.25),
    "homogeneity": (0.7, 0.14),
    "energy": (0.35, 0.14),
    "correlation": (0.73, 0.17),
    "entropy": (3.0, 0.75),
}
FEATURES = tuple(
    Feature(f"lbp_{plane}_r{radius}_bin{pattern}", *scale)
    for plane in ("h", "luminance")
    for radius in PATTERN_SCALES
    for pattern, scale in enumerate(_TYPICAL_PATTERNS)
) + tuple(
    Feature(f"glcm_{plane}_d{scale * distance}_{name}", *typical)
    for plane in ("h", "e")
    for scale, distance in PAIR_STEPS
    for name, typical in _TYPICAL_PROPERTIES.items()
)


def texture_features(planes: Planes) -> Values:
    """The values of `FEATURES`, float64.

    Pattern shares come as their square roots, so that rare patterns count (Hellinger
    distance), contrast and dissimilarity as log1p.
    """
    cv2 = opencv()
    wanted = (planes.haematoxylin, planes.eosin, planes.luminance)
    dark, eosin, light = (pyramid(plane, len(PATTERN_SCALES)) for plane in wanted)
    both = [cv2.merge(steps) for steps in zip(dark, light, strict=True)]  # one pass takes half the calls of two
    patterns = np.stack([pattern_shares(pattern_labels(step)) for step in both], axis=1)
    pairs = [
        cooccurrence(grey_levels(steps[scale // 2]), distance)
        for steps in (dark, eosin)
        for scale, distance in PAIR_STEPS
    ]
    properties = haralick(np.stack(pairs))
    properties[:, :2] = np.log1p(properties[:, :2])
    return np.concatenate([np.sqrt(patterns).ravel(), properties.ravel()])


def pattern_labels(image: Image, margin: int = MARGIN) -> Image:
    """The rotation-invariant uniform pattern of radius 1 round each inner pixel.

    `image` is uint8 (h, w) or (h, w, c), the labels are uint8 (h-2, w-2) or (h-2, w-2, c). 0 to 8
    is the number of neighbours not darker than the pixel by more than `margin` levels, where
    these follow each other on the ring; 9 is any other pattern. Neighbours on the diagonal are
    interpolated bilinearly, in 1/256 steps so that equal levels stay equal. Ojala, Pietikainen
    and Maenpaa 2002, IEEE TPAMI 24:971; the margin is that of Heikkila and Pietikainen 2006,
    IEEE TPAMI 28:657, without which rounding and noise decide the label of even areas.
    """
    cv2 = opencv()
    inner = cv2.subtract(_shifted(image, 0, 0), float(margin))
    wide = image.astype(np.uint16)
    # Bilinear weights at (0.7071, 0.7071): 128 for the corner, 53 for each side, 22 for the pixel itself.
    side, corner = wide * np.uint16(53), wide * np.uint16(128)
    centre = cv2.subtract(_shifted(wide, 0, 0) * np.uint16(256 - 22), float(256 * margin))
    codes = np.zeros(inner.shape, np.uint8)
    for x, y in RING:
        if x and y:
            blend = cv2.add(cv2.add(_shifted(side, x, 0), _shifted(side, 0, y)), _shifted(corner, x, y))
            brighter = cv2.compare(blend, centre, cv2.CMP_GE)
        else:
            brighter = cv2.compare(_shifted(image, x, y), inner, cv2.CMP_GE)
        codes += codes
        codes -= brighter  # 255 is -1 in eight bits: sets the lowest bit
    labels: Image = cv2.LUT(codes, _uniform_table())
    return labels


def pattern_shares(labels: Image) -> Values:
    """Share of each of the ten patterns in each channel of (h, w, c) labels, float64 (c, 10)."""
    cv2 = opencv()
    counts = np.stack([histogram(channel)[:PATTERNS] for channel in cv2.split(labels)])
    return np.asarray(counts / labels[..., 0].size)


def grey_levels(plane: Image) -> Image:
    """The plane in `GREY_LEVELS` steps, finer where there is little stain: most of a tile is faint."""
    cv2 = opencv()
    levels: Image = cv2.LUT(plane, _grey_table())
    return levels


def cooccurrence(grey: Image, distance: int) -> Values:
    """How often two grey levels lie `distance` pixels apart, as shares (256,) of level pairs.

    Symmetric, over all pairs in the four directions 0, 45, 90 and 135 degrees. Pair (a, b)
    stands at 16 a + b. Haralick, Shanmugam and Dinstein 1973, IEEE Trans SMC 3:610.
    """
    cv2 = opencv()
    first = grey * np.uint8(GREY_LEVELS)
    oblique = round(distance / np.sqrt(2))
    steps = ((distance, 0), (oblique, oblique), (0, distance), (-oblique, oblique))
    counts = histogram(*(cv2.add(_lead(first, x, y), _lead(grey, -x, -y)) for x, y in steps))
    square = counts.reshape(GREY_LEVELS, GREY_LEVELS)
    return np.asarray((square + square.T) / (2 * counts.sum())).ravel()


def haralick(pairs: Values) -> Values:
    """Haralick properties of co-occurrence shares (k, 256), as (k, 6), in their usual units.

    Contrast, dissimilarity, homogeneity, energy, correlation and entropy (natural logarithm).

    The correlation of a plane flatter than a tenth of a grey level shrinks towards 0,
    because it would be decided by single pixels.
    """
    apart, row, column = _pair_tables()
    weights = np.stack([apart**2, apart, 1 / (1 + apart**2)])
    sums = (pairs[:, None, :] * weights).sum(axis=2)
    energy = np.sqrt((pairs**2).sum(axis=1))
    mean = (pairs * row).sum(axis=1)
    variance = (pairs * row**2).sum(axis=1) - mean**2
    covariance = (pairs * row * column).sum(axis=1) - mean**2
    correlation = covariance / np.maximum(variance, 0.01)
    entropy = -(pairs * np.log(np.maximum(pairs, 1e-12))).sum(axis=1)
    return np.column_stack([sums, energy, correlation, entropy])


def _shifted(image: npt.NDArray[_Level], x: int, y: int) -> npt.NDArray[_Level]:
    """The inner pixels' neighbours at step (x, y), as a view (h-2, w-2)."""
    height, width = image.shape[:2]
    return image[1 + y : height - 1 + y, 1 + x : width - 1 + x]


def _lead(image: Image, x: int, y: int) -> Image:
    """The pixels that have another one at step (x, y), as a view."""
    height, width = image.shape
    return image[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]


@cache
def _uniform_table() -> Image:
    """Pattern of each ring code: its number of set bits, or 9 when they change more than twice."""
    bits = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), PATTERNS - 1).astype(np.uint8)


@cache
def _grey_table() -> Image:
    """Steps of the square root of v + 32: 8 levels wide at no stain, where less would be noise, and 24 at full stain."""
    root = np.sqrt(np.arange(257) + 32.0)
    return np.asarray(np.floor(GREY_LEVELS * (root - root[0]) / (root[-1] - root[0]))[:-1], dtype=np.uint8)


@cache
def _pair_tables() -> tuple[Values, Values, Values]:
    """Distance, first and second grey level of each pair."""
    row, column = (axis.ravel().astype(np.float64) for axis in np.indices((GREY_LEVELS, GREY_LEVELS)))
    return np.abs(row - column), row, column
