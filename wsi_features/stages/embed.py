"""Stage embed: the tiles of slides through encoders into feature stores, in one pass over each slide.

Reading, embedding and writing overlap, also across the borders of slides: threads of the tile stream read ahead, the
caller's thread feeds the encoders, and one thread writes. Encoders that agree on their tiles share one reading.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from time import perf_counter
from typing import cast

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Config
from wsi_features.encode.encoder import Pending
from wsi_features.slides import Slide
from wsi_features.stages.boundary import slide_boundary
from wsi_features.stages.embedding import Embedding, cores
from wsi_features.stages.meter import Meter
from wsi_features.stages.opened import opened_for
from wsi_features.stages.progress import Progress
from wsi_features.stages.slide_work import Part, SlideWork, Watched, planned
from wsi_features.stages.staging import Staging
from wsi_features.stages.store_task import StoreTask
from wsi_features.store import Claims, sweep_finished
from wsi_features.tiles import TileBatch
from wsi_features.tiles.blocks import BlockDecoder
from wsi_features.tiles.quality import COLUMNS
from wsi_features.tiles.source import TileSource
from wsi_features.tiles.stream import SourceBatch, SourceFault, Streamed, tile_stream

_IN_FLIGHT = 2
"""Batches that an encoder has at once: one computed, one on its way."""

_TO_WRITE = 64
"""Batches of features that may wait for the disk: while it takes a chunk of these, encoders go on."""


class WriterThread:
    """One thread that writes, in the order in which it is told to; few things wait for it at a time."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "store")
        self._waiting: deque[Future[None]] = deque()
        self.seconds = 0.0

    def write(self, work: Callable[[], None]) -> None:
        """Have it done; waits while too much is left."""
        self._waiting.append(self._executor.submit(self._timed, work))
        self.wait(_TO_WRITE)

    def wait(self, most: int) -> None:
        """Wait until at most so much is left; what ends the whole job is raised here."""
        while len(self._waiting) > most:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Drop what has not begun."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _timed(self, work: Callable[[], None]) -> None:
        started = perf_counter()
        work()
        self.seconds += perf_counter() - started


class EmbeddingPass:
    """Slides through encoders, for one `with` block; results come as slides end."""

    def __init__(
        self,
        embeddings: Sequence[Embedding],
        config: Config,
        progress: Progress,
        meter: Meter,
        watched: Watched,
        staging: Staging | None = None,
    ) -> None:
        self._embeddings, self._config, self._progress = embeddings, config, progress
        self._meter, self._watched = meter, watched
        self._writer, self._builder = WriterThread(), ThreadPoolExecutor(1, "encoder")
        self._in_flight: deque[Callable[[], None]] = deque()
        self._works: deque[SlideWork] = deque()
        self._decoder, self._staging, self._claims = _decoder(config), staging, Claims()

    def __enter__(self) -> EmbeddingPass:
        for embedding in self._embeddings:
            sweep_finished(embedding.folder)
        return self

    def __exit__(self, *exc: object) -> None:
        self._builder.shutdown(wait=True, cancel_futures=True)
        self._writer.close()
        for work in self._works:
            work.noted.close()
            for task in work.tasks:
                task.leave()
        self._claims.close()

    def results(self, rows: Iterable[ManifestRow]) -> Iterator[tuple[ManifestRow, SlideResult]]:
        """Embed the slides; each is given back, in order, once its stores are complete or have failed."""
        tuning = self._config.tuning
        sources = self._sources(rows)
        stream = tile_stream(sources, batch=tuning.batch, workers=cores(tuning.workers), times=self._meter.stream)
        with closing(cast("Generator[Streamed]", stream)):
            for item in stream:
                self._take(item)
                yield from self._ended()
        self._settle(0)
        self._writer.wait(0)
        self._meter.writing += self._writer.seconds
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
        self._in_flight.extend(partial(self._writer.write, task.commit) for task in part.tasks)

    def _submit(self, part: Part, batch: TileBatch) -> None:
        """Give a batch to every encoder of the part, and the features of the oldest batches to the writer."""
        started = perf_counter()
        stain = None if part.stained_while_read else part.stain
        for task in part.tasks:
            with slide_boundary(task.slide_id, "embed", task.fail):
                if task.result is None and batch.rows[-1] >= task.first:
                    pending = task.embedding.encoder.submit(batch, stain)
                    task.computed_by(task.embedding.encoder.most)
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
        features = None
        with slide_boundary(task.slide_id, "embed", task.fail):
            features = pending.rows()
        self._meter.waiting += perf_counter() - started
        if features is not None:  # outside the boundary: what the writer tells may be of another slide
            self._writer.write(partial(task.append, batch, features))

    def _ended(self) -> Iterator[tuple[ManifestRow, SlideResult]]:
        while self._works and all(task.done for task in self._works[0].tasks):
            work = self._works.popleft()
            if self._staging is not None:
                self._staging.done(work.row)
            yield work.row, work.ended()

    def _opened(self, row: ManifestRow) -> Slide:
        here = row if self._staging is None else self._staging.near(row)
        return opened_for(here, self._config.read)

    def _sources(self, rows: Iterable[ManifestRow]) -> Iterator[TileSource]:
        """What is to be read, slide by slide; gone through by a thread of the stream."""
        recipe = self._config.read
        for row in rows:
            work = planned(row, self._embeddings, self._watched, self._claims)
            for task in work.tasks:  # encoders are loaded while the first slide is opened and read
                self._builder.submit(getattr, task.embedding, "encoder")
            self._works.append(work)
            for part in work.parts:
                finish = part.finish if part.stained_while_read else None
                yield TileSource(
                    row.slide_id,
                    partial(self._opened, row),
                    part.table.grid,
                    part.table.scale,
                    recipe,
                    first=part.first,
                    finish=finish,
                    measure=part.measure if self._config.quality.measure else None,
                    measures=len(COLUMNS) if self._config.quality.measure else 0,
                    decoder=self._decoder,
                    key=part,
                )


def _decoder(config: Config) -> BlockDecoder | None:
    if config.read.decode != "nvjpeg":
        return None
    from wsi_features.encode.device.jpeg import device_jpeg

    return device_jpeg(config.tuning.device)
