"""The descriptor of one tile: all groups of features in their fixed order, on one scale."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from wsi_features.encode.histo_texture import colour, layout, nuclei, scales, texture
from wsi_features.encode.histo_texture.planes import Image, Values, stain_planes

VERSION = 1
"""Raised whenever any value changes for the same pixels; the card carries it into every fingerprint."""

FEATURES = (*colour.FEATURES, *texture.FEATURES, *nuclei.FEATURES, *scales.FEATURES, *layout.FEATURES)
FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)
"""One name per dimension, in order."""

DIM = len(FEATURES)
BOUND = 4.0
"""No value lies beyond it."""


def tile_descriptor(rgb: Image) -> npt.NDArray[np.float32]:
    """The descriptor of one tile, float32 (DIM,), of finite values within `BOUND`.

    `rgb` is uint8 (h, w, 3), at least 64 pixels wide and high. A value v of a feature comes as
    z = (v - typical) / spread, bent towards the bound by 4 tanh(z / 4).
    """
    planes = stain_planes(rgb)
    groups = [
        colour.colour_features(planes),
        texture.texture_features(planes),
        nuclei.nuclei_features(planes),
        scales.scale_features(planes),
        layout.layout_features(planes),
    ]
    typical, spread = _scale()
    return (BOUND * np.tanh((np.concatenate(groups) - typical) / (spread * BOUND))).astype(np.float32)


@cache
def _scale() -> tuple[Values, Values]:
    """Typical values and spreads of all features."""
    table = np.array([(feature.typical, feature.spread) for feature in FEATURES], dtype=np.float64)
    return table[:, 0], table[:, 1]
