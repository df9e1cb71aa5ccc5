"""From bands of level-0 rows to the compressed tiles of every level, with only a few bands in memory.

Coarser levels are area averages, made as the bands go by; their tiles wait in temporary
files beside the slide, since a file holds its levels one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO

import numpy as np

from wsi_features.slides.synthetic.noise import U8
from wsi_features.slides.synthetic.spec import SlideSpec

_TILES_PER_TASK = 8


@dataclass(slots=True)
class RowQueue:
    """Image rows that arrive in any portions and leave in whole multiples of `step`.

    Of the first `height` rows the last portion may be shorter; any rows after them are dropped.
    """

    step: int
    height: int
    _left: U8 | None = None
    _gone: int = 0

    def push(self, rows: U8) -> U8:
        """Add rows (h, w, 3) and take out all that may leave, perhaps none."""
        waiting = rows if self._left is None else np.concatenate([self._left, rows])
        wanted = self.height - self._gone
        leave = wanted if len(waiting) >= wanted else len(waiting) // self.step * self.step
        self._gone += leave
        # A copy, since a view would keep the whole band in memory.
        self._left = waiting[leave:].copy() if leave < min(wanted, len(waiting)) else None
        return waiting[:leave]


class Spool:
    """Compressed tiles of one level, waiting in an open temporary file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sizes: list[int] = []

    def add(self, tiles: Iterable[bytes]) -> None:
        """Append tiles."""
        for tile in tiles:
            self._sizes.append(self._file.write(tile))

    def tiles(self) -> Iterator[bytes]:
        """All tiles, in the order they were added."""
        self._file.seek(0)
        return (self._file.read(size) for size in self._sizes)


@dataclass(slots=True)
class _Level:
    """One coarser level: averaged over `factor` pixels of level number `source`."""

    source: int
    factor: int
    width: int
    rows: RowQueue
    tiles: RowQueue


def level_tiles(
    spec: SlideSpec, bands: Iterable[U8], spools: list[Spool], encode: Callable[[U8], bytes], pool: Executor
) -> Iterator[bytes]:
    """The compressed tiles of level 0, row by row; those of coarser levels go to `spools`, one for each.

    `bands` are consecutive level-0 rows, uint8 (h, width, 3). When the last tile is taken, the spools are full.
    """
    finest = RowQueue(spec.tile, spec.height)
    coarser = [_coarser(spec, number) for number in range(1, len(spec.levels))]
    for band in bands:
        made, tiles = [band], _encoded(finest.push(band), spec.tile, encode, pool)
        for level, spool in zip(coarser, spools, strict=True):
            averaged = _averaged(level.rows.push(made[level.source]), level)
            made.append(averaged)
            spool.add(_encoded(level.tiles.push(averaged), spec.tile, encode, pool))
        yield from tiles


def _coarser(spec: SlideSpec, number: int) -> _Level:
    downsample = spec.levels[number]
    source = max(i for i, finer in enumerate(spec.levels[:number]) if downsample % finer == 0)
    factor = downsample // spec.levels[source]
    width, height = spec.level_sizes[number]
    return _Level(source, factor, width, RowQueue(factor, height * factor), RowQueue(spec.tile, height))


def _averaged(rows: U8, level: _Level) -> U8:
    import cv2

    used = rows[:, : level.width * level.factor]
    if not len(used):
        return np.empty((0, level.width, 3), np.uint8)
    size = (level.width, len(used) // level.factor)
    return np.asarray(cv2.resize(used, size, interpolation=cv2.INTER_AREA), np.uint8)


def _encoded(rows: U8, tile: int, encode: Callable[[U8], bytes], pool: Executor) -> Iterator[bytes]:
    """The tiles of some rows of tiles, compressed; what a tile has beyond the image repeats its edge."""
    corners = [(top, left) for top in range(0, rows.shape[0], tile) for left in range(0, rows.shape[1], tile)]
    tasks = [corners[i : i + _TILES_PER_TASK] for i in range(0, len(corners), _TILES_PER_TASK)]
    return chain.from_iterable(pool.map(partial(_encoded_some, rows, tile, encode), tasks))


def _encoded_some(rows: U8, tile: int, encode: Callable[[U8], bytes], corners: list[tuple[int, int]]) -> list[bytes]:
    return [encode(_tile(rows, tile, top, left)) for top, left in corners]


def _tile(rows: U8, size: int, top: int, left: int) -> U8:
    part = rows[top : top + size, left : left + size]
    beyond = ((0, size - part.shape[0]), (0, size - part.shape[1]), (0, 0))
    return np.ascontiguousarray(part if part.shape[:2] == (size, size) else np.pad(part, beyond, mode="edge"))
