"""Local entropy: how many bits the grey levels around a pixel take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BINS, _BIN_LEVELS = 16, 16


def local_entropy(
    plane: npt.NDArray[np.uint8], width: float, unusable: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Entropy in bits of the grey levels in a square window `width` pixels wide, float32 (h, w).

    Levels are counted in bins of 16 with linear weights, from white down, so that noise of bare glass, which white
    is the middle of, stays in one bin. Pixels that are `unusable` count as white.
    """
    import cv2

    odd = 2 * round((max(width, 3) - 1) / 2) + 1
    place = (255 - np.where(unusable, np.uint8(255), plane)).astype(np.float32) / _BIN_LEVELS
    bits = np.zeros(plane.shape, np.float32)
    for k in range(_BINS):
        weight = np.maximum(0, 1 - np.abs(place - k))
        share = cv2.blur(weight, (odd, odd))
        bits -= share * np.log2(np.maximum(share, 1e-6))
    return bits
