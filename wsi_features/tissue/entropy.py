"""Local entropy: how many bits the grey levels around a pixel take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BINS, _BIN_LEVELS = 16, 16


def local_entropy(plane: npt.NDArray[np.uint8], width: float) -> npt.NDArray[np.float32]:
    """Entropy in bits of the grey levels in a square window `width` pixels wide, float32 (h, w).

    Levels are counted in bins of 16 with linear weights, from white down, so that noise of bare glass, which white
    is the middle of, stays in one bin. Windows move by two pixels, and what lies between is interpolated.
    """
    import cv2

    height, rest = plane.shape
    half = (max(1, rest // 2), max(1, height // 2))
    odd = 2 * round((max(width / 2, 3) - 1) / 2) + 1
    place = (255 - np.arange(256, dtype=np.float32)) / _BIN_LEVELS
    bits = np.zeros(half[::-1], np.float32)
    for k in range(_BINS):
        weight = cv2.LUT(plane, np.maximum(0, 1 - np.abs(place - k)))
        share = cv2.blur(cv2.resize(weight, half, interpolation=cv2.INTER_AREA), (odd, odd))
        bits -= share * cv2.log(np.maximum(share, np.float32(1e-6))) * np.float32(1 / np.log(2))
    return np.asarray(cv2.resize(bits, (rest, height), interpolation=cv2.INTER_LINEAR), np.float32)
