"""What is to be done for one slide in the embed stage: which stores are complete, and which are to be made of which tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult
from wsi_features.config import Config
from wsi_features.errors import SlideError, StoreError
from wsi_features.stages.boundary import slide_boundary
from wsi_features.stages.dropping import kept_tiles
from wsi_features.stages.embedding import Embedding
from wsi_features.stages.lineage import Lineage, lineage_of
from wsi_features.stages.stain import stain_with
from wsi_features.stages.store_task import StoreTask, store_result
from wsi_features.stages.tiles import tiles_with
from wsi_features.stain import Identity, StainTransform
from wsi_features.store import Claims, FeatureStore, is_complete
from wsi_features.tiles import TileTable
from wsi_features.tiles.quality import measured_columns, tile_optics

Watched = Callable[[ManifestRow], AbstractContextManager[None]]
"""Notes a slide while it is worked on."""


@dataclass(slots=True, eq=False)
class Part:
    """The stores of one slide that are made of the same tiles, and so of one reading."""

    row: ManifestRow
    table: TileTable
    stain: StainTransform
    tasks: list[StoreTask]

    @property
    def stained_while_read(self) -> bool:
        """Whether the threads that read also normalise stains: once for all encoders, while the pixels are at hand.

        Not where a device could do it.
        """
        return all(task.embedding.on_host for task in self.tasks)

    def measure(self, tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The quality columns of tiles, once for all encoders."""
        return measured_columns(tiles, tile_optics(self.table.scale))

    @property
    def first(self) -> int:
        """The row to read from: the first that a store needs, or the first of its batch, whose border must stay."""
        first = min(task.first for task in self.tasks)
        batch = self.tasks[0].embedding.config.tuning.batch
        return first if first == len(self.table) else first // batch * batch

    def finish(self, tiles: npt.NDArray[np.uint8]) -> None:
        """Normalise the tiles in place."""
        self.stain.apply(tiles, tiles)


@dataclass(slots=True, eq=False)
class SlideWork:
    """One slide: the results that are there, and its parts that are on their way; `order` is that of its feature sets."""

    row: ManifestRow
    order: tuple[str, ...]
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
        results = {name: results[name] for name in self.order if name in results}  # whatever was there before
        return merged_result(results, perf_counter() - self.started)


def planned(row: ManifestRow, embeddings: Sequence[Embedding], watched: Watched, claims: Claims) -> SlideWork:
    """The work on one slide; what keeps it from being done is among its results already."""
    work = SlideWork(row, tuple(embedding.feature_set for embedding in embeddings))
    with slide_boundary(row.slide_id, "embed", partial(work.fail, embeddings)):
        work.noted.enter_context(watched(row))
        lineage = lineage_of(row)
        for tiling in dict.fromkeys(embedding.plan.tiling for embedding in embeddings):
            group = [embedding for embedding in embeddings if embedding.plan.tiling == tiling]
            with slide_boundary(row.slide_id, "embed", partial(work.fail, group)):
                part = _part(work, lineage, group, claims)
                work.parts += [part] if part.tasks else []
    return work


def is_unfinished(row: ManifestRow, embeddings: Sequence[Embedding]) -> bool:
    """Whether a store of the slide is to be made. Raises what `lineage_of` raises."""
    lineage = lineage_of(row)
    return not all(is_complete(each.target(row.slide_id), each.wanted(lineage)) for each in embeddings)


def _part(work: SlideWork, lineage: Lineage, group: Sequence[Embedding], claims: Claims) -> Part:
    """The stores of these encoders that are not complete; the results of the others are noted."""
    plan, config, out, slide_id = group[0].plan, group[0].config, group[0].out, work.row.slide_id
    table = tiles_with(slide_id, out, plan.tiling, lineage.tiles(config, plan.tiles))
    part = Part(work.row, table, Identity(), [])
    wanting = []
    for embedding in group:
        with slide_boundary(slide_id, "embed", partial(work.fail, [embedding])):
            if len(table):  # where there are no tiles, their scale does not matter
                embedding.plan.check_slide(slide_id, table.scale)
            if not _is_there(work, lineage, embedding, table):
                wanting.append(embedding)
    if wanting and config.quality.drops:
        part.table = kept_tiles(work.row, table, config)
    for embedding in wanting:
        with slide_boundary(slide_id, "embed", partial(work.fail, [embedding])):
            task = StoreTask(embedding, lineage, part.table, len(table) - len(part.table), claims)
            if _is_there(work, lineage, embedding, table):  # it was published before the claim was given
                task.abandon()
            else:
                part.tasks.append(task)
    if part.tasks:
        _begin(part, lineage, config, out)
    return part


def _is_there(work: SlideWork, lineage: Lineage, embedding: Embedding, table: TileTable) -> bool:
    """Whether the store of one encoder is complete; its result is noted then."""
    try:
        store = FeatureStore.open(embedding.target(work.row.slide_id))
    except StoreError:
        return False
    if store.fingerprint != embedding.wanted(lineage):
        return False
    tiles = len(store)
    work.results[embedding.feature_set] = store_result(embedding, lineage, tiles, len(table) - tiles, reused=True)
    return True


def _begin(part: Part, lineage: Lineage, config: Config, out: Outputs) -> None:
    """Give the stores their stain, and take up what killed jobs left of them."""
    slide_id = part.row.slide_id
    try:
        if len(part.table):  # without tiles a stain that could not be fitted is not missed
            found = stain_with(slide_id, out, config.stain.method, lineage.stain(config))
            part.stain = found.transform
            for task in part.tasks:
                task.stain = found
    except SlideError:
        for task in part.tasks:
            task.abandon()
        raise
    for task in part.tasks:
        with slide_boundary(slide_id, "embed", task.fail):
            task.resume()


def merged_result(results: dict[str, SlideResult], seconds: float) -> SlideResult:
    """One result for a slide embedded with several encoders: a failure of any of them shows."""
    worst = next((r for r in results.values() if r.status == "failed"), None)
    first = worst or next((r for r in results.values() if r.status == "ok"), next(iter(results.values())))
    facts = {"stores": {name: dict(r.facts) for name, r in results.items() if r.usable}}
    return replace(first, seconds=round(seconds, 3), facts=facts)
