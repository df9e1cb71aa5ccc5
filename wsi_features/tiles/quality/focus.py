"""Focus and compression of tiles [hot]: what their grey levels say of blur and of JPEG blocks.

All of it is made of sums of integers, which are exact: a number depends on nothing but the tile.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]

SHARPNESS_MPP = 0.5
"""Scale at which sharpness is judged, um/px; finer tiles are halved towards it, coarser ones judged as they are."""
MID_LAG = 8
"""Distance in pixels of that scale (4 um) whose contrast the finest is compared with."""
LEAST_CONTRAST = 16.0
"""Mean squared difference at `MID_LAG`, in squared grey levels, below which there is nothing to be sharp."""
LAPLACIAN_STEP = 7
"""The Laplacian is taken at every so many-th row, so that each row of JPEG blocks comes round as often as another."""
JPEG_BLOCK = 8
"""Width of a JPEG block in pixels."""

_NAN = float("nan")
_PIXELS_TOGETHER = 1 << 19
"""So many grey levels are judged at once: few calls, and what is made of them on the way stays in the processor's cache."""


def focus_columns(tiles: U8, mpp: float, *, one_to_one: bool) -> F64:
    """Variance of the Laplacian, sharpness and blockiness of tiles (b, h, w, 3): (b, 3)."""
    together = max(1, _PIXELS_TOGETHER // (tiles.shape[1] * tiles.shape[2]))
    parts = [_sums(tiles[start : start + together], mpp, one_to_one) for start in range(0, len(tiles), together)]
    laplacian, contrast, *steps = (np.concatenate(part) for part in zip(*parts, strict=True))
    blocks = blockiness(*steps) if steps else np.full(len(tiles), _NAN)
    return np.column_stack([laplacian_variance(laplacian), sharpness(contrast), blocks])


def _sums(tiles: U8, mpp: float, one_to_one: bool) -> tuple[F64 | Ints, ...]:
    grey = greys(tiles)
    sums = laplacian_sums(grey), contrasts(grey, mpp)
    return (*sums, *block_steps(grey)) if one_to_one else sums


def greys(tiles: U8) -> U8:
    """The grey levels (b, h, w) of tiles (b, h, w, 3)."""
    import cv2

    tall = tiles.reshape(-1, *tiles.shape[2:])  # one image of all tiles: one call
    return np.asarray(cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY), np.uint8).reshape(tiles.shape[:3])


def laplacian_variance(sums: F64) -> F64:
    """Variance of the Laplacian, of `laplacian_sums`: Pech-Pacheco et al. 2000, ICPR 3:314.

    It grows with contrast and with the fineness of the scan: compare tiles of one slide by it, not slides.
    """
    count, total, squares = sums.T
    return np.asarray(squares / count - (total / count) ** 2)


def laplacian_sums(grey: U8) -> F64:
    """Count, sum and sum of squares of the Laplacian of tiles (b, h, w), at every seventh row: (b, 3); NaN of none."""
    import cv2

    if min(grey.shape[1:]) < 3:
        return np.full((len(grey), 3), _NAN)
    values = _laplacians(grey)
    count = values[0].size
    return np.array([(count, cv2.sumElems(tile)[0], cv2.norm(tile, cv2.NORM_L2SQR)) for tile in values])


def _laplacians(grey: U8) -> npt.NDArray[np.int16]:
    """Those of the second and of every seventh row after it of contiguous tiles: (b, rows, w - 2)."""
    import cv2

    tiles, height, width = grey.shape
    rows = (height - 3) // LAPLACIAN_STEP + 1
    of_tile, of_row, of_pixel = grey.strides
    threes = as_strided(grey, (tiles, rows, 3 * width), (of_tile, LAPLACIAN_STEP * of_row, of_pixel))
    wide = threes.astype(np.int16).reshape(tiles * rows, 3 * width)
    above, centre, below = (wide[:, k * width : (k + 1) * width] for k in range(3))
    cv2.add(above, below, below)
    values = cv2.add(centre[:, :-2], centre[:, 2:], above[:, 1:-1])  # in place: memory anew takes longer than the sum
    cv2.add(values, below[:, 1:-1], values)
    cv2.addWeighted(values, 1, centre[:, 1:-1], -4, 0, values)
    return np.asarray(values, np.int16).reshape(tiles, rows, width - 2)


def sharpness(contrast: F64) -> F64:
    """Contrast of neighbouring pixels as a share of that 4 um apart, of `contrasts`: 2 for noise, towards 0 for blur.

    NaN where the tile is too small or too flat to tell.
    """
    fine, coarse = contrast.T
    return np.asarray(np.divide(fine, coarse, out=np.full(len(contrast), _NAN), where=coarse >= LEAST_CONTRAST))


def contrasts(grey: U8, mpp: float) -> F64:
    """Mean squared differences along x and y of neighbours, and of pixels 4 um apart, of tiles (b, h, w): (b, 2).

    Of the tile at about 0.5 um/px, so that neither contrast nor, within limits, the resolution of the scan matters.
    NaN where it is too small.
    """
    small = halved(grey, halvings(mpp, SHARPNESS_MPP))
    if min(small.shape[1:]) <= MID_LAG:
        return np.full((len(grey), 2), _NAN)
    return np.array([(_contrast(tile, 1), _contrast(tile, MID_LAG)) for tile in small])


def _contrast(tile: U8, lag: int) -> float:
    import cv2

    height, width = tile.shape
    across = cv2.norm(tile[:, lag:], tile[:, :-lag], cv2.NORM_L2SQR)
    down = cv2.norm(tile[lag:], tile[:-lag], cv2.NORM_L2SQR)
    return float((across + down) / (height * (width - lag) + (height - lag) * width))


def blockiness(across: Ints, down: Ints) -> F64:
    """Steps across the borders of 8 px blocks over the steps elsewhere: about 1 without JPEG blocks, more with them.

    Of `block_steps`, the mean of both axes, after Wang, Sheikh and Bovik 2002, ICIP 1:477. Tiles need not begin where
    blocks do, so the strongest of the eight phases is taken, which by chance alone is a little above 1. Only for
    pixels as they were decoded: resampling moves and smooths the borders. NaN where there are too few or no steps.
    """
    phases = np.stack([_phases(across), _phases(down)])
    strongest = phases.max(axis=2)
    others = (phases.sum(axis=2) - strongest) / (JPEG_BLOCK - 1)
    ratios = np.divide(strongest, others, out=np.full(others.shape, _NAN), where=others > 0)
    return np.asarray((ratios[0] + ratios[1]) / 2)


def _phases(steps: Ints) -> npt.NDArray[np.int64]:
    """The sums of every eighth of the steps (b, length - 1) along an axis, from each of the first eight on: (b, 8)."""
    whole = steps.shape[1] // JPEG_BLOCK * JPEG_BLOCK
    return np.asarray(steps[:, :whole].reshape(len(steps), -1, JPEG_BLOCK).sum(axis=1, dtype=np.int64))


def block_steps(grey: U8) -> tuple[Ints, Ints]:
    """Steps between neighbours of tiles (b, h, w): along x summed over every second row (b, w - 1), along y over all columns (b, h - 1).

    None at all where a tile is narrower than four blocks.
    """
    import cv2

    tiles, height, width = grey.shape
    if min(height, width) < 4 * JPEG_BLOCK:
        return np.zeros((tiles, 0), np.int32), np.zeros((tiles, 0), np.int32)
    lines, tall = grey[:, ::2].reshape(-1, width), grey.reshape(-1, width)
    steps = cv2.absdiff(lines[:, 1:], lines[:, :-1]).reshape(tiles, -1, width - 1)
    across = np.concatenate([cv2.reduce(tile, 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S) for tile in steps])
    down = np.empty((tiles * height, 1), np.int32)  # with the steps from tile to tile, which are left out
    cv2.reduce(cv2.absdiff(tall[1:], tall[:-1]), 1, cv2.REDUCE_SUM, down[1:], cv2.CV_32S)
    return across, down.reshape(tiles, height)[:, 1:]


def halvings(mpp: float, wanted: float) -> int:
    """How often pixels of `mpp` are halved to come nearest to `wanted`: within a factor of 1.42 of it where they are finer."""
    return max(0, round(float(np.log2(wanted / mpp))))


def halved(tiles: U8, times: int) -> U8:
    """The means of 2 x 2 pixels of tiles (b, h, w) or (b, h, w, 3), so many times, each rounded, halves up.

    An odd last row or column is left out.
    """
    import cv2

    for _ in range(times):
        count, height, width = len(tiles), tiles.shape[1] // 2, tiles.shape[2] // 2
        if min(height, width) == 0:
            break
        cut = tiles[:, : 2 * height, : 2 * width]
        tall = cut.reshape(-1, *cut.shape[2:])
        small = cv2.resize(tall, (width, count * height), interpolation=cv2.INTER_AREA)
        tiles = np.asarray(small, np.uint8).reshape(count, height, width, *tiles.shape[3:])
    return tiles
