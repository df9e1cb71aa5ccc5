"""One store of one slide on its way: batches of features in, and in the end a complete store or a reason why not."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.records import SlideResult, Status
from wsi_features.encode.device.hardware import hardware
from wsi_features.errors import TileReadError
from wsi_features.recipe import Json
from wsi_features.stages.boundary import slide_boundary
from wsi_features.stages.embedding import Embedding
from wsi_features.stages.lineage import Lineage
from wsi_features.stages.settling import HALVED
from wsi_features.stages.stain import SlideStain
from wsi_features.store import Claim, Claims, StoreWriter, work_left
from wsi_features.tiles import TileBatch, TileTable

_UNKNOWN = -1


class StoreTask:
    """Written by one thread, which calls `append` and `commit`; any thread may `fail` it.

    `dropped` tiles of the slide are not in `table`, because the recipe leaves them out. After a failure the rest is
    passed over, and `commit` only clears up. `done` is true after that. Rows before `first` are in the store already: a
    job that was killed left them. Raises ClaimedError when another job makes the store.
    """

    def __init__(self, embedding: Embedding, lineage: Lineage, table: TileTable, dropped: int, claims: Claims) -> None:
        self.embedding, self.slide_id, self.feature_set = embedding, lineage.slide_id, embedding.feature_set
        self.stain = SlideStain()
        self.result: SlideResult | None = None
        self.first, self.done = 0, False
        self._lineage, self._table, self._dropped = lineage, table, dropped
        self._most: int | None = _UNKNOWN
        self._writer: StoreWriter | None = None
        self._open = ExitStack()
        self._claim: Claim = claims.take(embedding.target(lineage.slide_id))
        self._open.callback(claims.release, self._claim)

    def resume(self) -> None:
        """Take up what a job that is gone left of this store; waits for the encoder only where there is something."""
        if work_left(self._claim.target, self._claim.silent_since):
            self._most = self.embedding.encoder.most
            self.first = self._opened().rows

    def computed_by(self, most: int | None) -> None:
        """A batch was computed in pieces of `most` tiles: all of a slide's must be, so that its bytes follow from its record."""
        if self._most is _UNKNOWN:
            self._most = most
        elif self._most != most:
            message = (
                f"slide {self.slide_id!r}: its batches were halved for lack of memory. Run the same command again."
            )
            self.fail(SlideResult("failed", "embed", reason=HALVED, message=message))

    def append(self, batch: TileBatch, features: npt.NDArray[np.float32]) -> None:
        """The features (b, dim) of the next batch; rows that the store has already are passed over."""
        with slide_boundary(self.slide_id, "embed", self.fail):
            if self.result is None:
                writer = self._opened()
                known = int(np.count_nonzero(batch.rows < writer.rows))
                problems = batch.problems[int(np.count_nonzero(~batch.valid[:known])) :]
                writer.append(features[known:], batch.valid[known:], batch.columns[known:], problems)
                self._refuse_damage(writer)

    def commit(self) -> None:
        """Publish the store, or remove what was written of one that failed."""
        with slide_boundary(self.slide_id, "embed", self.fail):
            if self.result is None:
                writer = self._opened()
                self._claim.require()
                writer.commit()
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

    def leave(self) -> None:
        """The job ends in the middle of the work: what is safely on the disk is left to the next one."""
        if self._writer is not None and self.result is None:
            self._writer.leave()
        self.abandon()

    def _opened(self) -> StoreWriter:
        if self._writer is None:
            content = self.embedding.content(self._lineage, self._table, self.stain)
            left = work_left(self._claim.target, self._claim.silent_since)
            writer = StoreWriter(self._claim.target, content, self._setting(), left)
            self._writer = self._open.enter_context(writer)
        return self._writer

    def _setting(self) -> Json:
        """What the bytes of features depend on besides the recipe, the slide and the versions of libraries."""
        tuning = self.embedding.config.tuning
        device = hardware(tuning.device, self.embedding.encoder.device)
        return {"batch": tuning.batch, "acceleration": tuning.acceleration, "hardware": device, "most": self._most}

    def _refuse_damage(self, writer: StoreWriter) -> None:
        allowed, origins = self.embedding.config.read.max_bad_tile_fraction, self._table.grid.origins
        if len(writer.problems) > allowed * len(self._table):
            places = [(int(origins[row, 0]), int(origins[row, 1]), why) for row, why in writer.problems]
            raise TileReadError.too_many(self.slide_id, places, len(self._table), allowed)


def store_result(embedding: Embedding, lineage: Lineage, tiles: int, dropped: int, *, reused: bool) -> SlideResult:
    """The result for a store of so many `tiles` that is complete; `dropped` ones were left out by the recipe."""
    store = embedding.target(lineage.slide_id).relative_to(embedding.out.root)
    facts = {"store": str(store), "tiles": tiles, "reused": reused} | ({"dropped": dropped} if dropped else {})
    status: Status = "ok" if tiles else "empty"
    return SlideResult(status, "embed", fingerprint=embedding.wanted(lineage), facts=facts)
