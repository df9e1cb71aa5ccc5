"""Stage embed: the tiles of slides through encoders into feature stores, in one pass over each slide.

Reading, embedding and writing overlap, also across the borders of slides: threads of the tile stream read ahead, the
caller's thread feeds the encoders, and one thread writes. Encoders that agree on their tiles share one reading.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import cast

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Config
from wsi_features.encode.encoder import Pending
from wsi_features.stages.boundary import slide_boundary
from wsi_features.stages.embedding import Embedding, cores
from wsi_features.stages.lineage import Lineage, lineage_of
from wsi_features.stages.meter import Meter
from wsi_features.stages.opened import opened_for
from wsi_features.stages.progress import Progress
from wsi_features.stages.stain import stain_with
from wsi_features.stages.store_task import StoreTask, store_result
from wsi_features.stages.tiles import tiles_with
from wsi_features.stain import Identity, StainTransform
from wsi_features.store import is_complete, sweep
from wsi_features.tiles import TileBatch, TileTable
from wsi_features.tiles.source import TileSource
from wsi_features.tiles.stream import SourceBatch, SourceFault, Streamed, tile_stream

_IN_FLIGHT = 2
"""Batches that an encoder has at once: one computed, one on its way."""

_TO_WRITE = 8
"""Batches of features that may wait for the disk."""


Watched = Callable[[ManifestRow], AbstractContextManager[None]]
"""Notes a slide while it is worked on."""


@dataclass(slots=True, eq=False)
class Part:
    """The stores of one slide that are made of the same tiles, and so of one reading."""

    row: ManifestRow
    table: TileTable
    stain: StainTransform
    tasks: list[StoreTask]


@dataclass(slots=True, eq=False)
class SlideWork:
    """One slide: the results that are there, and its parts that are on their way."""

    row: ManifestRow
    results: dict[str, SlideResult] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    noted: ExitStack = field(default_factory=ExitStack)
    started: float = field(default_factory=perf_counter)

    @property
    def tasks(self) -> Iterator[StoreTask]:
        """All its stores that are on their way."""
        return (task for part in self.parts for task in part.tasks)

    def fail(self, embeddings: Sequence[Embedding], result: SlideResult) -> None:
        """The same result for the stores of all these encoders."""
        self.results |= {embedding.feature_set: result for embedding in embeddings}

    def ended(self) -> SlideResult:
        """One result for the slide."""
        self.noted.close()
        results = self.results | {task.feature_set: task.result for task in self.tasks if task.result is not None}
        return merged_result(results, perf_counter() - self.started)


class EmbeddingPass:
    """Slides through encoders, for one `with` block; results come as slides end."""

    def __init__(
        self, embeddings: Sequence[Embedding], config: Config, progress: Progress, meter: Meter, watched: Watched
    ) -> None:
        self._embeddings, self._config, self._progress = embeddings, config, progress
        self._meter, self._watched = meter, watched
        self._writer, self._builder = ThreadPoolExecutor(1, "store"), ThreadPoolExecutor(1, "encoder")
        self._in_flight: deque[Callable[[], None]] = deque()
        self._writing: deque[Future[None]] = deque()
        self._works: deque[SlideWork] = deque()

    def __enter__(self) -> EmbeddingPass:
        return self

    def __exit__(self, *exc: object) -> None:
        self._builder.shutdown(wait=True, cancel_futures=True)
        self._writer.shutdown(wait=True, cancel_futures=True)
        for work in self._works:
            work.noted.close()
            for task in work.tasks:
                task.abandon()

    def results(self, rows: Sequence[ManifestRow]) -> Iterator[tuple[ManifestRow, SlideResult]]:
        """Embed the slides; each is given back, in order, once its stores are complete or have failed."""
        tuning = self._config.tuning
        sources = self._sources(rows)
        stream = tile_stream(sources, batch=tuning.batch, workers=cores(tuning.workers), times=self._meter.stream)
        with closing(cast("Generator[Streamed]", stream)):
            for item in stream:
                self._take(item)
                yield from self._ended()
        self._settle(0)
        self._drain(0)
        yield from self._ended()

    def _take(self, item: Streamed) -> None:
        part = cast("Part", item.source.key)
        if isinstance(item, SourceBatch):
            self._submit(part, item.tiles)
            return
        if isinstance(item, SourceFault):
            for task in part.tasks:
                with slide_boundary(task.slide_id, "embed", task.fail):
                    raise item.error
        # Committed after the last features are there; the encoders go on with the next slide meanwhile.
        self._in_flight.extend(partial(self._write, task.commit) for task in part.tasks)

    def _submit(self, part: Part, batch: TileBatch) -> None:
        """Give a batch to every encoder of the part, and the features of the oldest batches to the writer."""
        started = perf_counter()
        for task in part.tasks:
            with slide_boundary(task.slide_id, "embed", task.fail):
                if task.result is None:
                    pending = task.embedding.encoder.submit(batch, part.stain)
                    self._in_flight.append(partial(self._receive, task, batch, pending))
        self._meter.submitting += perf_counter() - started
        self._meter.tiles += len(batch.rows)
        self._settle(_IN_FLIGHT * len(part.tasks))
        self._progress.tiles(part.row.slide_id, int(batch.rows[-1]) + 1, len(part.table))

    def _settle(self, most: int) -> None:
        """Take features until at most so much is in flight."""
        while len(self._in_flight) > most:
            self._in_flight.popleft()()

    def _receive(self, task: StoreTask, batch: TileBatch, pending: Pending) -> None:
        started = perf_counter()
        with slide_boundary(task.slide_id, "embed", task.fail):
            features = pending.rows()
            self._write(partial(task.append, batch, features))
        self._meter.waiting += perf_counter() - started

    def _write(self, work: Callable[[], None]) -> None:
        self._writing.append(self._writer.submit(self._written, work))
        self._drain(_TO_WRITE)

    def _written(self, work: Callable[[], None]) -> None:
        started = perf_counter()
        work()
        self._meter.writing += perf_counter() - started

    def _drain(self, most: int) -> None:
        """Wait for the writer until at most so much is left; what ends the whole job is raised here."""
        while len(self._writing) > most:
            self._writing.popleft().result()

    def _ended(self) -> Iterator[tuple[ManifestRow, SlideResult]]:
        while self._works and all(task.done for task in self._works[0].tasks):
            work = self._works.popleft()
            yield work.row, work.ended()

    def _sources(self, rows: Sequence[ManifestRow]) -> Iterator[TileSource]:
        """What is to be read, slide by slide; gone through by a thread of the stream."""
        for row in rows:
            work = SlideWork(row)
            with slide_boundary(row.slide_id, "embed", partial(work.fail, self._embeddings)):
                work.noted.enter_context(self._watched(row))
                self._plan_work(work, lineage_of(row))
            self._works.append(work)
            for part in work.parts:
                opener = partial(opened_for, row, self._config.read)
                table = part.table
                yield TileSource(row.slide_id, opener, table.grid, table.scale, self._config.read, key=part)

    def _plan_work(self, work: SlideWork, lineage: Lineage) -> None:
        """Find which stores are to be made, and begin to build their encoders: they load while the slide is opened."""
        tilings = dict.fromkeys(embedding.plan.tiling for embedding in self._embeddings)
        for tiling in tilings:
            group = [embedding for embedding in self._embeddings if embedding.plan.tiling == tiling]
            with slide_boundary(work.row.slide_id, "embed", partial(work.fail, group)):
                part = self._part(work, lineage, group)
                if part.tasks:
                    work.parts.append(part)
                for task in part.tasks:
                    self._builder.submit(getattr, task.embedding, "encoder")

    def _part(self, work: SlideWork, lineage: Lineage, group: Sequence[Embedding]) -> Part:
        """The stores of these encoders that are not complete; the results of the others are noted."""
        plan, slide_id = group[0].plan, work.row.slide_id
        table = tiles_with(slide_id, group[0].out, plan.tiling, lineage.tiles(self._config, plan.tiles))
        part = Part(work.row, table, Identity(), [])
        for embedding in group:
            if is_complete(embedding.target(slide_id), embedding.wanted(lineage)):
                work.results[embedding.feature_set] = store_result(embedding, lineage, table, reused=True)
            else:
                sweep(embedding.target(slide_id))
                part.tasks.append(StoreTask(embedding, lineage, table))
        if part.tasks and len(table):  # without tiles a stain that could not be fitted is not missed
            config = self._config
            part.stain = stain_with(slide_id, group[0].out, config.stain.method, lineage.stain(config))
            for task in part.tasks:
                task.stain = part.stain
        return part


def merged_result(results: dict[str, SlideResult], seconds: float) -> SlideResult:
    """One result for a slide embedded with several encoders: a failure of any of them shows."""
    worst = next((r for r in results.values() if r.status == "failed"), None)
    first = worst or next((r for r in results.values() if r.status == "ok"), next(iter(results.values())))
    facts = {"stores": {name: dict(r.facts) for name, r in results.items() if r.usable}}
    return replace(first, seconds=round(seconds, 3), facts=facts)
