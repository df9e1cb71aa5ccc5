"""[hot] The bytes of compressed tiles, neighbours in the file by one read.

A row of tiles mostly lies in the file as it lies on the slide. One read for all of it spares a network file system a
round trip a tile, and Python a change of threads a tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wsi_features.slides.tiff.index import TiffIndex
from wsi_features.slides.tiff.level import STATE_TEXTS, TiffLevel, TileState

_STORED = int(TileState.STORED)

MOST_GAP = 4096
"""Bytes between two tiles that are read along: fewer than a disk or a network reads at the least."""
MOST_BYTES = 4 * 2**20
"""Of one read: it ends within a fraction of a second on slow disks."""

Place = tuple[int, int, int]
"""Index among the tiles asked for, position in the file and number of bytes."""


def compressed(index: TiffIndex, level: TiffLevel, numbers: Sequence[int]) -> list[bytes | str]:
    """The bytes of each of the tiles `numbers` of a level, or why they cannot be had. `index.file` must be held."""
    states, offsets, counts = ([array[n] for n in numbers] for array in (level.states, level.offsets, level.counts))
    found: list[bytes | str] = ["" if state == _STORED else STATE_TEXTS[TileState(int(state))] for state in states]
    stored = [(i, int(offsets[i]), int(counts[i])) for i, text in enumerate(found) if not text]
    for run in _runs(stored):
        for (i, _, _), data in zip(run, _read(index, run), strict=True):
            found[i] = data
    return found


def _runs(places: Sequence[Place]) -> Iterator[list[Place]]:
    """Places that follow each other in the file, in pieces that one read takes."""
    run: list[Place] = []
    for place in places:
        if run:
            end = run[-1][1] + run[-1][2]
            near = 0 <= place[1] - end <= MOST_GAP and place[1] + place[2] - run[0][1] <= MOST_BYTES
            if not near:
                yield run
                run = []
        run.append(place)
    if run:
        yield run


def _read(index: TiffIndex, run: Sequence[Place]) -> list[bytes | str]:
    """What lies at each place. What a common read cannot get is tried for each alone: one bad sector costs one tile."""
    start, end = run[0][1], run[-1][1] + run[-1][2]
    try:
        data = index.file.read(start, end - start)
    except OSError as error:
        if len(run) > 1:
            return [found for place in run for found in _read(index, [place])]
        return [error.strerror or "the disk does not give it"]
    parts = [data[at - start : at - start + count] for _, at, count in run]
    cut = STATE_TEXTS[TileState.BEYOND]
    return [part if len(part) == count else cut for part, (_, _, count) in zip(parts, run, strict=True)]
