"""One slide as a source of batches: what is wanted of it, and its state while the stream reads it.

A source is a value and opens nothing. The reading of one knows no thread: the stream says who does what, and guards
all that changes here with its own lock, except for the slides handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from threading import Lock
from time import perf_counter

import numpy as np
import numpy.typing as npt

from wsi_features.errors import SlideError, SlideFileError, TileReadError
from wsi_features.slides.slide import BlockSlide, Pixels, Slide
from wsi_features.tiles.blocks import BlockDecoder, BlockTiles, BlockView
from wsi_features.tiles.grid import TileBatch, TileGrid, TileScale
from wsi_features.tiles.pixels import tile_pixels
from wsi_features.tiles.plan import Ints, read_plan, unit_starts
from wsi_features.tiles.recipe import ReadRecipe
from wsi_features.tiles.watch import StreamTimes, Watch

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]
SlideOpener = Callable[[], Slide]

_TILES_APART = 16
"""Tiles of a unit where a slide gives no blocks."""


@dataclass(frozen=True, slots=True, eq=False)
class TileSource:
    """The tiles wanted of one slide: those of `grid` from row `first` on, read at `scale` as `recipe` says.

    The slide is opened in a thread of the stream, and closed there. `finish` changes finished tiles, uint8
    (b, size, size, 3), in place, in the thread that made them; before that, `measure` gives the `measures` columns
    float32 (b, measures) of them. `decoder` is asked first to decode stored blocks. `key` is the caller's: it comes back
    with everything that the stream says of this source.
    """

    slide_id: str
    open_slide: SlideOpener
    grid: TileGrid
    scale: TileScale
    recipe: ReadRecipe
    first: int = 0
    finish: Callable[[U8], object] | None = None
    measure: Callable[[U8], F32] | None = None
    measures: int = 0
    decoder: BlockDecoder | None = None
    key: object = None


@dataclass(slots=True, eq=False)
class Filling:
    """A batch that is being filled; `waiting` counts its units that are not done. Each unit writes its own tiles."""

    number: int
    rows: npt.NDArray[np.int64]
    pixels: U8
    valid: npt.NDArray[np.bool_]
    waiting: int
    columns: F32
    problems: dict[int, str] = field(default_factory=dict)

    def batch(self) -> TileBatch:
        """The finished batch."""
        problems = tuple(self.problems[row] for row in sorted(self.problems))
        return TileBatch(self.pixels, self.rows, self.valid, problems, self.columns)


class Reading:
    """A source while it is read. Batch number b holds `batch` rows from `source.first + b * batch` on.

    `failed_at` is the first batch that `error` keeps from being delivered; `users` counts who still needs the slide.
    """

    def __init__(self, source: TileSource, batch: int) -> None:
        self.source, self._batch = source, batch
        self.batches = max(0, -(-(len(source.grid) - source.first) // batch))
        self.fillings: dict[int, Filling] = {}
        self.next_unit, self.users, self.opened = 0, 1, False
        self.failed_at = inf
        self.error: BaseException | None = None
        self._starts: Ints = np.zeros(1, np.int64)
        self._tiles: BlockTiles | None = None
        self._slides: list[Slide] = []
        self._free: list[Slide] = []
        self._lock = Lock()

    def open(self, kept_bytes: int) -> None:
        """Open the slide and plan the reading of its tiles."""
        source, scale = self.source, self.source.scale
        slide = source.open_slide()
        self._slides, self._free = [slide], [slide]
        if not isinstance(slide, BlockSlide):
            self._starts = unit_starts(source.first, len(source.grid), self._batch, _TILES_APART)
            return
        layout = slide.blocks(scale.level)
        plan = read_plan(
            source.grid,
            scale,
            slide.levels[scale.level],
            layout,
            source.recipe.interpolation,
            batch=self._batch,
            kept_bytes=kept_bytes,
            first=source.first,
        )
        scaled = source.recipe.decode == "scaled" and layout.reducible
        self._starts = plan.starts
        self._tiles = BlockTiles(slide, scale.level, plan, scale.size, scaled=scaled, elsewhere=source.decoder)

    @property
    def units(self) -> int:
        """Number of units of work."""
        return len(self._starts) - 1

    def row(self, unit: int) -> int:
        """The first row of a unit."""
        return int(self._starts[unit])

    def number(self, unit: int) -> int:
        """The batch that a unit belongs to."""
        return (self.row(unit) - self.source.first) // self._batch

    def shape(self, number: int) -> tuple[int, int, int, int]:
        """Shape of the pixels of a batch."""
        start = self.source.first + number * self._batch
        size = self.source.scale.size
        return min(self._batch, len(self.source.grid) - start), size, size, 3

    def begin(self, number: int, pixels: U8) -> Filling:
        """A new batch to be filled, with memory for its pixels."""
        start = self.source.first + number * self._batch
        rows = np.arange(start, start + len(pixels))
        units = np.searchsorted(self._starts, [start, start + len(pixels)])
        columns = np.full((len(rows), self.source.measures), np.nan, np.float32)
        filling = Filling(number, rows, pixels, np.ones(len(rows), np.bool_), int(units[1] - units[0]), columns)
        self.fillings[number] = filling
        return filling

    def make(self, unit: int, filling: Filling, watch: Watch, times: StreamTimes) -> None:
        """Fill the tiles of one unit; any thread."""
        first, end = self._starts[unit : unit + 2].tolist()
        offset = first - int(filling.rows[0])
        slots = filling.pixels[offset : offset + end - first]
        start = perf_counter()
        with ExitStack() as stack:
            lent: list[Slide] = []

            def whole() -> Slide:
                if not lent:
                    lent.append(stack.enter_context(self._lent()))
                return lent[0]

            for tile, pixels in self._apart(unit, slots, whole, watch, times):
                slots[tile] = pixels.rgb
                if problem := _problem(pixels, self.source.recipe):
                    filling.valid[offset + tile] = False
                    filling.problems[first + tile] = problem
        made = perf_counter()
        rest = made - start - times.reading - times.decoding
        times.tiles += end - first
        if self._tiles is None:
            times.decoding += rest
        else:
            times.resampling += rest
        if self.source.measure is not None:
            part = slice(offset, offset + end - first)
            filling.columns[part] = np.where(filling.valid[part, None], self.source.measure(slots), np.float32("nan"))
            made, measured = perf_counter(), made
            times.measuring += made - measured
        if self.source.finish is not None:
            self.source.finish(slots)
            times.finishing += perf_counter() - made

    def _apart(
        self, unit: int, slots: U8, whole: SlideOpener, watch: Watch, times: StreamTimes
    ) -> Iterator[tuple[int, Pixels]]:
        """The tiles of a unit that are made one by one; the others are in their slots by then."""
        source, blocks = self.source, self._tiles
        tiles: Iterable[int] = range(len(slots))
        slide: Slide | None = None
        if blocks is not None and blocks.plan.reduction:
            tiles = blocks.copied(unit, slots, watch, times)
        elif blocks is not None:
            slide = BlockView(self._slides[0], blocks.plan, blocks.whole(unit, watch, times), whole)
        for tile in tiles:
            row = self.row(unit) + tile
            watch.at(row)
            x, y = source.grid.origins[row].tolist()
            yield tile, tile_pixels(slide or whole(), x, y, source.scale, source.recipe.interpolation)

    @contextmanager
    def _lent(self) -> Iterator[Slide]:
        """A slide for one thread at a time; it is opened once more where all are in use."""
        with self._lock:
            slide = self._free.pop() if self._free else None
            if slide is None:
                slide = self._slides[0].reopened()
                self._slides.append(slide)
        yield slide
        with self._lock:  # after an error the slide is not lent again, only closed
            self._free.append(slide)

    def unwanted(self, number: int) -> bool:
        """Whether batch `number` will not be delivered."""
        return self.failed_at < number

    def stalled(self, row: int, seconds: float) -> SlideError:
        """The error for work on a row that does not end, or for opening, which is row -1."""
        if row < 0:
            return SlideFileError.stalled(self.source.slide_id, seconds)
        x, y = self.source.grid.origins[row].tolist()
        return TileReadError.stalled(self.source.slide_id, x, y, seconds)

    def end(self) -> None:
        """Send away those who wait for blocks of others."""
        if self._tiles is not None:
            self._tiles.shared.end()

    def close(self) -> None:
        """Close the slides; nobody uses them any more."""
        with ExitStack() as stack:
            for slide in self._slides:
                stack.callback(slide.close)


def _problem(tile: Pixels, recipe: ReadRecipe) -> str:
    if tile.status == "ok" and tile.coverage >= recipe.min_coverage:
        return ""
    return tile.reason or f"only {tile.coverage:.1%} of it was scanned"
