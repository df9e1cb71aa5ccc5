"""The writer of one feature store: rows in, a complete store out, or nothing. [hot]

It builds in a hidden directory and holds one chunk of features in memory. Nothing
becomes visible before `commit`, and leaving the `with` block without it removes the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from wsi_features.errors import NonFiniteFeaturesError, StoreError
from wsi_features.store.check import Mismatch, bad_tile_mismatches, content_mismatches
from wsi_features.store.chunks import write_chunk
from wsi_features.store.commit import FileEntry, seal
from wsi_features.store.content import StoreContent
from wsi_features.store.layout import FEATURES, array_specs, create_array, create_group
from wsi_features.store.reader import SUFFIX, FeatureStore
from wsi_features.store.work import make_work_directory, publish, remove, writing


class StoreWriter:
    """Writes the store of one slide at `target`, `<slide_id>.zarr`; one owner, one thread, one `with` block.

    Raises StoreError when `content` does not fit together or the folder cannot be written.
    """

    def __init__(self, target: Path, content: StoreContent) -> None:
        self._target = target
        self._content = content
        self._refuse_first(content_mismatches(content))
        wanted = content.provenance.slide_id + SUFFIX
        if target.name != wanted:
            self._refuse_first([Mismatch("the name of its folder", target.name, wanted)])
        self._specs = array_specs(len(content), content.dim, len(content.all_columns), content.dtype)
        self._chunk = np.empty(self._specs[FEATURES].chunks, dtype=content.dtype)
        self._valid = np.zeros(len(content), dtype=np.bool_)
        measured = np.full((len(content), len(content.measured)), np.nan, np.float32)
        self._columns = np.hstack([content.columns.astype(np.float32), measured])
        self._rows = 0
        self._written: list[FileEntry] = []
        self._work: Path | None = None

    def __enter__(self) -> Self:
        with ExitStack() as undo, writing(self._target):
            self._work = make_work_directory(self._target)
            undo.callback(remove, self._work)
            create_array(self._work, self._specs[FEATURES])
            # What is known before the first feature is: at the end the next slide, or the user, waits.
            for name, values in self._content.known_arrays().items():
                create_array(self._work, self._specs[name])[...] = values
            undo.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._work is not None:
            remove(self._work)
            self._work = None

    def append(
        self,
        features: npt.NDArray[np.float32],
        valid: npt.NDArray[np.bool_],
        columns: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Add the next tiles: `features` (b, dim) in row order, `valid` (b,); rows that are not valid become NaN.

        `columns` (b, c) holds what was measured, where anything was to be.

        Raises NonFiniteFeaturesError for the first valid row that the stored dtype cannot hold.
        """
        work = self._require_work()
        self._require_fit(features, valid, columns)
        self._valid[self._rows : self._rows + len(valid)] = valid
        if columns is not None and columns.shape[1]:
            self._columns[self._rows : self._rows + len(valid), -columns.shape[1] :] = columns
        done = 0
        while done < len(valid):
            done += self._taken(work, features[done:], valid[done:])

    def commit(self, problems: Sequence[tuple[int, str]] = ()) -> Path:
        """Finish, verify and publish the store; returns its path.

        `problems` says why, one (row, reason) for each tile that is not valid. Before it is
        renamed into place, the store passes the full check of the reader. A complete store
        of the same fingerprint that is already there is kept instead.
        """
        work = self._require_work()
        rows, content = len(self._content), self._content
        if self._rows != rows:
            self._refuse_first([Mismatch("the number of feature rows", self._rows, rows)])
        bad_tiles = [[row, *content.coords[row].tolist(), reason] for row, reason in sorted(problems)]
        self._refuse_first(bad_tile_mismatches(bad_tiles, content.coords, self._valid))
        fingerprint = content.provenance.fingerprint
        with writing(self._target):
            self._write_rest(work, bad_tiles)
            seal(work, fingerprint, rows, content.dim, self._written)
            FeatureStore.open(work).check(features=False)
            publish(work, self._target, fingerprint)
        self._work = None
        return self._target

    def _require_work(self) -> Path:
        if self._work is None:
            raise RuntimeError("a StoreWriter is used inside its `with` block, and once")
        return self._work

    def _require_fit(
        self,
        features: npt.NDArray[np.float32],
        valid: npt.NDArray[np.bool_],
        columns: npt.NDArray[np.float32] | None,
    ) -> None:
        if valid.dtype != np.bool_ or valid.ndim != 1:
            self._refuse_first([Mismatch("`valid` of a batch", f"{valid.dtype} {valid.shape}", "bool (b,)")])
        wanted = (len(valid), self._content.dim)
        if features.shape != wanted:
            self._refuse_first([Mismatch("the shape of a batch of features", features.shape, wanted)])
        total = self._rows + len(valid)
        if total > len(self._content):
            self._refuse_first([Mismatch("the number of feature rows", f"{total} or more", len(self._content))])
        found, measured = (
            (len(valid), 0) if columns is None else columns.shape,
            (len(valid), len(self._content.measured)),
        )
        if found != measured:
            self._refuse_first([Mismatch("the shape of a batch of columns", found, measured)])

    def _taken(self, work: Path, features: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> int:
        """Take rows up to the end of the chunk, and write the chunk once it is whole; returns how many."""
        start = self._rows % len(self._chunk)
        taken = min(len(valid), len(self._chunk) - start)
        self._store_rows(self._chunk[start : start + taken], features[:taken], valid[:taken])
        self._rows += taken
        if self._rows == len(self._content):
            self._chunk[start + taken :] = np.nan
        if start + taken == len(self._chunk) or self._rows == len(self._content):
            with writing(self._target):
                self._written.append(write_chunk(work, FEATURES, len(self._written), self._chunk))
        return taken

    def _store_rows(
        self, stored: npt.NDArray[Any], features: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]
    ) -> None:
        """Fill `stored`, and judge it there: 1e6 is finite in float32 and infinite in float16."""
        with np.errstate(over="ignore", invalid="ignore"):
            stored[...] = features
        if not valid.all():
            stored[~valid] = 0
        finite = np.isfinite(stored)
        if not finite.all():
            self._raise_non_finite(int(np.argmin(finite.all(axis=1))), features, stored)
        stored[~valid] = np.nan

    def _raise_non_finite(self, row: int, features: npt.NDArray[np.float32], stored: npt.NDArray[Any]) -> None:
        made_by, content = self._content.provenance, self._content
        value = features[row][np.argmin(np.isfinite(stored[row]))]
        raise NonFiniteFeaturesError.at_row(
            made_by.slide_id, made_by.encoder_name, self._rows + row, float(value), content.dtype
        )

    def _write_rest(self, work: Path, bad_tiles: list[list[Any]]) -> None:
        content = self._content
        create_array(work, self._specs["valid"])[...] = self._valid
        create_array(work, self._specs["columns"])[...] = self._columns
        own = {"column_names": list(content.all_columns), "bad_tiles": bad_tiles}
        create_group(work, dict(sorted({**content.provenance.to_attributes(), **own}.items())))

    def _refuse_first(self, mismatches: Iterable[Mismatch]) -> None:
        for mismatch in mismatches:
            raise StoreError.refused(self._content.provenance.slide_id, *mismatch)
