"""The planes of one tile: stain densities and luminance as 8-bit images.

Every group of features starts from these. Eight bits are enough for statistics of
thousands of pixels, and make histograms and table look-ups the fastest route.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float64]


class Feature(NamedTuple):
    """One dimension: its name, and the value and spread that tissue typically has.

    Typical values are rounded from one scanned and two synthetic H&E slides at 0.5 um/px,
    each counted alike. They only bring all dimensions to one scale, and are never fitted.
    """

    name: str
    typical: float
    spread: float


HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)
"""Optical density of the two stains in red, green and blue (Ruifrok & Johnston 2001)."""

LEVELS_PER_OD = (128.0, 256.0, 256.0)
"""8-bit levels per decade of optical density: haematoxylin, eosin, residual."""
ZERO_LEVEL = (0.0, 0.0, 128.0)
"""The level of no stain; the residual is signed, so its zero lies in the middle."""


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """One tile: `rgb` uint8 (h, w, 3), the others uint8 (h, w)."""

    rgb: Image
    haematoxylin: Image
    eosin: Image
    residual: Image
    luminance: Image


def opencv() -> ModuleType:
    """OpenCV without its type stubs, which refuse numbers where the library takes them."""
    import cv2

    return cv2


def stain_planes(rgb: Image) -> Planes:
    """Separate haematoxylin, eosin and what neither explains, by a fixed colour deconvolution.

    `rgb` is uint8 (h, w, 3). The stain vectors are never fitted, so equal pixels give equal
    planes on every slide. Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23:291.
    """
    cv2 = opencv()
    tile = np.ascontiguousarray(rgb)
    densities = cv2.transform(cv2.LUT(tile, _density_table()), _unmixing())
    levels = cv2.add(densities, (*ZERO_LEVEL, 0.0), dtype=cv2.CV_8U)  # rounds and saturates in one pass
    haematoxylin, eosin, residual = cv2.split(levels)
    return Planes(tile, haematoxylin, eosin, residual, cv2.cvtColor(tile, cv2.COLOR_RGB2GRAY))


def halved(image: Image) -> Image:
    """The image at half its width and height, each pixel the mean of 2 x 2."""
    cv2 = opencv()
    height, width = image.shape[:2]
    small: Image = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return small


def pyramid(image: Image, levels: int) -> tuple[Image, ...]:
    """The image and its repeated halvings, finest first."""
    steps = [image]
    for _ in range(levels - 1):
        steps.append(halved(steps[-1]))
    return tuple(steps)


def histogram(*images: Image) -> Values:
    """Pixel counts of the 256 levels over all `images` together, float64 (256,)."""
    cv2 = opencv()
    counts = cv2.calcHist(images[:1], [0], None, [256], [0, 256])
    for image in images[1:]:
        cv2.calcHist([image], [0], None, [256], [0, 256], hist=counts, accumulate=True)
    return np.asarray(counts[:, 0], dtype=np.float64)


@cache
def _density_table() -> npt.NDArray[np.float32]:
    """Optical density of each 8-bit intensity; 255 is clear glass, 0 counts as one level."""
    return np.asarray(np.log10(256.0 / (np.arange(256) + 1.0)), dtype=np.float32)


@cache
def _unmixing() -> npt.NDArray[np.float32]:
    """Rows that turn RGB density into levels of the three planes, before `ZERO_LEVEL` is added."""
    stains = np.array([HAEMATOXYLIN, EOSIN])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    residual = np.cross(stains[0], stains[1])
    mixing = np.vstack([stains, residual / np.linalg.norm(residual)])
    return np.asarray(np.linalg.inv(mixing).T * np.array(LEVELS_PER_OD)[:, None], dtype=np.float32)
