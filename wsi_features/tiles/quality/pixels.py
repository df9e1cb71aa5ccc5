"""One pass over the pixels of a small tile [hot]: kinds of colour, sums of density, and dark spots, all as whole numbers.

The loop is plain Python, compiled by numba when it is first needed and kept on disk by it, and runs without the
interpreter lock. Numpy and OpenCV need thirty calls for the same, which cost four times as much (measured: 0.15 ms).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

SQUARE_PX = 8
"""Width of the squares whose mean colour is judged too."""
AROUND_PX = 3
"""How far around a spot its surroundings reach."""
SPOT_LEVEL = 178
"""A spot is at most that bright in red (optical density 0.3), as the mean of 3 x 3 pixels ..."""
SPOT_SHARE = (4, 5)
"""... and at most that share (0.22 less density) as bright as the brightest place around it."""

DENSITY_SCALE = 1 << 16
"""Densities are summed as whole numbers of this part of one."""

_SIGNATURE = "void(uint8[:,:,::1], uint8[::1], int64[::1], int64, int64[::1])"

KINDS = 9
"""Eight bits of a kind, and whether it has any of those of inks."""
SUMS = 2 * KINDS + 1 + 3 + 1


def counted(small: U8, kinds: U8, densities: Ints, ink: int) -> Ints:
    """Whole numbers that describe a tile (h, w, 3), int64 (23,).

    How many pixels have each bit of their kind, and how many any of `ink`; the same for squares, and how many there
    are; sums of the densities of red, green and blue; spots outside ink. `kinds` is the table of the kinds of colours of 6
    bits a channel, `densities` that of levels. What is left of a tile beyond whole squares is in none of them.
    """
    out = np.zeros(SUMS, np.int64)
    compiled()(np.ascontiguousarray(small), kinds, densities, ink, out)
    return out


@lru_cache(maxsize=1)
def compiled() -> Callable[..., None]:
    """`_count` in machine code; compiled anew where nothing can be kept on disk."""
    from numba import njit

    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    try:
        found: Callable[..., None] = njit(_SIGNATURE, cache=True, **options)(_count)
    except RuntimeError:  # neither the package's folder nor the user's can be written
        found = njit(_SIGNATURE, **options)(_count)
    return found


def _count(small: U8, kinds: U8, densities: Ints, ink: int, out: Ints) -> None:
    sums = out[2 * KINDS + 1 :]
    pixels, squares = np.zeros(256, np.int64), np.zeros(256, np.int64)
    height, width = small.shape[0], small.shape[1]
    of, nine = np.empty((height, width), np.uint8), np.empty((height, width), np.int64)
    for y in range(height):
        for x in range(width):
            red, green, blue = small[y, x, 0], small[y, x, 1], small[y, x, 2]
            kind = kinds[((np.int64(red) >> 2) << 12) | ((np.int64(green) >> 2) << 6) | (np.int64(blue) >> 2)]
            of[y, x] = kind
            pixels[kind] += 1
            sums[0] += densities[red]
            sums[1] += densities[green]
            sums[2] += densities[blue]
    side_y, side_x = min(SQUARE_PX, height), min(SQUARE_PX, width)
    for top in range(0, height - side_y + 1, side_y):
        for left in range(0, width - side_x + 1, side_x):
            index = np.int64(0)
            for channel in range(3):
                total = np.int64(side_y * side_x // 2)
                for y in range(top, top + side_y):
                    for x in range(left, left + side_x):
                        total += np.int64(small[y, x, channel])
                index = (index << 6) | (total // (side_y * side_x) >> 2)
            squares[kinds[index]] += 1
            out[2 * KINDS] += 1
    for kind in range(256):
        for bit in range(KINDS):
            if (kind >> bit) & 1 or (bit == KINDS - 1 and kind & ink):
                out[bit] += pixels[kind]
                out[KINDS + bit] += squares[kind]
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            total = np.int64(0)
            for down in range(-1, 2):
                for right in range(-1, 2):
                    total += np.int64(small[y + down, x + right, 0])
            nine[y, x] = total
    for y in range(2, height - 2):
        for x in range(2, width - 2):
            here = nine[y, x]
            if here > 9 * SPOT_LEVEL or of[y, x] & ink:
                continue
            # Of equal neighbours the last one in reading order is the spot.
            least = min(nine[y - 1, x - 1], nine[y - 1, x], nine[y - 1, x + 1], nine[y, x - 1])
            after = min(nine[y, x + 1], nine[y + 1, x - 1], nine[y + 1, x], nine[y + 1, x + 1])
            if here > least or here >= after:
                continue
            brightest = np.int64(0)
            for row in range(max(1, y - AROUND_PX), min(height - 1, y + AROUND_PX + 1)):
                for column in range(max(1, x - AROUND_PX), min(width - 1, x + AROUND_PX + 1)):
                    brightest = max(brightest, nine[row, column])
            if SPOT_SHARE[1] * here <= SPOT_SHARE[0] * brightest:
                sums[3] += 1
