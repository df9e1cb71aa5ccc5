"""Which tiles of two lists are the same place of one slide, and how the positions of one list follow from the other's.

Positions and nothing else: whether two tiles at one place show the same pixels, their features have to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ENOUGH = 0.5
"""Share of the shorter list that must be paired before a further frame is not looked for."""
_CERTAIN = 0.9
"""The same for a frame with a factor, which fits by chance more easily."""
_PROBES, _SHIFTS = 32, 16
_FAR = 1 << 30


@dataclass(frozen=True, slots=True)
class Frame:
    """Positions of the second list as they follow from the first's: x and y `swapped`, then `factor`, then `shift`."""

    swapped: bool = False
    factor: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    @property
    def is_own(self) -> bool:
        """Whether both lists have one frame."""
        return self == Frame()

    def applied(self, corners: Floats) -> Floats:
        """Corners (n, 2) of the first list in the frame of the second."""
        turned = corners[:, ::-1] if self.swapped else corners
        return np.asarray(turned * self.factor + np.array(self.shift))


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Top-left corners (n, 2) of tiles, x then y, and how wide each is, None where that is not known; in one unit."""

    corners: Floats
    span: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pairing:
    """Rows (m,) of both lists that belong together, in the order of the first, and how far apart they are, (m,).

    Distances are in the unit of the second list, of corners where these are equal, else of centres. `exact` of the pairs have the same corner.
    """

    first: Ints
    second: Ints
    distance: Floats
    frame: Frame
    exact: int

    def __len__(self) -> int:
        return len(self.first)


def pairing(first: Placed, second: Placed, tolerance: float = 1.0) -> Pairing:
    """Pair tiles with the same corner, then those that are each other's nearest centre within `tolerance`.

    Where less than half of the shorter list finds a partner, a frame is looked for in which more do: x and y
    exchanged, a constant shift, a factor. Of several the one that pairs most is taken, then the simplest.
    """
    own = best = _paired(first, second, Frame(), tolerance)
    shorter = min(len(first.corners), len(second.corners))
    if len(own) >= ENOUGH * shorter:
        return own
    for frame in (Frame(swapped=True), *_shifts(first, second)):
        best = _better(best, _paired(first, second, frame, tolerance))
    if len(best) >= ENOUGH * shorter:
        return best
    best = own  # a frame in which hardly more tiles meet is chance
    for frame in _factors(first, second):
        found = _paired(first, second, frame, max(tolerance, 0.75, 0.75 * frame.factor))
        if len(found) >= _CERTAIN * shorter:
            best = _better(best, found)
    return best


def _better(one: Pairing, other: Pairing) -> Pairing:
    """The one with more pairs; of two alike the one that moves less."""
    if len(one) != len(other):
        return max(one, other, key=len)
    return min(one, other, key=lambda found: float(np.hypot(*found.frame.shift)))


def _paired(first: Placed, second: Placed, frame: Frame, tolerance: float) -> Pairing:
    moved = Placed(frame.applied(first.corners), first.span and first.span * frame.factor)
    one, two = _same_corner(moved.corners, second.corners)
    left, right = _others(len(moved.corners), one), _others(len(second.corners), two)
    near_one, near_two = _near(_centres(moved, second)[left], _centres(second, moved)[right], tolerance)
    far = np.concatenate(
        [
            np.hypot(*(moved.corners[one] - second.corners[two]).T),
            np.hypot(*(_centres(moved, second)[left[near_one]] - _centres(second, moved)[right[near_two]]).T),
        ]
    )
    rows, partners = np.concatenate([one, left[near_one]]), np.concatenate([two, right[near_two]])
    order = np.argsort(rows, kind="stable")
    return Pairing(rows[order], partners[order], far[order], frame, len(one))


def _same_corner(one: Floats, two: Floats) -> tuple[Ints, Ints]:
    """Rows of both with the same corner to the pixel; of a corner that is there twice the first row."""
    _, rows, partners = np.intersect1d(_keys(one), _keys(two), return_indices=True)
    return rows.astype(np.int64), partners.astype(np.int64)


def _keys(corners: Floats) -> Ints:
    whole = np.clip(np.rint(corners), -_FAR, _FAR).astype(np.int64) + _FAR
    return np.asarray((whole[:, 1] << 32) | whole[:, 0])


def _near(one: Floats, two: Floats, tolerance: float) -> tuple[Ints, Ints]:
    """Rows of both that are each other's nearest."""
    from scipy.spatial import cKDTree

    if not len(one) or not len(two):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    distance, partner = cKDTree(two).query(one, distance_upper_bound=tolerance * (1 + 1e-9))
    back = cKDTree(one).query(two)[1]
    rows = np.flatnonzero(np.isfinite(distance))
    rows = rows[back[partner[rows]] == rows]
    return rows.astype(np.int64), partner[rows].astype(np.int64)


def _others(count: int, taken: Ints) -> Ints:
    free = np.ones(count, np.bool_)
    free[taken] = False
    return np.flatnonzero(free)


def _centres(tiles: Placed, other: Placed) -> Floats:
    """Centres where both widths are known, else corners: a guess would move one list against the other."""
    known = tiles.span is not None and other.span is not None
    return tiles.corners + (tiles.span or 0) / 2 if known else tiles.corners


def _shifts(first: Placed, second: Placed) -> Iterator[Frame]:
    """Constant shifts that are worth a try: the commonest differences between some tiles of one list and all of the other."""
    if not len(first.corners) or not len(second.corners):
        return
    probes = first.corners[np.linspace(0, len(first.corners) - 1, min(_PROBES, len(first.corners))).astype(np.int64)]
    apart = (second.corners[None] - probes[:, None]).reshape(-1, 2)
    found, counts = np.unique(_keys(apart), return_counts=True)
    commonest = found[np.argsort(-counts, kind="stable")[:_SHIFTS]]
    for key in commonest.tolist():
        yield Frame(shift=(float((key & 0xFFFFFFFF) - _FAR), float((key >> 32) - _FAR)))
    half = (first.span or second.span or 0) / 2
    if half:
        yield from (Frame(shift=(sign * half, sign * half)) for sign in (1, -1))


def _factors(first: Placed, second: Placed) -> Iterator[Frame]:
    """Factors that are worth a try, alone and with the shift that then fits best."""
    for factor in _ratios(first, second):
        frame = Frame(factor=factor)
        yield frame
        fitted = _fitted(first, second, frame)
        if fitted is not None:
            yield fitted


def _ratios(first: Placed, second: Placed) -> list[float]:
    one, two = (np.ptp(tiles.corners, axis=0) if len(tiles.corners) else np.zeros(2) for tiles in (first, second))
    found = [float(b / a) for a, b in zip(one, two, strict=True) if a > 0 and b > 0]
    if first.span and second.span:
        found.append(second.span / first.span)
    found += [2.0**power for power in range(-6, 7) if power]
    return list(dict.fromkeys(round(ratio, 9) for ratio in found if abs(ratio - 1) > 1e-3))


def _fitted(first: Placed, second: Placed, frame: Frame) -> Frame | None:
    """The factor and shift that fit best, by least squares over tiles that lie roughly together."""
    step = usual_step(second.corners)
    rough = _paired(first, second, frame, step / 4) if step else None
    if rough is None or len(rough) < max(3, ENOUGH * min(len(first.corners), len(second.corners))):
        return None
    one, two = first.corners[rough.first], second.corners[rough.second]
    centred, target = one - one.mean(axis=0), two - two.mean(axis=0)
    spread = float((centred**2).sum())
    if not spread:
        return None
    factor = float((centred * target).sum()) / spread
    x, y = (two.mean(axis=0) - one.mean(axis=0) * factor).tolist()
    return replace(frame, factor=factor, shift=(x, y) if max(abs(x), abs(y)) > 1 else (0.0, 0.0))


def usual_step(corners: Floats) -> float:
    """The commonest distance of neighbours in a line, 0 where no line has two."""
    ordered = corners[np.lexsort((corners[:, 0], corners[:, 1]))]
    right = np.rint(np.diff(ordered[:, 0])[np.diff(ordered[:, 1]) == 0])
    found, counts = np.unique(right[right > 0], return_counts=True)
    return float(found[np.argmax(counts)]) if len(found) else 0.0
