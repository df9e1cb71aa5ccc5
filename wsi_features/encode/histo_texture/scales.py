"""Energy of one tile per scale, and the direction of its fibres."""

from __future__ import annotations

import numpy as np

from wsi_features.encode.histo_texture.planes import Feature, Image, Planes, Values, opencv, pyramid

BANDS = 5
DIRECTION_SCALES = (2, 4)
"""Where gradients are measured, in tile pixels per pixel: below 2 they are mostly noise."""

_TYPICAL_DIRECTION = {
    "h": {"magnitude": (2.8, 0.4), "coherence": (0.45, 0.14), "alignment": (0.25, 0.18)},
    "e": {"magnitude": (2.3, 0.4), "coherence": (0.5, 0.14), "alignment": (0.25, 0.18)},
}
FEATURES = (
    *(
        Feature(f"band_{plane}_{2**band}px", typical, 0.45)
        for plane, typical in (("h", 2.5), ("e", 2.1))
        for band in range(BANDS)
    ),
    *(
        Feature(f"gradient_{plane}_{scale}px_{name}", *typical)
        for plane, names in _TYPICAL_DIRECTION.items()
        for scale in DIRECTION_SCALES
        for name, typical in names.items()
    ),
)


def scale_features(planes: Planes) -> Values:
    """The values of `FEATURES`, float64."""
    steps = [pyramid(plane, BANDS) for plane in (planes.haematoxylin, planes.eosin)]
    bands = [_band_energy(step) for of_plane in steps for step in of_plane]
    directions = [_direction(of_plane[scale // 2]) for of_plane in steps for scale in DIRECTION_SCALES]
    return np.concatenate([bands, *directions])


def _band_energy(image: Image) -> float:
    """Root mean square of what a 5 x 5 binomial blur takes away (Burt & Adelson 1983), as log1p."""
    cv2 = opencv()
    lost = cv2.norm(image, cv2.GaussianBlur(image, (5, 5), 0), cv2.NORM_L2)
    return float(np.log1p(lost / np.sqrt(image.size)))


def _direction(image: Image) -> Values:
    """Mean gradient, and how far gradients agree in direction within 9 x 9 pixels and in the whole tile.

    Agreement is the anisotropy of the structure tensor (Bigun & Granlund 1987), weighted by
    its trace: 0 for isotropic texture, 1 for parallel fibres.
    """
    cv2 = opencv()
    x, y = cv2.Sobel(image, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(image, cv2.CV_32F, 0, 1, scale=0.125)
    xx, yy, xy = cv2.multiply(x, x), cv2.multiply(y, y), cv2.multiply(x, y)
    difference, twice = cv2.subtract(xx, yy), cv2.add(xy, xy)
    energy = float(cv2.mean(xx)[0] + cv2.mean(yy)[0])
    # Not cv2.magnitude: its last bit depends on where the arrays lie in memory.
    local = np.sqrt(np.square(cv2.blur(difference, (9, 9))) + np.square(cv2.blur(twice, (9, 9))))
    whole = np.hypot(cv2.mean(difference)[0], cv2.mean(twice)[0])
    floor = energy + 0.01  # keeps the ratio of a flat tile at 0
    return np.array([np.log1p(np.sqrt(energy)), float(cv2.mean(local)[0]) / floor, float(whole) / floor])
