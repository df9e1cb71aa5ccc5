"""Dark spots of haematoxylin in small tiles [hot]: what nuclei are at about 2 um per pixel.

Spots stand for nuclei only statistically: what touches may count as one, and a large pale nucleus as none.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
Bools = npt.NDArray[np.bool_]

SPOT_LEVEL = 178
"""A spot is at most that bright in red (optical density 0.3), as the mean of 3 x 3 pixels ..."""
SPOT_SHARE = (4, 5)
"""... and at most that share (0.22 less density) as bright as the brightest place within 3 pixels."""


def spots(small: U8) -> Bools:
    """Where the spots of tiles (b, h, w, 3) are, bool (b, h, w).

    A spot is darkest among its eight neighbours in red light, which eosin hardly absorbs, dark enough, and darker
    than its surroundings; of equal neighbours each is one.
    """
    red, darkest, brightest = np.empty((3, *small.shape[:3]), np.uint16)
    for i, tile in enumerate(small):
        red[i], darkest[i], brightest[i] = _surroundings(tile)
    found = red == darkest
    found &= red <= 9 * SPOT_LEVEL
    share, of = SPOT_SHARE
    found &= red * np.uint16(of) <= brightest * np.uint16(share)  # at most 5 * 9 * 255
    return np.asarray(found)


@lru_cache(maxsize=2)
def _square(width: int) -> U8:
    return np.ones((width, width), np.uint8)


def _surroundings(tile: U8) -> tuple[U16, U16, U16]:
    """Nine times the red of each place, and of the darkest and the brightest place around it."""
    import cv2

    red = cv2.boxFilter(cv2.extractChannel(tile, 0), cv2.CV_16U, (3, 3), normalize=False)
    around = cv2.dilate(red, _square(7))
    return np.asarray(red, np.uint16), np.asarray(cv2.erode(red, _square(3)), np.uint16), np.asarray(around, np.uint16)
