"""Slides through encoders on one device or on several: each device has a pass of its own and takes the next slide when it can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Self

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Config
from wsi_features.encode.device.uploads import Uploads
from wsi_features.stages.crash import CrashWatch
from wsi_features.stages.devices import devices_of
from wsi_features.stages.embed import EmbeddingPass
from wsi_features.stages.embedding import Embedding, cores, embeddings_of
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.meter import Meter
from wsi_features.stages.progress import Progress
from wsi_features.stages.room import require_room
from wsi_features.stages.settling import settled
from wsi_features.stages.slide_work import is_unfinished
from wsi_features.stages.staging import Staging

Ended = tuple[ManifestRow, SlideResult]


class StoppedError(Exception):
    """Ends the passes of other devices when one of them, or the caller, has ended; it never leaves this module."""


class EmbeddingWork:
    """The encoders of a run on each of its devices, for many shards."""

    def __init__(self, sets: Sequence[Sequence[Embedding]], progress: Progress) -> None:
        self._sets, self._progress = sets, progress

    def __call__(self, rows: Sequence[ManifestRow], watch: CrashWatch, meter: Meter) -> Iterator[Ended]:
        """Embed slides, which come back as they end.

        Those of which one crashed the process before come last, each in a pass of its own. Raises StorageError when
        their features cannot fit on the disk.
        """
        together = [row for row in rows if row.slide_id not in watch.alone]
        later = [row for row in rows if row.slide_id in watch.alone]
        first, tuning = self._sets[0], self._sets[0][0].config.tuning
        require_room(rows, first)
        with Staging([*together, *later], tuning, partial(is_unfinished, embeddings=first)) as staging:
            common = _Common(watch, staging)
            again = partial(self._alone, common=common, meter=meter)
            yield from settled(self._all(together, later, common, meter), again, tuning.claim_seconds)
        meter.devices = len(self._sets)
        for embeddings in self._sets:
            meter.note_encoders(embeddings)

    def _all(
        self, together: Sequence[ManifestRow], later: Sequence[ManifestRow], common: _Common, meter: Meter
    ) -> Iterator[Ended]:
        if len(self._sets) == 1:
            yield from self._alone(together, common, meter)
        else:
            yield from self._side_by_side(together, common, meter)
        for row in later:
            yield from self._alone([row], common, meter)

    def _alone(self, rows: Iterable[ManifestRow], common: _Common, meter: Meter) -> Iterator[Ended]:
        with common.embedding_pass(self._sets[0], self._progress, meter) as embedding_pass:
            yield from embedding_pass.results(rows)

    def _side_by_side(self, rows: Sequence[ManifestRow], common: _Common, meter: Meter) -> Iterator[Ended]:
        """A thread a device; the first error of any of them ends all and is raised here."""
        shared, ended = _Shared(rows, self._progress), SimpleQueue[Ended | BaseException | None]()
        meters = [Meter() for _ in self._sets]
        threads = [
            Thread(target=_pass_of, args=(embeddings, shared, common, own, ended), name="device", daemon=True)
            for embeddings, own in zip(self._sets, meters, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            running = len(threads)
            while running:
                found = ended.get()
                if isinstance(found, BaseException):
                    raise found
                if found is None:
                    running -= 1
                else:
                    yield found
        finally:
            shared.stop.set()
            for thread in threads:
                thread.join()
        for own in meters:
            meter.add(own)


@dataclass(frozen=True, slots=True)
class _Common:
    """What the passes of all devices share: the crash watch, and the slides copied ahead."""

    watch: CrashWatch
    staging: Staging

    def embedding_pass(self, embeddings: Sequence[Embedding], progress: Progress, meter: Meter) -> EmbeddingPass:
        """A pass on the device of these encoders."""
        return EmbeddingPass(embeddings, embeddings[0].config, progress, meter, self.watch.current, self.staging)


class _Shared:
    """Slides for whoever asks next, and the progress of all, which ends a pass that is not wanted any more."""

    def __init__(self, rows: Iterable[ManifestRow], progress: Progress) -> None:
        self.stop = Event()
        self._rows, self._progress, self._lock = iter(rows), progress, Lock()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ManifestRow:
        with self._lock:
            if self.stop.is_set():
                raise StopIteration
            return next(self._rows)

    def stage(self, name: str, slides: int) -> None:
        self._progress.stage(name, slides)

    def tiles(self, slide_id: str, done: int, total: int) -> None:
        if self.stop.is_set():
            raise StoppedError
        self._progress.tiles(slide_id, done, total)

    def slide(self, stage: str, slide_id: str, result: SlideResult) -> None:
        self._progress.slide(stage, slide_id, result)


def _pass_of(
    embeddings: Sequence[Embedding],
    shared: _Shared,
    common: _Common,
    meter: Meter,
    ended: SimpleQueue[Ended | BaseException | None],
) -> None:
    """A thread: one device takes slides until there are no more; what ends the job goes to the caller."""
    with _Last(ended), common.embedding_pass(embeddings, shared, meter) as embedding_pass:
        for result in embedding_pass.results(shared):
            ended.put(result)


class _Last:
    """Says that a thread has ended, with the error that it ended by: no error is lost in a thread."""

    def __init__(self, ended: SimpleQueue[Ended | BaseException | None]) -> None:
        self._ended = ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self._ended.put(None if isinstance(error, StoppedError) else error)
        return True


@contextmanager
def embedding_work(config: Config, out: Outputs, progress: Progress) -> Iterator[EmbeddingWork]:
    """The encoders of a run, each once on every device that the job gets; they are built when first needed."""
    plans = encoder_plans(config)
    needs_gpu = config.read.decode == "nvjpeg" or any(plan.card.builder != "histo-texture" for plan in plans)
    with devices_of(config.tuning, needs_gpu=needs_gpu) as devices, ExitStack() as closing:
        sets = []
        for device in devices:
            own = _on_device(config, device, len(devices))
            uploads = Uploads(cores(own.tuning.workers))
            closing.callback(uploads.close)
            sets.append(embeddings_of(plans, own, out, uploads))
            for embedding in sets[-1]:
                closing.callback(embedding.close)
        yield EmbeddingWork(sets, progress)


def _on_device(config: Config, device: str, devices: int) -> Config:
    """The same with one device, and with its share of the cores where there are several."""
    workers = max(1, cores(config.tuning.workers) // devices) if devices > 1 else config.tuning.workers
    tuning = config.tuning.model_copy(update={"device": device, "workers": workers})
    return config.model_copy(update={"tuning": tuning})
