"""Colour statistics of one tile: how much of each stain there is, and which hues.

All of them come from 256-bin histograms, so none depends on where a pixel lies.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from wsi_features.encode.histo_texture.planes import Feature, Image, Planes, Values, halved, histogram, opencv

PERCENTILES = (5, 25, 50, 75, 95)
TISSUE_BELOW = 220
"""A pixel is tissue when its darkest channel lies below this level; glass is at 225 and more."""
COLOURFUL = 25
"""Least saturation of a pixel whose hue means something."""

_MOMENTS = ("mean", "std", "skew")
_QUANTILES = tuple(f"p{share:02d}" for share in PERCENTILES)
_TYPICAL = {
    "h": ((38, 17), (33, 12), (0.6, 0.15), (9, 6), (16, 10), (26, 15), (50, 30), (100, 38)),
    "e": ((31, 13), (24, 9), (0.25, 0.4), (3, 6), (13, 14), (27, 17), (46, 16), (70, 22)),
    "r": ((150, 8), (13, 7), (0.15, 0.3), (138, 6), (144, 9), (150, 10), (158, 10), (175, 17)),
    "saturation": ((79, 21), (38, 14), (0, 0.3)),
    "value": ((190, 23), (37, 12), (-0.4, 0.3)),
    "lab_l": ((160, 26), (45, 16), (-0.2, 0.3)),
    "lab_a": ((150, 8), (11, 4), (0, 0.35)),
    "lab_b": ((115, 6), (8, 2), (-0.4, 0.3)),
}
FEATURES = (
    *(
        Feature(f"{plane}_{name}", *scale)
        for plane, scales in _TYPICAL.items()
        for name, scale in zip((*_MOMENTS, *_QUANTILES)[: len(scales)], scales, strict=True)
    ),
    Feature("hue_cos", 0.5, 0.2),
    Feature("hue_sin", -0.5, 0.2),
    Feature("h_e_correlation", -0.1, 0.5),
    Feature("tissue_share", 0.8, 0.2),
)


def colour_features(planes: Planes) -> Values:
    """The values of `FEATURES`, float64: levels 0 to 255, and shares and correlations as they are."""
    cv2 = opencv()
    coarse = halved(planes.rgb)  # hues at half resolution: JPEG keeps no finer ones
    hue, saturation, value = cv2.split(cv2.cvtColor(coarse, cv2.COLOR_RGB2HSV))
    lab = cv2.split(cv2.cvtColor(coarse, cv2.COLOR_RGB2LAB))
    measured = (planes.haematoxylin, planes.eosin, planes.residual, saturation, value, *lab)
    counts = np.stack([histogram(plane) for plane in measured])
    moments, stains = _moments(counts), counts[:3]
    of_stains = np.concatenate([moments[:3], _percentiles(stains)], axis=1)
    rest = [*_mean_hue(hue, saturation), _correlation(planes, stains), _tissue_share(planes.rgb)]
    return np.concatenate([of_stains.ravel(), moments[3:].ravel(), rest])


def _moments(counts: Values) -> Values:
    """Mean, standard deviation and skewness of (k, 256) histograms, as (k, 3).

    Skewness s is given as s / (1 + |s|), in -1 to 1; a spread below one level counts as one level.
    """
    shares = counts / counts.sum(axis=1, keepdims=True)
    levels = np.arange(256.0)
    mean = (shares * levels).sum(axis=1)
    away = levels - mean[:, None]
    spread = np.sqrt((shares * away**2).sum(axis=1))
    skew = (shares * away * away * away).sum(axis=1) / np.maximum(spread, 1.0) ** 3
    return np.stack([mean, spread, skew / (1 + np.abs(skew))], axis=1)


def _percentiles(counts: Values) -> Values:
    """`PERCENTILES` of (k, 256) histograms, as (k, 5): the lowest level that reaches the share."""
    reached = counts.cumsum(axis=1)
    wanted = np.array(PERCENTILES) / 100 * reached[:, -1:]
    return np.asarray((reached[:, None, :] < wanted[:, :, None]).sum(axis=2), dtype=np.float64)


def _mean_hue(hue: Image, saturation: Image) -> tuple[float, float]:
    """Cosine and sine of the hue, averaged over all pixels; a colourless pixel counts as 0."""
    cv2 = opencv()
    colourful = cv2.compare(saturation, COLOURFUL, cv2.CMP_GE)
    counts = cv2.calcHist([hue], [0], colourful, [180], [0, 180])[:, 0].astype(np.float64)
    cosine, sine = _hue_circle()
    return float((counts * cosine).sum()) / hue.size, float((counts * sine).sum()) / hue.size


@cache
def _hue_circle() -> tuple[Values, Values]:
    """Cosine and sine of the 180 hues that OpenCV distinguishes."""
    angles = np.arange(180) * np.pi / 90
    return np.cos(angles), np.sin(angles)


def _correlation(planes: Planes, stains: Values) -> float:
    """Correlation of haematoxylin and eosin over the pixels; 0 where either is flat."""
    cv2 = opencv()
    levels, pixels = np.arange(256.0), planes.luminance.size
    first = (stains[:2] * levels).sum(axis=1) / pixels
    second = (stains[:2] * levels**2).sum(axis=1) / pixels
    variance = second - first**2
    apart = cv2.norm(planes.haematoxylin, planes.eosin, cv2.NORM_L2SQR) / pixels
    covariance = (second.sum() - apart) / 2 - first[0] * first[1]
    return float(covariance / max(np.sqrt(variance[0] * variance[1]), 1.0))


def _tissue_share(rgb: Image) -> float:
    """Share of pixels that are not glass."""
    cv2 = opencv()
    red, green, blue = cv2.split(rgb)
    darkest = cv2.min(cv2.min(red, green), blue)
    return float(cv2.countNonZero(cv2.compare(darkest, TISSUE_BELOW, cv2.CMP_LT)) / darkest.size)
