"""One store of one slide on its way: batches of features in, and in the end a complete store or a reason why not."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.records import SlideResult, Status
from wsi_features.errors import TileReadError
from wsi_features.stages.boundary import slide_boundary
from wsi_features.stages.embedding import Embedding
from wsi_features.stages.lineage import Lineage
from wsi_features.stages.stain import SlideStain
from wsi_features.store import StoreWriter
from wsi_features.tiles import TileBatch, TileTable


class StoreTask:
    """Written by one thread, which calls `append` and `commit`; any thread may `fail` it.

    `dropped` tiles of the slide are not in `table`, because the recipe leaves them out. After a failure the rest is passed over, and `commit` only clears up. `done` is true after that.
    """

    def __init__(self, embedding: Embedding, lineage: Lineage, table: TileTable, dropped: int = 0) -> None:
        self.embedding, self.slide_id, self.feature_set = embedding, lineage.slide_id, embedding.feature_set
        self.stain = SlideStain()
        self.result: SlideResult | None = None
        self.done = False
        self._lineage, self._table, self._dropped = lineage, table, dropped
        self._bad: list[tuple[int, str]] = []
        self._writer: StoreWriter | None = None
        self._open = ExitStack()

    def append(self, batch: TileBatch, features: npt.NDArray[np.float32]) -> None:
        """The features (b, dim) of the next batch."""
        with slide_boundary(self.slide_id, "embed", self.fail):
            if self.result is None:
                self._opened().append(features, batch.valid, batch.columns)
                rows = batch.rows[~batch.valid].tolist()
                self._bad += zip(rows, batch.problems, strict=True)
                self._refuse_damage()

    def commit(self) -> None:
        """Publish the store, or remove what was written of one that failed."""
        with slide_boundary(self.slide_id, "embed", self.fail):
            if self.result is None:
                self._opened().commit(self._bad)
                self.result = store_result(self.embedding, self._lineage, len(self._table), self._dropped, reused=False)
        with slide_boundary(self.slide_id, "embed", self.fail):
            self.abandon()
        self.done = True

    def fail(self, result: SlideResult) -> None:
        """The reason why there will be no store; the first one stands."""
        self.result = self.result or result

    def abandon(self) -> None:
        """Remove what is not committed."""
        self._open.close()

    def _opened(self) -> StoreWriter:
        if self._writer is None:
            content = self.embedding.content(self._lineage, self._table, self.stain)
            target = self.embedding.target(self.slide_id)
            self._writer = self._open.enter_context(StoreWriter(target, content))
        return self._writer

    def _refuse_damage(self) -> None:
        allowed, origins = self.embedding.config.read.max_bad_tile_fraction, self._table.grid.origins
        if len(self._bad) > allowed * len(self._table):
            places = [(int(origins[row, 0]), int(origins[row, 1]), why) for row, why in self._bad]
            raise TileReadError.too_many(self.slide_id, places, len(self._table), allowed)


def store_result(embedding: Embedding, lineage: Lineage, tiles: int, dropped: int, *, reused: bool) -> SlideResult:
    """The result for a store of so many `tiles` that is complete; `dropped` ones were left out by the recipe."""
    store = embedding.target(lineage.slide_id).relative_to(embedding.out.root)
    facts = {"store": str(store), "tiles": tiles, "reused": reused} | ({"dropped": dropped} if dropped else {})
    status: Status = "ok" if tiles else "empty"
    return SlideResult(status, "embed", fingerprint=embedding.wanted(lineage), facts=facts)
