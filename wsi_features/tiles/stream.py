"""The tile stream [hot]: the tiles of many slides as batches, read by several threads ahead of use, across slide borders.

What is delivered does not depend on the threads, the queue or the memory allowed. The state is one object under one
lock: a thread prepares sources, the others make units of work in order, and the consumer takes batches in order.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from threading import Condition, Thread
from time import monotonic, perf_counter
from typing import Self

from wsi_features.tiles.grid import TileBatch, TileGrid, TileScale
from wsi_features.tiles.recipe import ReadRecipe
from wsi_features.tiles.schedule import Limits, Schedule, Task
from wsi_features.tiles.source import Filling, Reading, SlideOpener, TileSource
from wsi_features.tiles.watch import StreamTimes, Watch

_END_SECONDS = 1.0
"""How long the end of a stream waits for its threads."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceBatch:
    """The next batch of a source."""

    source: TileSource
    tiles: TileBatch


@dataclass(frozen=True, slots=True, eq=False)
class SourceEnd:
    """All batches of a source have been delivered."""

    source: TileSource


@dataclass(frozen=True, slots=True, eq=False)
class SourceFault:
    """What keeps the rest of a source from being delivered, in place of its end."""

    source: TileSource
    error: BaseException


Streamed = SourceBatch | SourceEnd | SourceFault


def tile_stream(
    sources: Iterable[TileSource],
    *,
    batch: int,
    workers: int,
    ahead: int = 4,
    memory_mib: int = 512,
    stall_seconds: float = 60.0,
    times: StreamTimes | None = None,
) -> Iterator[Streamed]:
    """The tiles of all sources, in their order, `batch` at a time; each source ends with a SourceEnd or a SourceFault.

    Up to `ahead` batches are made ahead of use, also those of the next sources. `sources` is gone through, and
    slides are opened, in a thread of the stream. About half of `memory_mib` is for batches and half for decoded
    blocks; two batches are made ahead in any case. Damage that a reader reports is an invalid tile; an error that
    it raises, or work on one tile that does not end within `stall_seconds`, is the fault of its source alone.
    What `sources` raises is raised here, after all that came before. Closing the iterator ends the threads and
    closes the slides. `times` is filled while the stream runs.
    """
    limits = Limits(batch, workers, ahead, memory_mib * 2**20 // 2, stall_seconds)
    with _Stream(sources, limits, times if times is not None else StreamTimes()).running() as stream:
        yield from stream.delivered()


def tile_batches(
    open_slide: SlideOpener,
    grid: TileGrid,
    scale: TileScale,
    recipe: ReadRecipe,
    *,
    batch: int,
    workers: int,
    slide_id: str = "",
) -> Iterator[TileBatch]:
    """All tiles of one slide, `batch` at a time. An error of its reader reaches the caller."""
    source = TileSource(slide_id, open_slide, grid, scale, recipe)
    stream = tile_stream([source], batch=batch, workers=workers)
    try:
        for item in stream:
            if isinstance(item, SourceFault):
                raise item.error
            if isinstance(item, SourceBatch):
                yield item.tiles
    finally:
        stream.close()  # type: ignore[attr-defined] # it is a generator


class _Carried:
    """Takes what is raised in its block to the consumer of the stream, who is told: no thread ends by an error."""

    error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self.error = error
        return True


class _Stream:
    """The threads of one stream and what they wait for, for one `with` block."""

    def __init__(self, sources: Iterable[TileSource], limits: Limits, times: StreamTimes) -> None:
        self._sources, self._limits, self._times = iter(sources), limits, times
        self._changed = Condition()
        self._schedule = Schedule(limits)
        self._ended = self._all_prepared = False
        self._unplanned: BaseException | None = None
        self._threads: dict[Watch, Thread] = {}
        self._at_work: dict[Watch, Reading] = {}

    @contextmanager
    def running(self) -> Iterator[Self]:
        """The threads at work; at the end they are sent away, and waited for a moment."""
        for work in (self._prepare, *[self._work] * self._limits.workers):
            self._start(work)
        try:
            yield self
        finally:
            deadline = monotonic() + _END_SECONDS
            with self._changed:
                self._ended = True
                unread = list(self._schedule.unread)
                self._schedule.unread.clear()
                for reading in self._schedule.undelivered:
                    reading.failed_at = -1
                    reading.end()
                self._changed.notify_all()
                threads = list(self._threads.values())
            for reading in unread:
                self._release(reading)
            for thread in threads:
                thread.join(max(0.0, deadline - monotonic()))

    def _start(self, work: Callable[[Watch], None]) -> None:
        # Of those that hang nobody can know when they end, so no exit of the program waits for any of them.
        watch = Watch()
        self._threads[watch] = Thread(target=work, args=(watch,), name="tiles", daemon=True)
        self._threads[watch].start()

    def delivered(self) -> Iterator[Streamed]:
        """What the consumer gets, in order."""
        while (reading := self._next_source()) is not None:
            source, number = reading.source, 0
            while isinstance(found := self._awaited(reading, number), Filling):
                yield SourceBatch(source, found.batch())
                number += 1
            with self._changed:
                self._schedule.dismiss(reading)
                self._changed.notify_all()
            yield SourceEnd(source) if found is None else SourceFault(source, found)
        if self._unplanned is not None:
            raise self._unplanned

    def _next_source(self) -> Reading | None:
        with self._changed:
            while not self._schedule.undelivered and not self._all_prepared:
                self._wait_watchfully()
            return self._schedule.undelivered[0] if self._schedule.undelivered else None

    def _awaited(self, reading: Reading, number: int) -> Filling | BaseException | None:
        """Batch `number` once it is complete, or what went wrong, or None where the source has no more."""
        with self._changed:
            while True:
                if reading.failed_at <= number:
                    return reading.error
                if reading.opened and number == reading.batches:
                    return None
                if (filling := self._schedule.finished(reading, number)) is not None:
                    self._times.taken += 1
                    self._times.ready += 1 + self._schedule.ready
                    self._changed.notify_all()
                    return filling
                self._wait_watchfully()

    def _wait_watchfully(self) -> None:
        """The consumer waits, and meanwhile sees to it that nothing hangs; what does is left behind and replaced."""
        start = perf_counter()
        self._changed.wait(min(1.0, self._limits.stall_seconds / 4))
        self._times.for_batches += perf_counter() - start
        late = monotonic() - self._limits.stall_seconds
        for watch in [watch for watch in self._threads if watch.since < late]:
            reading = self._at_work[watch]
            watch.abandoned = True
            del self._threads[watch]
            self._schedule.fail(reading, -1, reading.stalled(watch.row, self._limits.stall_seconds))
            reading.end()
            self._start(self._work if reading.opened else self._prepare)
            self._changed.notify_all()

    def _prepare(self, watch: Watch) -> None:
        """A thread: go through the sources, open and plan each."""
        with _Carried() as carried:
            while (source := next(self._sources, None)) is not None and self._prepared(source, watch):
                pass
            if self._ended and isinstance(self._sources, Generator):
                self._sources.close()
        with self._changed:
            if not watch.abandoned:
                self._all_prepared = True
                self._unplanned = self._unplanned or carried.error
                self._changed.notify_all()

    def _prepared(self, source: TileSource, watch: Watch) -> bool:
        """Open one source, then wait until another is wanted; False where none will be by this thread."""
        reading = Reading(source, self._limits.batch)
        with self._changed:
            self._schedule.undelivered.append(reading)
            self._at_work[watch] = reading
            watch.begin(-1, bool)
        start = perf_counter()
        with _Carried() as carried:
            reading.open(self._limits.memory)
        with self._changed:
            watch.rest()
            self._times.opening += perf_counter() - start
            reading.opened = True
            if carried.error is not None:
                self._schedule.fail(reading, 0, carried.error)
            wanted = bool(reading.units) and reading.failed_at == inf and not self._ended
            if wanted:
                self._schedule.unread.append(reading)
            self._changed.notify_all()
        if not wanted:
            self._release(reading)
        with self._changed:
            while self._schedule.full and not self._ended:
                self._changed.wait()
            return not (self._ended or watch.abandoned)

    def _work(self, watch: Watch) -> None:
        """A thread: make units of work."""
        while self._one_unit(watch):
            pass

    def _one_unit(self, watch: Watch) -> bool:
        """Make the next unit, or return False where there will be none for this thread."""
        task = self._task(watch)
        if task is None:
            return False
        reading, unit, filling = task
        times = StreamTimes()
        with _Carried() as carried:
            reading.make(unit, filling, watch, times)
        with self._changed:
            watch.rest()
            self._times.add(times)
            if carried.error is None:
                filling.waiting -= 1
            else:
                self._schedule.fail(reading, filling.number, carried.error)
            self._changed.notify_all()
        self._release(reading)
        return True

    def _task(self, watch: Watch) -> Task | None:
        with self._changed:
            while not (self._ended or watch.abandoned):
                if (task := self._schedule.next_unit()) is not None:
                    reading, unit, filling = task
                    self._at_work[watch] = reading
                    watch.begin(reading.row(unit), partial(reading.unwanted, filling.number))
                    self._changed.notify_all()
                    return task
                if self._all_prepared and not self._schedule.unread:
                    break
                start, enough = perf_counter(), bool(self._schedule.unread)
                self._changed.wait()
                self._times.for_consumer += (perf_counter() - start) * enough
        return None

    def _release(self, reading: Reading) -> None:
        """One user of the source less; the last closes its slides."""
        with self._changed:
            reading.users -= 1
            unused = not reading.users
        if unused:
            with _Carried() as carried:
                reading.close()
            self._unplanned = self._unplanned or carried.error
