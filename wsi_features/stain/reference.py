"""The stain formulas written plainly in float64: the slow twin that the fast code must agree with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.stain.transform import (
    GLASS_FROM,
    GLASS_TO,
    LAB_UNITS,
    LAB_ZEROS,
    LOG_WHITE,
    WHITE,
    Reinhard,
    StainMatrix,
)

Pixels8 = npt.NDArray[np.uint8]


def optical_density(pixels: Pixels8) -> npt.NDArray[np.float64]:
    """-ln(pixel / 255) of any shape; 0 is read as 1, so black has a finite density."""
    return np.asarray(LOG_WHITE - np.log(np.maximum(pixels, 1), dtype=np.float64))


def plain_stain_matrix(transform: StainMatrix, pixels: Pixels8) -> Pixels8:
    """`StainMatrix.apply` step by step: least squares, rescaling, Beer-Lambert."""
    density = optical_density(pixels).reshape(-1, 3)
    concentration = np.linalg.lstsq(np.array(transform.source.stains).T, density.T, rcond=None)[0].T
    gain = np.array(transform.target.max_concentration) / np.array(transform.source.max_concentration)
    # A pixel cannot be brighter than white, so its density is not below 0.
    mixed = np.maximum((concentration * gain) @ np.array(transform.target.stains), 0)
    return np.asarray(np.rint(WHITE * np.exp(-mixed)), dtype=np.uint8).reshape(pixels.shape)


def plain_reinhard(transform: Reinhard, pixels: Pixels8) -> Pixels8:
    """`Reinhard.apply` step by step, between OpenCV's two colour conversions."""
    import cv2

    lab = cv2.cvtColor(pixels.reshape(1, -1, 3), cv2.COLOR_RGB2LAB)[0].astype(np.float64)
    centred = (lab - LAB_ZEROS) / LAB_UNITS
    source, target = transform.source, transform.target
    moved = (centred - source.mean) / source.std * target.std + target.mean
    neutral = -np.array(source.mean) / source.std * target.std + target.mean

    faded = np.clip((lab[:, :1] - GLASS_FROM) / (GLASS_TO - GLASS_FROM), 0, 1)
    moved[:, 1:] -= faded * neutral[1:]
    knee = GLASS_FROM / 2.55
    top = np.clip((knee - source.mean[0]) / source.std[0] * target.std[0] + target.mean[0], 0, 100)
    rising = top + (centred[:, 0] - knee) / (100 - knee) * (100 - top)
    moved[:, 0] = np.where(lab[:, 0] > GLASS_FROM, rising, moved[:, 0])

    back = np.rint(np.clip(moved * LAB_UNITS + LAB_ZEROS, 0, WHITE)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(back[None], cv2.COLOR_LAB2RGB), dtype=np.uint8).reshape(pixels.shape)
