"""The read plan [hot]: from which stored blocks the tiles of one slide are made, in which order, and until when
each block is needed.

Pure tables, made with numpy before anything is read. Tiles keep the order of their grid and are cut into work units;
what a unit makes does not depend on who works on the others, or when.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size
from wsi_features.slides.slide import BlockLayout, Level
from wsi_features.tiles.grid import TileGrid, TileScale
from wsi_features.tiles.kernels import Interpolation, margin

Ints = npt.NDArray[np.int64]
Cut = tuple[int, int, int, int, int, int, int, int, int]
"""Tile of the unit; top, bottom, left, right in the tile; the same in the reduced block."""

MOST_TILES, MOST_BLOCKS = 32, 128
"""Of one unit. Its fixed cost is then 4 us a tile (measured), and it is done within a fraction of a second."""
MOST_UNIT_BYTES = 48 * 2**20
_UNITS_AT_ONCE = 2048
_LEAST_ON_BLOCKS = 0.9
"""Share of tiles that must lie on whole pixels of reduced blocks, if these are to be used: the others cost more."""


@dataclass(frozen=True, slots=True, eq=False)
class ReadPlan:
    """Units of work, and the blocks that each needs.

    Unit u makes the tiles `starts[u]` to `starts[u + 1]` and needs the blocks numbered
    `blocks[entries[u] : entries[u + 1]]`, in ascending order. Entries with one number in `lives` share one decoding,
    of which `uses` counts them: a block has more than one life only where keeping it would take too much memory.

    With a `reduction` of 1 or more, blocks are reduced by it and tiles are copied from them: `corners` (n, 2) is
    where each tile lies in the reduced pixels. With 0 each tile is resampled from its own pixels. `spans` (n, 4)
    holds each tile's first block column and row and its last ones + 1. It is empty where the tile is read apart:
    it touches a block that cannot be read, or does not lie as the others do.
    """

    starts: Ints
    spans: Ints
    corners: Ints
    block: Size
    across: int
    reduction: int
    entries: Ints
    blocks: Ints
    lives: Ints
    uses: Ints

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.starts) - 1

    def apart(self, unit: int) -> list[int]:
        """The tiles of a unit that are not made from the plan's blocks, counted from its first."""
        spans = self.spans[self.starts[unit] : self.starts[unit + 1]]
        found: list[int] = np.flatnonzero(spans[:, 2] <= spans[:, 0]).tolist()
        return found

    def first_tiles(self, unit: int) -> list[int]:
        """For each entry of a unit: the first tile that shows its block, counted from the unit's first."""
        first, last = self.starts[unit : unit + 2]
        tiles, numbers = block_pairs(self.spans[first:last], self.across)
        found: list[int] = tiles[np.unique(numbers, return_index=True)[1]].tolist()
        return found

    def cuts(self, unit: int, size: int) -> list[list[Cut]]:
        """For each entry of a unit: which part of its reduced block goes where, in tiles of `size` pixels."""
        first, last = self.starts[unit : unit + 2]
        tiles, numbers = block_pairs(self.spans[first:last], self.across)
        order = np.argsort(numbers, kind="stable")
        tiles, numbers = tiles[order], numbers[order]
        height, width = self.block.height // self.reduction, self.block.width // self.reduction
        corners = self.corners[first:last][tiles]
        across = _overlap(corners[:, 0], numbers % self.across * width, size, width)
        down = _overlap(corners[:, 1], numbers // self.across * height, size, height)
        columns = (tiles, down[0], down[1], across[0], across[1], down[2], down[3], across[2], across[3])
        cuts: list[Cut] = list(zip(*(column.tolist() for column in columns), strict=True))
        own = self.blocks[self.entries[unit] : self.entries[unit + 1]]
        bounds = [*np.searchsorted(numbers, own).tolist(), len(cuts)]
        return [cuts[bounds[i] : bounds[i + 1]] for i in range(len(own))]


def read_plan(  # noqa: PLR0913 - all that the order of work follows from
    grid: TileGrid,
    scale: TileScale,
    level: Level,
    layout: BlockLayout,
    interpolation: Interpolation,
    *,
    batch: int,
    kept_bytes: int,
    first: int = 0,
) -> ReadPlan:
    """The plan for the tiles of `grid` from row `first` on, in batches of `batch`, which units never cross.

    Blocks that later units need are kept, up to `kept_bytes` once decoded; others are decoded again.
    """
    boxes, reduction = _boxes(grid, scale, level, layout.size, interpolation)
    block = np.array([layout.size.width, layout.size.height] * 2)
    spans = boxes // block
    spans[:, 2:] = -(-boxes[:, 2:] // block[2:])
    spans[_touching(~layout.readable, layout.across, spans)] = 0
    area = scale.span**2 / (scale.downsample_x * scale.downsample_y)
    starts = unit_starts(first, len(grid), batch, _tiles_of_a_unit(area, layout.size, held=not reduction))
    entries, blocks = _entries(spans, starts, layout)
    most_kept = kept_bytes // (3 * layout.size.area // max(reduction, 1) ** 2)
    lives, uses = _lives(entries, blocks, most_kept)
    corners = boxes[:, :2] // max(reduction, 1)
    return ReadPlan(starts, spans, corners, layout.size, layout.across, reduction, entries, blocks, lives, uses)


def unit_starts(first: int, end: int, batch: int, most: int) -> Ints:
    """First tiles of units of `most` tiles or fewer, and `end`: batches, counted from `first`, in equal parts."""
    found: list[int] = []
    for start in range(first, end, batch):
        tiles = min(batch, end - start)
        parts = -(-tiles // most)
        found += [start + tiles * part // parts for part in range(parts)]
    return np.array([*found, max(first, end)], np.int64)


def block_pairs(spans: Ints, across: int) -> tuple[Ints, Ints]:
    """Every pair of a tile and a block that it touches: tile index and block number, tile by tile, row by row."""
    width, height = spans[:, 2] - spans[:, 0], spans[:, 3] - spans[:, 1]
    counts = width * height
    tiles = np.repeat(np.arange(len(spans)), counts)
    within = np.arange(len(tiles)) - np.repeat(np.cumsum(counts) - counts, counts)
    wide = width[tiles]
    return tiles, (spans[tiles, 1] + within // wide) * across + spans[tiles, 0] + within % wide


def _boxes(
    grid: TileGrid, scale: TileScale, level: Level, block: Size, interpolation: Interpolation
) -> tuple[Ints, int]:
    """The pixels of the level that each tile needs, (n, 4) as left, top, right, bottom, and the reduction.

    Where tiles are copied from reduced blocks, the box of a tile that cannot be is empty.
    """
    extent = np.array([level.size.width, level.size.height])
    downsample = np.array([scale.downsample_x, scale.downsample_y])
    start, width = grid.origins / downsample, scale.span / downsample
    reduction = _reduction(width / scale.size, block, interpolation)
    if reduction:
        fits = ((start >= 0) & (start % reduction == 0) & (start + width <= extent)).all(axis=1)
        if np.count_nonzero(fits) >= _LEAST_ON_BLOCKS * len(fits):
            boxes = np.concatenate([start, start + width], axis=1).astype(np.int64)
            return np.where(fits[:, None], boxes, 0), reduction
    # As tile_pixels does it. A box that is too small costs time, never pixels: what is not there is read apart.
    after = 0 if level.downsample.is_integer() else 1
    low = np.minimum(np.floor(start), extent - 1)
    high = np.maximum(low + 1, np.minimum(np.ceil(start + width - 1e-9), extent))
    around = margin(interpolation, float(max(width)) / scale.size)
    boxes = np.concatenate([np.maximum(low - around, 0), np.minimum(high + around + after, extent)], axis=1)
    return boxes.astype(np.int64), 0


def _reduction(factors: npt.NDArray[np.float64], block: Size, interpolation: Interpolation) -> int:
    """By how much whole blocks can be reduced before tiles are cut out of them, the results being the same; or 0."""
    across, down = factors.tolist()
    factor = int(across)
    if across != down or factor < 1 or factor != across:
        return 0
    if factor > 1 and (interpolation != "area" or block.width % factor or block.height % factor):
        return 0
    return factor


def _touching(wanted: npt.NDArray[np.bool_], across: int, spans: Ints) -> npt.NDArray[np.bool_]:
    """Which spans hold one of the `wanted` blocks at least, by a summed-area table."""
    if not wanted.any():
        return np.zeros(len(spans), np.bool_)
    table = wanted.reshape(-1, across).cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    table = np.pad(table, ((1, 0), (1, 0)))
    left, top, right, bottom = spans.T
    return np.asarray(table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left] > 0)


def _tiles_of_a_unit(area: float, block: Size, *, held: bool) -> int:
    """`held` says that all decoded blocks of a unit are in memory at once."""
    blocks = max(1.0, area / block.area)
    most = min(MOST_TILES, MOST_BLOCKS / blocks)
    if held:
        most = min(most, MOST_UNIT_BYTES / (blocks * block.area * 3))
    return max(1, int(most))


def _entries(spans: Ints, starts: Ints, layout: BlockLayout) -> tuple[Ints, Ints]:
    """The blocks of every unit, each once and ascending, and where those of each unit begin."""
    total, units = len(layout.readable), len(starts) - 1
    found = [np.zeros(0, np.int64)]
    for unit in range(0, units, _UNITS_AT_ONCE):
        bounds = starts[unit : unit + _UNITS_AT_ONCE + 1]
        tiles, numbers = block_pairs(spans[bounds[0] : bounds[-1]], layout.across)
        owner = np.repeat(np.arange(unit, unit + len(bounds) - 1), np.diff(bounds))
        found.append(np.unique(owner[tiles] * total + numbers))
    keys = np.concatenate(found)
    return np.searchsorted(keys, np.arange(units + 1) * total), keys % max(total, 1)


def _lives(entries: Ints, blocks: Ints, most_kept: int) -> tuple[Ints, Ints]:
    """Which entries share a decoding, and how many share each. Never more than `most_kept` are kept for later units."""
    units = len(entries) - 1
    unit = np.repeat(np.arange(units), np.diff(entries))
    numbers, begin, index, uses = np.unique(blocks, return_index=True, return_inverse=True, return_counts=True)
    last = np.zeros(len(numbers), np.int64)
    last[index] = unit  # entries are in the order of units, so the last one stays
    kept = np.bincount(unit[begin], minlength=units) - np.bincount(last, minlength=units)
    if kept.cumsum().max(initial=0) <= most_kept:
        return index, uses
    lives = _short_lives(unit.tolist(), index.tolist(), last.tolist(), most_kept)
    return lives, np.bincount(lives)


def _short_lives(units: list[int], index: list[int], last: list[int], most_kept: int) -> Ints:
    """The life of each entry where not all can be kept: those that come first are, until nobody needs them."""
    alive: dict[int, int] = {}
    lives = np.zeros(len(index), np.int64)
    count = 0
    for entry, (unit, block) in enumerate(zip(units, index, strict=True)):
        if block in alive:
            lives[entry] = alive[block] if last[block] > unit else alive.pop(block)
            continue
        lives[entry] = count
        if last[block] > unit and len(alive) < most_kept:
            alive[block] = count
        count += 1
    return lives


def _overlap(tile: Ints, block: Ints, tile_px: int, block_px: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Along one axis: where a tile and a block overlap, counted from the tile's start and from the block's."""
    low, high = np.maximum(tile, block), np.minimum(tile + tile_px, block + block_px)
    return low - tile, high - tile, low - block, high - block
