"""Tiles at random: positions in tissue that follow no grid, and random subsets of tiles.

Only the raw 64-bit numbers of PCG64 are used, which numpy promises never to change; what is made of them is here.
O'Neill, PCG: a family of simple fast space-efficient statistically good algorithms (2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region, Size

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_AT_ONCE = 4096
_MOST_DRAWS = 200
"""Draws a tile wanted, on average, after which no more are found: the tissue is full, or of parts too small."""


def random_subset(n: int, most: int, seed: int) -> Ints:
    """At most `most` of `n` things in the order in which they were drawn: the first ones are a smaller sample."""
    keys = np.random.PCG64(seed).random_raw(n)
    return np.argsort(np.asarray(keys), kind="stable")[:most].astype(np.int64)


def random_origins(  # noqa: PLR0913 - what is drawn, from where, and what is accepted
    tissue: Bools,
    slide: Size,
    area: Region,
    span: int,
    wanted: int,
    *,
    seed: int,
    accepted: Callable[[Ints], Bools],
    overlap: bool = True,
) -> Ints:
    """Up to `wanted` level-0 top-left corners (n, 2), none twice, in the order in which they were drawn.

    The centre of each tile lies in the mask `tissue` (h, w), laid over the whole `slide`, and is equally likely at
    every place in it. The tile lies in `area`, and is `accepted`, which is asked for corners (m, 2) that do. Without
    `overlap` a tile that would touch one drawn before is passed over. Fewer are found where no more have room.
    """
    taken = _Taken(span if not overlap else 1)
    for corners in _draws(tissue, slide, area, span, seed, _MOST_DRAWS * wanted):
        for x, y in corners[accepted(corners)].tolist():
            taken.add(x, y)
            if len(taken.found) == wanted:
                return np.array(taken.found, np.int64)
    return np.array(taken.found, np.int64).reshape(-1, 2)


def _draws(tissue: Bools, slide: Size, area: Region, span: int, seed: int, most: int) -> Iterator[Ints]:
    """Corners of tiles in `area` with their centres in tissue."""
    pixels = np.flatnonzero(tissue)
    high = np.array([area.x + area.width, area.y + area.height]) - span
    if not len(pixels) or (high < (area.x, area.y)).any():
        return
    stream, (height, width) = np.random.PCG64(seed), tissue.shape
    scale = np.array([slide.width / width, slide.height / height])
    for _ in range(-(-most // _AT_ONCE)):
        uniform = (np.asarray(stream.random_raw((_AT_ONCE, 3))) >> np.uint64(11)) * 2.0**-53
        row, column = np.divmod(pixels[(uniform[:, 0] * len(pixels)).astype(np.int64)], width)
        centres = (np.stack([column, row], axis=1) + uniform[:, 1:]) * scale
        corners = np.floor(centres - span / 2 + 0.5).astype(np.int64)
        yield corners[((corners >= (area.x, area.y)) & (corners <= high)).all(axis=1)]


class _Taken:
    """Tiles that are `apart` or more from one another along x or y, found by squares of that width."""

    def __init__(self, apart: int) -> None:
        self._apart = apart
        self._at: dict[tuple[int, int], tuple[int, int]] = {}
        self.found: list[tuple[int, int]] = []

    def add(self, x: int, y: int) -> None:
        """Take a tile, unless it is too near to one that is taken."""
        column, row = x // self._apart, y // self._apart
        around = ((column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
        near = (self._at[square] for square in around if square in self._at)
        if any(abs(x - left) < self._apart and abs(y - top) < self._apart for left, top in near):
            return
        self._at[column, row] = (x, y)
        self.found.append((x, y))
