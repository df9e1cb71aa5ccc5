"""Dark spots of haematoxylin in small tiles [hot]: what nuclei are at about 2 um per pixel.

Spots stand for nuclei only statistically: what touches may count as one, and a large pale nucleus as none.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]

SPOT_LEVEL = 178
"""A spot is at most that bright in red (optical density 0.3), as the mean of 3 x 3 pixels ..."""
SPOT_SHARE = (4, 5)
"""... and at most that share (0.22 less density) as bright as the brightest place within 3 pixels."""
MOST_TILES = 128
"""OpenCV filters images of so many channels at most, and here each tile is one."""


def spots(small: U8) -> npt.NDArray[np.intp]:
    """Where the spots of tiles (b, h, w, 3) are: numbers of pixels, counted through all tiles; b is at most `MOST_TILES`.

    A spot is darkest among its eight neighbours in red light, which eosin hardly absorbs, dark enough, and darker
    than its surroundings; of equal neighbours each is one.
    """
    tiles = len(small)
    red, darkest, brightest = _surroundings(small)
    found = red == darkest
    found &= red <= 9 * SPOT_LEVEL
    at = np.flatnonzero(found)  # a few in a hundred: the rest is done for these only
    share, of = SPOT_SHARE
    dark_enough = red.reshape(-1)[at] * np.uint16(of) <= brightest.reshape(-1)[at] * np.uint16(share)  # < 2^16
    pixel, tile = np.divmod(at[dark_enough], tiles)
    return np.asarray(tile * (small.shape[1] * small.shape[2]) + pixel)


@lru_cache(maxsize=2)
def _square(width: int) -> U8:
    return np.ones((width, width), np.uint8)


def _surroundings(small: U8) -> tuple[U16, U16, U16]:
    """Nine times the red of each place, and of the darkest and the brightest place around it: three times (h, w, b)."""
    import cv2

    tiles, height, width, _ = small.shape
    plane = cv2.extractChannel(small.reshape(-1, width, 3), 0).reshape(tiles, -1)
    # Every tile a channel of one image: a filter is called once for all, and none looks across their borders.
    image = cv2.transpose(plane).reshape(height, width, tiles)
    red = cv2.boxFilter(image, cv2.CV_16U, (3, 3), normalize=False)
    # A repeated border is never darker or brighter than what is inside the tile.
    darkest = cv2.erode(red, _square(3), borderType=cv2.BORDER_REPLICATE)
    brightest = cv2.dilate(red, _square(7), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(red, np.uint16), np.asarray(darkest, np.uint16), np.asarray(brightest, np.uint16)
