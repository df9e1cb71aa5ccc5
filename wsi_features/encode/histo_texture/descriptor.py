"""The descriptor of one tile: all groups of features in their fixed order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.encode.histo_texture import colour, layout, nuclei, scales, texture
from wsi_features.encode.histo_texture.planes import Image, stain_planes

FEATURE_NAMES: tuple[str, ...] = (*colour.NAMES, *texture.NAMES, *nuclei.NAMES, *scales.NAMES, *layout.NAMES)
"""One name per dimension, in order."""

DIM = len(FEATURE_NAMES)


def tile_descriptor(rgb: Image) -> npt.NDArray[np.float32]:
    """The descriptor of one tile, float32 (DIM,).

    `rgb` is uint8 (h, w, 3), at least 64 pixels wide and high.
    """
    planes = stain_planes(rgb)
    groups = [
        colour.colour_features(planes),
        texture.texture_features(planes),
        nuclei.nuclei_features(planes),
        scales.scale_features(planes),
        layout.layout_features(planes),
    ]
    return np.concatenate(groups).astype(np.float32)
