"""Tiles from blocks [hot]: each block of a level is decoded once, reduced while it is hot, and put into all tiles
that show a part of it.

The tiles are equal to the bit to those of `tile_pixels`, which also makes those that damaged or missing blocks touch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition
from time import perf_counter

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import BlockSlide, Pixels, Slide, SlideBase
from wsi_features.tiles.plan import Cut, ReadPlan
from wsi_features.tiles.watch import AbandonedError, StreamTimes, Watch

U8 = npt.NDArray[np.uint8]
Block = U8 | str
"""Decoded pixels uint8 (h, w, 3), or why there are none."""
BlockDecoder = Callable[[Sequence[bytes | None], Size, int], Sequence[U8 | None]]
"""From JPEG files, the size of a block and a reduction to reduced blocks; None where there is none, or it will not."""


class SharedBlocks:
    """The decoded blocks that several units of one plan need: decoded by one of them, dropped by the last."""

    def __init__(self, plan: ReadPlan) -> None:
        self._changed = Condition()
        self._left: list[int] = plan.uses.tolist()
        self._claimed: set[int] = set()
        self._held: dict[int, Block] = {}
        self._ended = False

    def claim(self, lives: Sequence[int]) -> set[int]:
        """Those of `lives` that the caller must now `put` or `give_up`; all others are here, or being decoded."""
        with self._changed:
            mine = {life for life in lives if life not in self._claimed}
            self._claimed |= mine
        return mine

    def put(self, life: int, block: Block) -> None:
        """Give a decoded block to all who wait for it."""
        with self._changed:
            self._held[life] = block
            self._changed.notify_all()

    def wait(self, life: int) -> Block | None:
        """A block that another unit decodes; None where that was given up and the caller has the claim now."""
        with self._changed:
            while life not in self._held:
                if self._ended:
                    raise AbandonedError
                if life not in self._claimed:
                    self._claimed.add(life)
                    return None
                self._changed.wait()
            return self._held[life]

    def give_up(self, lives: Collection[int]) -> None:
        """The caller will not decode these after all."""
        with self._changed:
            self._claimed.difference_update(lives)
            self._changed.notify_all()

    def release(self, lives: Sequence[int]) -> None:
        """One unit has no more use for these."""
        with self._changed:
            for life in lives:
                self._left[life] -= 1
                if not self._left[life]:
                    self._held.pop(life, None)

    def end(self) -> None:
        """Send away all who wait."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """Number of blocks that are held."""
        return len(self._held)


@dataclass(slots=True, eq=False)
class _Unit:
    """One unit while it is made: life, block number and first tile of each entry, and the bytes read so far.

    `alone` marks entries that no other unit shares; `owed` are the lives that it has claimed and not put yet.
    `scratch` holds one block, for those that are copied at once.
    """

    lives: list[int]
    numbers: list[int]
    rows: list[int]
    alone: list[bool]
    owed: set[int]
    scratch: U8
    watch: Watch
    times: StreamTimes
    data: dict[int, bytes | Block] = field(default_factory=dict)


class BlockTiles:
    """Makes the tiles of a plan's units, for any number of threads.

    `scaled` leaves reducing to the decoder; `elsewhere` is asked for all blocks of a unit before they are decoded here.
    """

    def __init__(
        self,
        slide: BlockSlide,
        level: int,
        plan: ReadPlan,
        size: int,
        *,
        scaled: bool = False,
        elsewhere: BlockDecoder | None = None,
    ) -> None:
        self._slide, self._level, self.plan, self._size, self._elsewhere = slide, level, plan, size, elsewhere
        self.shared = SharedBlocks(plan)
        reduction = max(plan.reduction, 1)
        self._reduced = Size(plan.block.width // reduction, plan.block.height // reduction)
        self._by_decoder = reduction if scaled and reduction in {2, 4, 8} else 1
        self._by_average = reduction > self._by_decoder

    def copied(self, number: int, slots: U8, watch: Watch, times: StreamTimes) -> list[int]:
        """Copy the tiles of unit `number` into `slots` (n, size, size, 3); returns those that must be read apart."""
        plan, failed = self.plan, set[int]()
        cuts = plan.cuts(number, self._size)
        with self._unit(number, [places[0][0] for places in cuts], watch, times) as unit:
            for entry in self._own_first(unit):
                places = cuts[entry]
                alone = unit.alone[entry]
                target = self._target(places, slots) if alone else None
                block = self._block(unit, entry, target, passing=alone)
                if isinstance(block, str):
                    failed.update(place[0] for place in places)
                elif block is not target:
                    for tile, top, bottom, left, right, y0, y1, x0, x1 in places:
                        slots[tile, top:bottom, left:right] = block[y0:y1, x0:x1]
        return sorted(failed.union(plan.apart(number)))

    def whole(self, number: int, watch: Watch, times: StreamTimes) -> dict[int, Block]:
        """All blocks of unit `number`, by their number on the level."""
        with self._unit(number, self.plan.first_tiles(number), watch, times) as unit:
            return {unit.numbers[entry]: self._block(unit, entry) for entry in self._own_first(unit)}

    @contextmanager
    def _unit(self, number: int, tiles: list[int], watch: Watch, times: StreamTimes) -> Iterator[_Unit]:
        """A unit with its claims and the bytes of the blocks that it decodes; what it holds is let go at the end."""
        plan = self.plan
        own = slice(*plan.entries[number : number + 2].tolist())
        lives, numbers = plan.lives[own], plan.blocks[own].tolist()
        alone = (plan.uses[lives] == 1).tolist()
        shared = [life for life, single in zip(lives.tolist(), alone, strict=True) if not single]
        first = int(plan.starts[number])
        owed, scratch = self.shared.claim(shared), cached_array(plan.block)
        unit = _Unit(lives.tolist(), numbers, [first + tile for tile in tiles], alone, owed, scratch, watch, times)
        try:
            self._read(unit, [e for e, life in enumerate(unit.lives) if alone[e] or life in owed])
            yield unit
        finally:
            if owed:
                self.shared.give_up(owed)
            self.shared.release(shared)

    def _read(self, unit: _Unit, entries: list[int]) -> None:
        """The bytes of some entries, in ascending order: as they mostly lie on the disk."""
        start = perf_counter()
        if entries:
            unit.watch.at(unit.rows[entries[0]])
        found = self._slide.compressed(self._level, [unit.numbers[entry] for entry in entries])
        unit.data.update(zip(entries, found, strict=True))
        unit.times.bytes_read += sum(len(data) for data in found if isinstance(data, bytes))
        unit.times.reading += perf_counter() - start
        if self._elsewhere is not None:
            self._decode_elsewhere(unit, entries, self._elsewhere)

    def _decode_elsewhere(self, unit: _Unit, entries: list[int], decoder: BlockDecoder) -> None:
        """Put the reduced blocks that `decoder` makes in place of their bytes."""
        start = perf_counter()
        data = [unit.data[entry] for entry in entries]
        streams = [self._slide.standalone(self._level, d) if isinstance(d, bytes) else None for d in data]
        for entry, block in zip(entries, decoder(streams, self.plan.block, max(self.plan.reduction, 1)), strict=True):
            if block is not None:
                unit.data[entry] = block
                unit.times.blocks += 1
        unit.times.decoding += perf_counter() - start

    @staticmethod
    def _own_first(unit: _Unit) -> list[int]:
        """The entries, those last that other units decode: they are mostly done by then."""
        others = [entry for entry in range(len(unit.lives)) if entry not in unit.data]
        return [*unit.data, *others]

    def _block(self, unit: _Unit, entry: int, target: U8 | None = None, *, passing: bool = False) -> Block:
        """The reduced block of an entry, decoded here or by another unit: `target` itself where one is given.

        One that is `passing` is gone when the next is asked for.
        """
        life = unit.lives[entry]
        if entry not in unit.data:
            unit.watch.rest()
            found = self.shared.wait(life)
            if found is not None:
                return found
            unit.owed.add(life)
            self._read(unit, [entry])
        unit.watch.at(unit.rows[entry])
        data = unit.data.pop(entry)
        block = self._decoded(unit, data, target, passing=passing) if isinstance(data, bytes) else data
        if life in unit.owed:
            self.shared.put(life, block)
            unit.owed.discard(life)
        return block

    def _decoded(self, unit: _Unit, data: bytes, target: U8 | None, *, passing: bool) -> Block:
        import cv2

        reduced = self._reduced
        if self._by_average:
            out = unit.scratch
        elif target is not None and target.flags.c_contiguous:
            out = target
        else:
            out = unit.scratch if passing and self._by_decoder == 1 else cached_array(reduced)
        start = perf_counter()
        block = self._slide.decode(self._level, data, out, self._by_decoder)
        unit.times.decoding += perf_counter() - start
        unit.times.blocks += 1
        if isinstance(block, str) or out is target:
            return block
        if self._by_average:
            size = (reduced.width, reduced.height)
            block = np.asarray(cv2.resize(block, size, dst=target, interpolation=cv2.INTER_AREA), np.uint8)
        elif target is not None:
            target[...] = block
        return block if target is None else target

    def _target(self, places: list[Cut], slots: U8) -> U8 | None:
        """Where a block lies in the only tile that shows it, if that shows all of it."""
        tile, top, bottom, left, right, *_ = places[0]
        if len(places) > 1 or bottom - top != self._reduced.height or right - left != self._reduced.width:
            return None
        return slots[tile, top:bottom, left:right]


def cached_array(size: Size) -> U8:
    """An empty block whose rows start 16 bytes off a multiple of 32, if all do.

    Where they start at one, libjpeg-turbo writes past the cache, and all that reads the block next waits for memory:
    decoding and halving then take 1.27 times as long (measured).
    """
    memory = np.empty(size.area * 3 + 48, np.uint8)
    start = (16 - memory.ctypes.data) % 32
    return memory[start : start + size.area * 3].reshape(size.height, size.width, 3)


class BlockView(SlideBase):
    """A slide as far as some decoded blocks of one level show it; `whole` gives the slide for all else."""

    reader = "blocks"

    def __init__(self, slide: Slide, plan: ReadPlan, blocks: Mapping[int, Block], whole: Callable[[], Slide]) -> None:
        self.levels, self._plan, self._blocks, self._whole = slide.levels, plan, blocks, whole

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region`; `level` is the one that the plan is for."""
        if not region.inside(self.levels[level].size):
            return self._whole().read(region, level)
        size, across = self._plan.block, self._plan.across
        columns = range(region.x // size.width, -(-(region.x + region.width) // size.width))
        rows = range(region.y // size.height, -(-(region.y + region.height) // size.height))
        canvas = np.empty((region.height, region.width, 3), np.uint8)
        for row in rows:
            for column in columns:
                block = self._blocks.get(row * across + column)
                if block is None or isinstance(block, str):
                    return self._whole().read(region, level)
                _paste(canvas, block, column * size.width - region.x, row * size.height - region.y)
        return Pixels(canvas, 1.0, "ok")

    def reopened(self) -> Slide:
        """The whole slide, for another thread."""
        return self._whole().reopened()


def _paste(canvas: U8, block: U8, left: int, top: int) -> None:
    """Copy a block whose corner lies at (left, top) of the canvas, as far as it lies there."""
    above, before = max(0, -top), max(0, -left)
    part = block[above : canvas.shape[0] - top, before : canvas.shape[1] - left]
    y, x = top + above, left + before
    canvas[y : y + part.shape[0], x : x + part.shape[1]] = part
