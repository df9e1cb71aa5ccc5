"""The writer of one feature store: rows in, a complete store out, or nothing. [hot]

It builds in a hidden directory and holds one chunk of features in memory. Nothing
becomes visible before `commit`, and leaving the `with` block without it removes the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from wsi_features.errors import NonFiniteFeaturesError, StoreError
from wsi_features.store.check import Mismatch, bad_tile_mismatches, content_mismatches
from wsi_features.store.commit import seal
from wsi_features.store.content import StoreContent
from wsi_features.store.layout import FEATURES, array_specs, create_array, create_group
from wsi_features.store.reader import SUFFIX, FeatureStore
from wsi_features.store.work import make_work_directory, publish, remove, writing

if TYPE_CHECKING:
    import zarr


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
        self._specs = array_specs(len(content), content.dim, len(content.column_names), content.dtype)
        self._chunk = np.empty(self._specs[FEATURES].chunks, dtype=content.dtype)
        self._valid = np.zeros(len(content), dtype=np.bool_)
        self._rows = 0
        self._work: Path | None = None
        self._features: zarr.Array[Any] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as undo, writing(self._target):
            self._work = make_work_directory(self._target)
            undo.callback(remove, self._work)
            self._features = create_array(self._work, self._specs[FEATURES])
            undo.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._work is not None:
            remove(self._work)
            self._work = None

    def append(self, features: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> None:
        """Add the next tiles: `features` (b, dim) in row order, `valid` (b,); rows that are not valid become NaN.

        Raises NonFiniteFeaturesError for the first valid row that the stored dtype cannot hold.
        """
        self._require_fit(features, valid)
        stored = self._as_stored(features, valid)
        self._valid[self._rows : self._rows + len(stored)] = valid
        done = 0
        while done < len(stored):
            done += self._buffered(stored[done:])

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
            self._write_all_but_features(work, bad_tiles)
            seal(work, fingerprint, rows, content.dim)
            FeatureStore.open(work).check()
            publish(work, self._target, fingerprint)
        self._work = None
        return self._target

    def _require_work(self) -> Path:
        if self._work is None:
            raise RuntimeError("a StoreWriter is used inside its `with` block, and once")
        return self._work

    def _require_fit(self, features: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> None:
        self._require_work()
        if valid.dtype != np.bool_ or valid.ndim != 1:
            self._refuse_first([Mismatch("`valid` of a batch", f"{valid.dtype} {valid.shape}", "bool (b,)")])
        wanted = (len(valid), self._content.dim)
        if features.shape != wanted:
            self._refuse_first([Mismatch("the shape of a batch of features", features.shape, wanted)])
        total = self._rows + len(valid)
        if total > len(self._content):
            self._refuse_first([Mismatch("the number of feature rows", f"{total} or more", len(self._content))])

    def _as_stored(self, features: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
        """The batch in the stored dtype, judged there: 1e6 is finite in float32 and infinite in float16."""
        with np.errstate(over="ignore", invalid="ignore"):
            stored = features.astype(self._content.dtype)
        broken = valid & ~np.isfinite(stored).all(axis=1)
        if broken.any():
            self._raise_non_finite(int(np.argmax(broken)), features, stored)
        stored[~valid] = np.nan
        return stored

    def _raise_non_finite(self, row: int, features: npt.NDArray[np.float32], stored: npt.NDArray[Any]) -> None:
        made_by, content = self._content.provenance, self._content
        value = features[row][np.argmin(np.isfinite(stored[row]))]
        raise NonFiniteFeaturesError.at_row(
            made_by.slide_id, made_by.encoder_name, self._rows + row, float(value), content.dtype
        )

    def _buffered(self, stored: npt.NDArray[Any]) -> int:
        """Take rows up to the end of the chunk, and write the chunk once it is whole; returns how many."""
        start = self._rows % len(self._chunk)
        part = stored[: len(self._chunk) - start]
        self._chunk[start : start + len(part)] = part
        self._rows += len(part)
        filled = start + len(part)
        if self._features is not None and (filled == len(self._chunk) or self._rows == len(self._content)):
            with writing(self._target):
                self._features[self._rows - filled : self._rows] = self._chunk[:filled]
        return len(part)

    def _write_all_but_features(self, work: Path, bad_tiles: list[list[Any]]) -> None:
        content = self._content
        for name, values in (
            ("coords", content.coords.astype(np.int32)),
            ("grid", content.grid.astype(np.int32)),
            ("valid", self._valid),
            ("columns", content.columns.astype(np.float32)),
        ):
            create_array(work, self._specs[name])[...] = values
        own = {"column_names": list(content.column_names), "bad_tiles": bad_tiles}
        create_group(work, dict(sorted({**content.provenance.to_attributes(), **own}.items())))

    def _refuse_first(self, mismatches: Iterable[Mismatch]) -> None:
        for mismatch in mismatches:
            raise StoreError.refused(self._content.provenance.slide_id, *mismatch)
