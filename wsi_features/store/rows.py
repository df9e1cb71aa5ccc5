"""The rows of a store on their way to the disk [hot]: one chunk of features in memory, and all that is small.

Nothing here touches a disk. Rows are judged as they come, in the type in which they will be stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import NonFiniteFeaturesError, StoreError
from wsi_features.store.check import Mismatch
from wsi_features.store.commit import FileEntry
from wsi_features.store.content import StoreContent
from wsi_features.store.journal import ChunkNote
from wsi_features.store.layout import FEATURES, ArraySpec

F32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Problems = Sequence[tuple[int, str]]


class Rows:
    """The rows of `content` so far: their number `count`, whether they are `valid`, `columns`, and `problems` by row."""

    def __init__(self, content: StoreContent, specs: dict[str, ArraySpec]) -> None:
        self._content = content
        self._chunk = np.empty(specs[FEATURES].chunks, dtype=content.dtype)
        self.count = 0
        self.valid = np.zeros(len(content), dtype=np.bool_)
        measured = np.full((len(content), len(content.measured)), np.nan, np.float32)
        self.columns = np.hstack([content.columns.astype(np.float32), measured])
        self.problems: list[tuple[int, str]] = []

    def take(
        self, features: F32, valid: Bools, columns: F32 | None, problems: Sequence[str]
    ) -> Iterator[npt.NDArray[Any]]:
        """Add a batch; gives each chunk that becomes whole, to be written before the next is asked for.

        Raises StoreError for a batch that does not fit, and NonFiniteFeaturesError.
        """
        self._require_fit(features, valid)
        measured = self._measured(columns, len(valid))
        if problems:
            bad = (self.count + np.flatnonzero(~valid)).tolist()
            self.problems += zip(bad, problems, strict=True)
        end = self.count + len(valid)
        self.valid[self.count : end] = valid
        self.columns[self.count : end, self.columns.shape[1] - measured.shape[1] :] = measured
        done = 0
        while done < len(valid):
            start = self.count % len(self._chunk)
            part = slice(done, done + len(self._chunk) - start)
            taken = len(valid[part])
            self._store(self._chunk[start : start + taken], features[part], valid[part])
            self.count, done = self.count + taken, done + taken
            if self.count == len(self._content):
                self._chunk[start + taken :] = np.nan
            if start + taken == len(self._chunk) or self.count == len(self._content):
                yield self._chunk

    def note(self, file: FileEntry) -> ChunkNote:
        """What the journal should know of the last whole chunk, which is in `file`."""
        start = (self.count - 1) // len(self._chunk) * len(self._chunk)
        problems = tuple((row, why) for row, why in self.problems if start <= row < self.count)
        measured = self.columns[start : self.count, len(self._content.column_names) :]
        return ChunkNote(file, self.valid[start : self.count], measured, problems)

    def restore(self, notes: Iterable[ChunkNote]) -> None:
        """Take up the rows of chunks that are on the disk."""
        for note in notes:
            end = self.count + len(note.valid)
            self.valid[self.count : end] = note.valid
            self.columns[self.count : end, len(self._content.column_names) :] = note.columns
            self.problems += note.problems
            self.count = end

    def _require_fit(self, features: F32, valid: Bools) -> None:
        if valid.dtype != np.bool_ or valid.ndim != 1:
            self._refuse(Mismatch("`valid` of a batch", f"{valid.dtype} {valid.shape}", "bool (b,)"))
        wanted = (len(valid), self._content.dim)
        if features.shape != wanted:
            self._refuse(Mismatch("the shape of a batch of features", features.shape, wanted))
        total = self.count + len(valid)
        if total > len(self._content):
            self._refuse(Mismatch("the number of feature rows", f"{total} or more", len(self._content)))

    def _measured(self, columns: F32 | None, count: int) -> F32:
        found = np.empty((count, 0), np.float32) if columns is None else columns
        wanted = (count, len(self._content.measured))
        if found.shape != wanted:
            self._refuse(Mismatch("the shape of a batch of columns", found.shape, wanted))
        return found

    def _store(self, stored: npt.NDArray[Any], features: F32, valid: Bools) -> None:
        """Fill `stored`, and judge it there: 1e6 is finite in float32 and infinite in float16."""
        with np.errstate(over="ignore", invalid="ignore"):
            stored[...] = features
        if not valid.all():
            stored[~valid] = 0
        finite = np.isfinite(stored)
        if not finite.all():
            self._raise_non_finite(int(np.argmin(finite.all(axis=1))), features, stored)
        stored[~valid] = np.nan

    def _raise_non_finite(self, row: int, features: F32, stored: npt.NDArray[Any]) -> None:
        made_by, content = self._content.provenance, self._content
        value = features[row][np.argmin(np.isfinite(stored[row]))]
        raise NonFiniteFeaturesError.at_row(
            made_by.slide_id, made_by.encoder_name, self.count + row, float(value), content.dtype
        )

    def _refuse(self, mismatch: Mismatch) -> None:
        raise StoreError.refused(self._content.provenance.slide_id, *mismatch)
