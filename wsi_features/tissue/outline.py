"""Outlines of a mask: closed rings along the borders of its pixels, and the mask back from rings.

Rings run on pixel borders, not through pixel centres, so that the area of the
polygons is the area of the mask. Positions are (x, y) in mask pixels, from the
top-left corner of the top-left pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size

Ring = npt.NDArray[np.int64]

_EAST, _WEST = 0, 2
"""Directions are numbered east, south, west, north: each is a right turn from the one before."""

_CROSSINGS_AT_ONCE = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """One connected piece: its outer ring, the rings of its holes, and its area in mask pixels.

    A ring is int64 (k, 2), closed (the last point repeats the first), with corners only. By
    the numbers the outer ring has positive area and holes negative (RFC 7946, section 3.1.6).
    """

    outer: Ring
    holes: tuple[Ring, ...]
    area: int


def pieces(mask: npt.NDArray[np.bool_]) -> list[Piece]:
    """The pieces of `mask` bool (h, w), by their topmost, then leftmost corner.

    Pixels that touch in a corner only belong to different pieces. Every piece is a valid
    polygon: no ring crosses or touches itself, and two rings share single points at most.
    """
    import cv2

    padded = np.pad(mask, 1).astype(np.uint8)
    _, labels = cv2.connectedComponents(padded, connectivity=4, ltype=cv2.CV_32S)
    areas = np.bincount(labels.ravel())
    outer: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for label, ring in _rings(np.asarray(labels, dtype=np.int32)):
        if signed_area(ring) > 0:
            outer[label] = ring
        else:
            holes.setdefault(label, []).append(ring)
    return [Piece(ring, tuple(holes.get(label, ())), int(areas[label])) for label, ring in outer.items()]


def signed_area(ring: npt.NDArray[np.int64]) -> float:
    """Area inside a closed ring (k, 2); negative when it runs the other way round."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def filled(rings: Iterable[npt.NDArray[np.float64]], size: Size) -> npt.NDArray[np.bool_]:
    """The pixels whose centre lies inside an odd number of `rings`, bool (h, w).

    Each ring is (k, 2) and closed. A centre on a left or top edge is inside, on a right or
    bottom edge outside, so that two neighbours never share a pixel or leave one out.
    """
    toggles = np.zeros(size.height * (size.width + 1), dtype=np.int64)
    edges = [np.hstack([ring[:-1], ring[1:]]) for ring in rings]
    lines = np.concatenate(edges) if edges else np.zeros((0, 4))
    block = max(1, _CROSSINGS_AT_ONCE // size.height)
    for first in range(0, len(lines), block):
        cells = _crossed_cells(lines[first : first + block], size)
        toggles += np.bincount(cells, minlength=toggles.size)
    inside = toggles.reshape(size.height, size.width + 1).cumsum(axis=1) % 2 == 1
    return np.asarray(inside[:, :-1])


def _crossed_cells(lines: npt.NDArray[np.float64], size: Size) -> npt.NDArray[np.int64]:
    """Where each line (n, 4) changes in and out: flat index, in (h, w + 1), of the first centre right of it."""
    flip = lines[:, 1] > lines[:, 3]
    lines = np.where(flip[:, None], lines[:, [2, 3, 0, 1]], lines)
    first, end = np.clip(np.ceil(lines[:, [1, 3]] - 0.5), 0, size.height).astype(np.int64).T
    count = end - first
    line = np.repeat(np.arange(len(lines)), count)
    row = first[line] + np.arange(len(line)) - (np.cumsum(count) - count)[line]
    x0, y0, x1, y1 = lines[line].T
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.clip(np.ceil(x - 0.5), 0, size.width).astype(np.int64)
    return np.asarray(row * (size.width + 1) + column)


def _rings(labels: npt.NDArray[np.int32]) -> Iterator[tuple[int, Ring]]:
    """The rings of padded `labels` (0 is background), each with the label inside, in raster order.

    A ring is followed from corner to corner with its piece on the right hand.
    """
    corners = _corners(labels)
    onward = _onward(corners).tolist()
    seen = bytearray(len(onward))
    for start in np.flatnonzero(corners.leaving[:, [_EAST, _WEST]].ravel()).tolist():
        corner, direction = divmod(start, 2)
        step = first = corner * 4 + direction * 2
        ring = []
        while not seen[step]:
            seen[step] = 1
            ring.append(step >> 2)
            step = onward[step]
        if ring:
            yield int(corners.label[first >> 2, first & 3]), corners.at[[*ring, ring[0]]]


@dataclass(frozen=True, slots=True, eq=False)
class _Corners:
    """Points where an outline turns, row by row: position (n, 2), which of the four directions an
    outline leaves in (n, 4), the label on its right hand there (n, 4), and whether two outlines
    meet that belong to one piece (n,).
    """

    at: Ring
    leaving: npt.NDArray[np.bool_]
    label: npt.NDArray[np.int32]
    same: npt.NDArray[np.bool_]


def _corners(labels: npt.NDArray[np.int32]) -> _Corners:
    """Corners of the padded `labels`, from the four pixels around each point."""
    quads = np.stack([labels[:-1, :-1], labels[:-1, 1:], labels[1:, :-1], labels[1:, 1:]])
    top_left, top_right, bottom_left, bottom_right = quads > 0
    odd = top_left ^ top_right ^ bottom_left ^ bottom_right
    diagonal = (top_left == bottom_right) & (top_right == bottom_left) & (top_left != top_right)
    y, x = np.nonzero(odd | diagonal)
    a, b, c, d = quads[:, y, x]
    # Right-hand pixel and left-hand pixel when leaving east, south, west, north.
    right, left = np.stack([d, c, a, b], axis=1), np.stack([b, d, c, a], axis=1)
    leaving = (right > 0) & (left == 0)
    crossing = leaving.sum(axis=1) == 2
    return _Corners(np.stack([x, y], axis=1), leaving, right, crossing & (np.maximum(a, b) == np.maximum(c, d)))


def _onward(corners: _Corners) -> npt.NDArray[np.int64]:
    """The step that follows each step; a step is corner * 4 + the direction in which it is left."""
    count = len(corners.at)
    along_x = np.arange(count)
    by_column = np.lexsort((corners.at[:, 1], corners.at[:, 0]))
    along_y = np.empty(count, dtype=np.int64)
    along_y[by_column] = np.arange(count)
    neighbour = np.stack(
        [
            np.minimum(along_x + 1, count - 1),
            by_column[np.minimum(along_y + 1, count - 1)],
            along_x - 1,
            by_column[along_y - 1],
        ],
        axis=1,
    )
    direction = np.arange(4)
    # Turning right keeps to the pixel on the right hand. Where two outlines meet, those of one
    # piece turn left: the ring then closes around the gap instead of touching itself.
    right, left = (direction + 1) % 4, (direction - 1) % 4
    goes_left = ~corners.leaving[neighbour, right] | corners.same[neighbour]
    return np.asarray(neighbour * 4 + np.where(goes_left, left, right)).ravel()
