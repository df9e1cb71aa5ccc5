"""Tiles at random: positions in tissue that follow no grid, and random subsets of tiles.

Only the raw 64-bit numbers of PCG64 are used, which numpy promises never to change; what is made of them is here.
O'Neill, PCG: a family of simple fast space-efficient statistically good algorithms (2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region, Size

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_AT_ONCE = 4096
_IN_VAIN = 8
"""Times that many places drawn without a single new tile, after which no more are looked for: there is hardly room."""


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
    taken = _Apart(area, span, wanted) if not overlap else _Distinct()
    vain = 0
    for drawn in _draws(tissue, slide, area, span, seed):
        before = len(taken.found)
        corners = taken.free(drawn)
        for corner in corners[accepted(corners)].tolist():
            taken.add(corner)
            if len(taken.found) == wanted:
                return np.array(taken.found, np.int64)
        vain = vain + 1 if len(taken.found) == before else 0
        if vain == _IN_VAIN:
            break
    return np.array(taken.found, np.int64).reshape(-1, 2)


def _draws(tissue: Bools, slide: Size, area: Region, span: int, seed: int) -> Iterator[Ints]:
    """Corners of tiles in `area` with their centres in tissue, without end, or none where none can be."""
    pixels = np.flatnonzero(tissue)
    high = np.array([area.x + area.width, area.y + area.height]) - span
    if not len(pixels) or (high < (area.x, area.y)).any():
        return
    stream, (height, width) = np.random.PCG64(seed), tissue.shape
    scale = np.array([slide.width / width, slide.height / height])
    while True:
        uniform = (np.asarray(stream.random_raw((_AT_ONCE, 3))) >> np.uint64(11)) * 2.0**-53
        row, column = np.divmod(pixels[(uniform[:, 0] * len(pixels)).astype(np.int64)], width)
        centres = (np.stack([column, row], axis=1) + uniform[:, 1:]) * scale
        corners = np.floor(centres - span / 2 + 0.5).astype(np.int64)
        yield corners[((corners >= (area.x, area.y)) & (corners <= high)).all(axis=1)]


class _Distinct:
    """Places of which none is taken twice."""

    def __init__(self) -> None:
        self.found: list[list[int]] = []
        self._seen: set[tuple[int, int]] = set()

    def free(self, corners: Ints) -> Ints:
        """Those of some corners (m, 2) that may still be taken."""
        return corners

    def add(self, corner: list[int]) -> None:
        """Take a place unless it is taken."""
        x, y = corner
        if (x, y) not in self._seen:
            self._seen.add((x, y))
            self.found.append(corner)


class _Apart:
    """Tiles that do not touch: the area is laid out in squares as wide as a tile, of which each holds one corner at most."""

    def __init__(self, area: Region, span: int, most: int) -> None:
        self.found: list[list[int]] = []
        self._span = span
        self._start = np.array([area.x - span, area.y - span])
        rows, columns = (max(0, length) // span + 3 for length in (area.height, area.width))
        self._number = np.full((rows, columns), -1, np.int32)
        self._places = np.full((most + 1, 2), -4 * span, np.int64)  # the last one is what number -1 means: far away

    def free(self, corners: Ints) -> Ints:
        """As above."""
        column, row = ((corners - self._start) // self._span).T
        touched = np.zeros(len(corners), np.bool_)
        for down, right in product((-1, 0, 1), repeat=2):
            beside = self._places[self._number[row + down, column + right]]
            touched |= (np.abs(corners - beside) < self._span).all(axis=1)
        return corners[~touched]

    def add(self, corner: list[int]) -> None:
        """Take a tile unless it touches one that is taken."""
        place = np.array([corner], np.int64)
        if len(self.free(place)):
            column, row = ((place[0] - self._start) // self._span).tolist()
            self._places[len(self.found)] = corner
            self._number[row, column] = len(self.found)
            self.found.append(corner)
