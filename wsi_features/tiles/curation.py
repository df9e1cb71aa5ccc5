"""Which few tiles stand for a slide: spread over its tissue, or over its colours.

Functions of arrays: rows in, chosen rows out, sorted. The same input and seed give the same rows whatever the
threads: sums run in order, and no matrix product is used. Positions are in any unit that is the same along x and y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.tiles.kmeans import kmeans

Rows = npt.NDArray[np.int64]
Points = npt.NDArray[np.float64]

COLOURS = 9
"""Colour clusters of a mosaic, as in Yottixel (Kalra et al., Medical Image Analysis 65, 2020)."""

_BITS = 21
"""Of each coordinate along the space-filling curve."""


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """What `spread_rows` knows of a slide before it draws, so that many draws cost little; made by `spread_of`.

    `order` int32 (n,) are the tiles along a Hilbert curve, `by_piece` the same piece by piece, `sizes` the pieces' tiles.
    """

    order: npt.NDArray[np.int32]
    by_piece: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.int64]

    def rows(self, count: int, seed: int = 0, *, jitter: bool = False) -> Rows:
        """At most `count` tiles, as `spread_rows` says.

        With `jitter` one tile is drawn of every k along the curve instead of the same one of each k: nearly as even,
        with far more different draws; every tile is still as likely as any other.
        """
        n = len(self.order)
        drawn = _one_of_each if jitter else _every
        if count >= n:
            return np.arange(n)
        if len(self.sizes) > count:
            return np.sort(self.order[drawn(n, count, seed)]).astype(np.int64)
        quota = apportioned(self.sizes, count)
        taken = [
            self.by_piece[end - size : end][drawn(int(size), int(wanted), seed)]
            for end, size, wanted in zip(np.cumsum(self.sizes), self.sizes, quota, strict=True)
        ]
        return np.sort(np.concatenate(taken)).astype(np.int64)


def spread_of(index: npt.NDArray[np.int32]) -> Spread:
    """The curve through the tiles whose column and row in the grid are `index` int (n, 2), and their pieces."""
    if not len(index):
        none = np.zeros(0, np.int32)
        return Spread(none, none, np.zeros(0, np.int64))
    order = _along_curve(index)
    piece = _pieces(index)[order]
    by_piece = order[np.argsort(piece, kind="stable")]
    return Spread(order.astype(np.int32), by_piece.astype(np.int32), np.bincount(piece))


def spread_rows(index: npt.NDArray[np.int32], count: int, seed: int = 0) -> Rows:
    """At most `count` tiles, spread evenly over all tissue; `index` int (n, 2) is their column and row in the grid.

    Each piece of tissue (tiles that touch) gets its share, and at least one tile where `count` allows it. Within a
    piece every k-th tile is taken along a Hilbert curve (Hilbert, Math. Ann. 38, 1891), so neighbours
    are hardly ever taken together and every tile is as likely as any other.
    """
    return np.arange(len(index)) if count >= len(index) else spread_of(index).rows(count, seed)


def farthest_rows(points: Points, count: int, seed: int = 0) -> Rows:
    """At most `count` rows of `points` (n, d), each the farthest from those before; the first is drawn with `seed`.

    No point is then farther from a chosen one than twice what the best choice would have
    (Gonzalez, Theoretical Computer Science 38, 1985). Takes n x `count` distances.
    """
    n = len(points)
    if count >= n:
        return np.arange(n)
    chosen = np.empty(count, np.int64)
    chosen[0] = np.random.Generator(np.random.PCG64(seed)).integers(n)
    nearest = np.full(n, np.inf)
    for k in range(1, count):
        np.minimum(nearest, _squares(points, points[chosen[k - 1]]), out=nearest)
        nearest[chosen[k - 1]] = -1.0  # never twice, even among points that are the same
        chosen[k] = np.argmax(nearest)
    return np.sort(chosen)


def mosaic_rows(colours: Points, positions: Points, count: int, seed: int = 0) -> Rows:
    """At most `count` tiles that show all colours of a slide, and each of them all over it.

    `colours` (n, c) and `positions` (n, 2) belong to the same tiles. As in Yottixel tiles are grouped by colour, each
    group by position into as many clusters as it may give tiles, and of each the tile nearest to its middle is taken.
    A group gives tiles by its size, and at least one.
    """
    n = len(colours)
    if count >= n:
        return np.arange(n)
    groups = kmeans(colours, min(COLOURS, count), seed).labels
    quota = apportioned(np.bincount(groups), count)
    taken = []
    for group, wanted in enumerate(quota.tolist()):
        members = np.flatnonzero(groups == group)
        clusters = kmeans(positions[members], wanted, seed)
        taken.append(members[clusters.nearest])
    return np.sort(np.concatenate(taken))


def cellular_rows(
    density: npt.NDArray[np.float32], colours: Points, positions: Points, count: int, seed: int = 0
) -> Rows:
    """A mosaic of the tiles of highest nuclear `density` (n,): of the densest half, but of at least `count` tiles.

    A tile without a density (NaN) is never taken.
    """
    known = np.flatnonzero(np.isfinite(density))
    keep = max(count, (len(known) + 1) // 2)
    densest = np.sort(known[np.argsort(-density[known], kind="stable")[:keep]])
    return np.asarray(densest[mosaic_rows(colours[densest], positions[densest], count, seed)])


def apportioned(sizes: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Shares of `count` in proportion to `sizes`, which sum up to it exactly: at least 1 each, at most the size.

    Largest remainders, and on a tie the earlier. `count` is from the number of sizes to their sum; none is 0.
    """
    quota = np.ones(len(sizes), np.int64)
    while (left := count - int(quota.sum())) > 0:
        free = sizes - quota
        exact = free * (left / free.sum())
        step = np.minimum(np.floor(exact).astype(np.int64), free)
        rest = left - int(step.sum())
        most = np.argsort(-(exact - step) * (free > step), kind="stable")[:rest]
        step[most] += 1
        quota += np.minimum(step, free)
    return quota


def _every(n: int, count: int, seed: int) -> Rows:
    """`count` of `n` places at equal distances, from a start drawn with `seed`."""
    start = np.random.Generator(np.random.PCG64(seed)).random()
    return np.asarray((np.arange(count) + start) * (n / count), np.int64)


def _one_of_each(n: int, count: int, seed: int) -> Rows:
    """`count` of `n` places on a ring, one of each of `count` stretches that differ by one place at most.

    Where the ring is cut is drawn first, so that a place in a longer stretch is no less likely than another.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    edges = np.asarray((np.arange(count + 1) + rng.random()) * (n / count), np.int64)
    edges[-1] = edges[0] + n
    return np.asarray((edges[:-1] + np.asarray(rng.random(count) * np.diff(edges), np.int64)) % n)


def _squares(points: Points, centre: Points) -> Points:
    """Squared distances (n,), summed column by column."""
    total = np.zeros(len(points))
    for k in range(points.shape[1]):
        total += (points[:, k] - centre[k]) ** 2
    return total


def _pieces(index: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """The piece of tissue that each tile belongs to, from 0 on, (n,): tiles that touch, also in a corner."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    x, y = (index - index.min(axis=0) + 1).astype(np.int64).T
    width = int(x.max()) + 2
    key = y * width + x
    order = np.argsort(key, kind="stable")
    links = []
    for step in (1, width - 1, width, width + 1):
        at = np.minimum(np.searchsorted(key[order], key + step), len(key) - 1)
        found = np.flatnonzero(key[order][at] == key + step)
        links.append(np.stack([found, order[at[found]]]))
    rows, columns = np.concatenate(links, axis=1)
    same = order[1:][np.diff(key[order]) == 0], order[:-1][np.diff(key[order]) == 0]
    rows, columns = np.concatenate([rows, same[0]]), np.concatenate([columns, same[1]])
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(key), len(key)))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _along_curve(index: npt.NDArray[np.int32]) -> Rows:
    """The rows of `index` in the order in which a Hilbert curve passes them."""
    x, y = (index - index.min(axis=0)).astype(np.int64).T
    bits = max(1, int(max(x.max(initial=0), y.max(initial=0))).bit_length())
    if bits > _BITS:
        x, y, bits = x >> (bits - _BITS), y >> (bits - _BITS), _BITS
    place = np.zeros(len(x), np.int64)
    for bit in range(bits - 1, -1, -1):
        right, down = (x >> bit) & 1, (y >> bit) & 1
        place = (place << 2) | ((3 * right) ^ down)
        low = (1 << bit) - 1
        turned = down == 0
        flip = turned & (right == 1)
        x, y = np.where(flip, low - (x & low), x & low), np.where(flip, low - (y & low), y & low)
        x, y = np.where(turned, y, x), np.where(turned, x, y)
    return np.argsort(place, kind="stable")
