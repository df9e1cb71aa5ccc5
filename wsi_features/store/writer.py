"""The writer of one feature store: rows in, a complete store out, or nothing. [hot]

It builds in a hidden directory and holds one chunk of features in memory. Nothing becomes visible before `commit`.
Leaving the `with` block without it removes the work, unless it was set aside for the next writer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from wsi_features.errors import StoreError
from wsi_features.recipe import Json, canonical_json
from wsi_features.store.archive import ARCHIVE_SUFFIX, pack
from wsi_features.store.check import Mismatch, bad_tile_mismatches, content_mismatches
from wsi_features.store.chunks import write_chunk
from wsi_features.store.commit import FileEntry, seal
from wsi_features.store.content import StoreContent
from wsi_features.store.journal import Journal
from wsi_features.store.layout import FEATURES, array_specs, create_array, create_group
from wsi_features.store.reader import FORMS, FeatureStore
from wsi_features.store.resume import work_directory
from wsi_features.store.rows import Rows
from wsi_features.store.work import ARCHIVE, STORE, publish, remove, set_aside, writing


class StoreWriter:
    """Writes the store of one slide at `target`, `<slide_id>.zarr` or, in one file, `<slide_id>.zarr.zip`; one owner, one `with` block, a thread at a time.

    `setting` is what, besides the content, the bytes of features depend on: device, batch. Of the work directories
    `left` by writers that are gone it goes on with one made under the same setting and content, and deletes the others.
    Raises StoreError when `content` does not fit together or the folder cannot be written.
    """

    def __init__(
        self, target: Path, content: StoreContent, setting: Json | None = None, left: Sequence[Path] = ()
    ) -> None:
        self._target, self._content = target, content
        self._refuse_first(content_mismatches(content))
        wanted = [content.provenance.slide_id + suffix for suffix in FORMS.values()]
        if target.name not in wanted:
            self._refuse_first([Mismatch("the name of its folder", target.name, wanted[0])])
        self._specs = array_specs(len(content), content.dim, len(content.all_columns), content.dtype)
        self._about, self._left = _about(content, setting or {}, self._specs[FEATURES].chunks[0]), left
        self._rows = Rows(content, self._specs)
        self._written: list[FileEntry] = []
        self._work: Path | None = None
        self._journal: Journal | None = None

    @property
    def rows(self) -> int:
        """Rows that the store has already, also those that another writer left."""
        return self._rows.count

    @property
    def problems(self) -> Sequence[tuple[int, str]]:
        """Row and reason of each invalid tile so far."""
        return self._rows.problems

    def __enter__(self) -> Self:
        with ExitStack() as undo, writing(self._target):
            self._work, self._journal, notes = work_directory(self._target, self._about, self._left)
            self._written += [note.file for note in notes]
            undo.callback(self.leave)
            root = self._work / STORE
            create_array(root, self._specs[FEATURES])
            # What is known before the first feature is: at the end the next slide, or the user, waits.
            for name, values in self._content.known_arrays().items():
                create_array(root, self._specs[name])[...] = values
            self._rows.restore(notes)
            undo.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._close(self._work)

    def append(
        self,
        features: npt.NDArray[np.float32],
        valid: npt.NDArray[np.bool_],
        columns: npt.NDArray[np.float32] | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        """Add the next tiles: `features` (b, dim) in row order, `valid` (b,); rows that are not valid become NaN.

        `columns` (b, c) holds what was measured, where anything was to be, and `problems` says why, one text for each
        tile that is not valid, unless `commit` is told.

        Raises NonFiniteFeaturesError for the first valid row that the stored dtype cannot hold.
        """
        work, journal = self._require_work()
        for chunk in self._rows.take(features, valid, columns, problems):
            with writing(self._target):
                entry = write_chunk(work / STORE, FEATURES, len(self._written), chunk)
                self._written.append(entry)
                journal.append(self._rows.note(entry))

    def commit(self, problems: Sequence[tuple[int, str]] = ()) -> Path:
        """Finish, verify and publish the store; returns its path.

        `problems` says why, one (row, reason) for each tile that is not valid and whose reason is not yet known. Before
        it is renamed into place, the store passes the full check of the reader. A complete store of the same fingerprint
        that is already there is kept instead.
        """
        work, _ = self._require_work()
        rows, content = len(self._content), self._content
        if self.rows != rows:
            self._refuse_first([Mismatch("the number of feature rows", self.rows, rows)])
        told = sorted([*self._rows.problems, *problems])
        bad_tiles = [[row, *content.coords[row].tolist(), reason] for row, reason in told]
        self._refuse_first(bad_tile_mismatches(bad_tiles, content.coords, self._rows.valid))
        fingerprint = content.provenance.fingerprint
        with writing(self._target):
            self._write_rest(work / STORE, bad_tiles)
            seal(work / STORE, fingerprint, rows, content.dim, self._written)
            made = work / STORE
            if self._target.name.endswith(ARCHIVE_SUFFIX):
                made = work / ARCHIVE
                pack(work / STORE, made)
            FeatureStore.open(made).check(features=False)
            publish(made, self._target, fingerprint)
        self._close(work)
        return self._target

    def leave(self) -> None:
        """Stop here, and leave the chunks that are written to the next writer; without any, nothing is left."""
        if self._work is not None and self._written:
            set_aside(self._work, self._target)
            self._close(None)
        self._close(self._work)

    def _close(self, unwanted: Path | None) -> None:
        if self._journal is not None:
            self._journal.close()
        if unwanted is not None:
            remove(unwanted)
        self._work = self._journal = None

    def _require_work(self) -> tuple[Path, Journal]:
        if self._work is None or self._journal is None:
            raise RuntimeError("a StoreWriter is used inside its `with` block, and once")
        return self._work, self._journal

    def _write_rest(self, root: Path, bad_tiles: list[list[Any]]) -> None:
        content = self._content
        create_array(root, self._specs["valid"])[...] = self._rows.valid
        create_array(root, self._specs["columns"])[...] = self._rows.columns
        own = {"column_names": list(content.all_columns), "bad_tiles": bad_tiles}
        create_group(root, dict(sorted({**content.provenance.to_attributes(), **own}.items())))

    def _refuse_first(self, mismatches: Iterable[Mismatch]) -> None:
        for mismatch in mismatches:
            raise StoreError.refused(self._content.provenance.slide_id, *mismatch)


def _about(content: StoreContent, setting: Json, chunk_rows: int) -> Json:
    """All that the bytes of a chunk depend on; what is long, by its digest."""
    attributes = content.provenance.to_attributes()
    found = hashlib.sha256(canonical_json([attributes, content.all_columns, content.dim, content.dtype]).encode())
    for values in (*content.known_arrays().values(), content.columns.astype(np.float32)):
        found.update(np.ascontiguousarray(values).tobytes())
    about = {"fingerprint": content.provenance.fingerprint, "setting": setting, "chunk_rows": chunk_rows}
    return dict(json.loads(canonical_json(about | {"content": found.hexdigest()})))
