"""Focus and compression of one tile [hot]: what its grey levels say of blur and of JPEG blocks.

All of it is made of sums of integers, which are exact: a number depends on nothing but the tile.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]

SHARPNESS_MPP = 0.5
"""Scale at which sharpness is judged, um/px; finer tiles are halved towards it, coarser ones judged as they are."""
MID_LAG = 8
"""Distance in pixels of that scale (4 um) whose contrast the finest is compared with."""
LEAST_CONTRAST = 16.0
"""Mean squared difference at `MID_LAG`, in squared grey levels, below which there is nothing to be sharp."""
JPEG_BLOCK = 8
"""Width of a JPEG block in pixels."""

_NAN = float("nan")


def laplacian_variance(grey: U8) -> float:
    """Variance of the Laplacian of grey levels (h, w), at every fourth row: Pech-Pacheco et al. 2000, ICPR 3:314.

    It grows with contrast and with the fineness of the scan: compare tiles of one slide by it, not slides.
    """
    import cv2

    if min(grey.shape) < 3:
        return _NAN
    above, centre, below = (grey[k : len(grey) - 2 + k : 4].astype(np.int16) for k in range(3))
    beside = cv2.add(centre[:, :-2], centre[:, 2:])
    over = cv2.add(above[:, 1:-1], below[:, 1:-1])
    values = cv2.subtract(cv2.add(beside, over), centre[:, 1:-1] << 2)
    count = values.shape[0] * values.shape[1]
    return float(cv2.norm(values, cv2.NORM_L2SQR) / count - (cv2.sumElems(values)[0] / count) ** 2)


def sharpness(grey: U8, mpp: float) -> float:
    """Contrast of neighbouring pixels as a share of that 4 um apart: about 2 for noise, towards 0 for blur.

    Mean squared differences along x and y of the tile at about 0.5 um/px, so that neither contrast nor, within
    limits, the resolution of the scan matters. NaN where the tile is too small or too flat to tell.
    """
    import cv2

    small = halved(grey, halvings(mpp, SHARPNESS_MPP))
    height, width = small.shape
    if min(height, width) <= MID_LAG:
        return _NAN

    def contrast(lag: int) -> float:
        across = cv2.norm(small[:, lag:], small[:, :-lag], cv2.NORM_L2SQR)
        down = cv2.norm(small[lag:], small[:-lag], cv2.NORM_L2SQR)
        return float((across + down) / ((height - lag) * width + height * (width - lag)))

    coarse = contrast(MID_LAG)
    return contrast(1) / coarse if coarse >= LEAST_CONTRAST else _NAN


def blockiness(grey: U8) -> float:
    """Steps across the borders of 8 px blocks over the steps elsewhere: about 1 without JPEG blocks, more with them.

    The mean of both axes (along x of every second row), after Wang, Sheikh and Bovik 2002, ICIP 1:477. Tiles need not begin where blocks do, so
    the strongest of the eight phases is taken, which by chance alone is a little above 1. Only for pixels as they
    were decoded: resampling moves and smooths the borders. NaN where the tile is too small or has no steps.
    """
    import cv2

    if min(grey.shape) < 4 * JPEG_BLOCK:
        return _NAN
    across = cv2.reduce(cv2.absdiff(grey[::2, 1:], grey[::2, :-1]), 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    down = cv2.reduce(cv2.absdiff(grey[1:], grey[:-1]), 1, cv2.REDUCE_SUM, dtype=cv2.CV_32S)
    return (_border_ratio(across) + _border_ratio(down)) / 2


def _border_ratio(steps: npt.NDArray[np.generic]) -> float:
    """The sum of the strongest phase over the mean of the others, of the summed steps along one axis."""
    line = steps.reshape(-1)
    phases = np.add.reduce(line[: len(line) // JPEG_BLOCK * JPEG_BLOCK].reshape(-1, JPEG_BLOCK), axis=0).tolist()
    strongest = max(phases)
    others = (sum(phases) - strongest) / (JPEG_BLOCK - 1)
    return float(strongest / others) if others > 0 else _NAN


def halvings(mpp: float, wanted: float) -> int:
    """How often pixels of `mpp` are halved to come nearest to `wanted`: within a factor of 1.42 of it where they are finer."""
    return max(0, round(float(np.log2(wanted / mpp))))


def halved(pixels: U8, times: int) -> U8:
    """The means of 2 x 2 pixels (h, w) or (h, w, 3), so many times, each rounded, halves up; an odd last row or column is left out."""
    import cv2

    for _ in range(times):
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        if min(height, width) == 0:
            break
        cut = pixels[: 2 * height, : 2 * width]
        pixels = np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return pixels
