"""Windows over a picture that is too large for a network: where they lie, and which part of each counts.

Windows overlap, and of each only the part that is nearest to its own middle is kept, since a network sees too little
around the border of its window. The kept parts cover every pixel exactly once, so nothing has to be remembered.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region, Size

U8 = npt.NDArray[np.uint8]

_WHITE = 255


class Read(Protocol):
    """Gives the pixels of a picture at the network's resolution."""

    def __call__(self, x: int, y: int, width: int, height: int) -> U8:
        """RGB uint8 (height, width, 3) of the box at `x`, `y`, which lies inside the picture."""


@dataclass(frozen=True, slots=True)
class Span:
    """A window along one axis: it reads `length` pixels from `start` on, and those from `low` to `high` count."""

    start: int
    length: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Window:
    """What a window reads, and which part of it counts, both in pixels of the picture."""

    read: Region
    keep: Region


def spans(length: int, window: int, overlap: int) -> list[Span]:
    """Windows along an axis of `length` pixels; two neighbours meet in the middle of what both see.

    They overlap by at least `overlap`. The last one is moved back to end at the edge, so that no window
    shows what is not there, unless the whole axis is shorter than one.
    """
    if length <= window:
        return [Span(0, length, 0, length)]
    starts = [*range(0, length - window, window - overlap), length - window]
    cuts = [0, *((after + before + window) // 2 for before, after in itertools.pairwise(starts)), length]
    return [Span(start, window, low, high) for start, low, high in zip(starts, cuts, cuts[1:], strict=False)]


def window_rows(picture: Size, window: int, overlap: int) -> Iterator[list[Window]]:
    """The windows of a picture, row by row and from left to right."""
    columns = spans(picture.width, window, overlap)
    for down in spans(picture.height, window, overlap):
        yield [
            Window(
                Region(across.start, down.start, across.length, down.length),
                Region(across.low, down.low, across.high - across.low, down.high - down.low),
            )
            for across in columns
        ]


def pixels_of(window: Window, read: Read, px: int) -> U8:
    """The pixels of a window, uint8 (px, px, 3); beyond the picture it is white, like glass."""
    box = window.read
    found = read(box.x, box.y, box.width, box.height)
    if found.shape == (px, px, 3):
        return found
    padded = np.full((px, px, 3), _WHITE, np.uint8)
    padded[: box.height, : box.width] = found
    return padded


def kept_of(window: Window, labels: U8) -> U8:
    """The part of a window's labels (px, px) that counts."""
    top, left = window.keep.y - window.read.y, window.keep.x - window.read.x
    return labels[top : top + window.keep.height, left : left + window.keep.width]
