"""Marks: what is derived of the tiles of a store, beside it and joined to it by row.

A store holds what was measured; what depends on prompts, thresholds or annotations is a mark
with a fingerprint of its own, in `OUT/marks/<name>__<hash8>/<slide_id>.parquet`. A reader
gives the store that the marks are to be joined to, and gets them only if they are of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.outputs import Outputs, meant
from wsi_features.errors import ArtifactError, MarksError, one_line
from wsi_features.files import replacing
from wsi_features.recipe import Json
from wsi_features.store import FeatureStore

_KEY = b"wsi_features"
_ROW = "row"


@dataclass(frozen=True, slots=True, eq=False)
class Marks:
    """One value a tile and column: `values` float32 (n, c), NaN where a tile has none; `columns` names them.

    `fingerprint` is of their recipe and of the store, `store` the store's own. `about` says how they were made.
    """

    kind: str
    fingerprint: str
    store: str
    columns: tuple[str, ...]
    values: npt.NDArray[np.float32]
    about: Json = field(default_factory=dict)


def write_marks(path: Path, marks: Marks) -> None:
    """Write them whole or not at all. Equal marks give equal bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {_ROW: np.arange(len(marks.values), dtype=np.int32)}
    columns |= {name: np.ascontiguousarray(marks.values[:, k]) for k, name in enumerate(marks.columns)}
    head = {"kind": marks.kind, "fingerprint": marks.fingerprint, "store": marks.store}
    about = json.dumps(head | {"columns": list(marks.columns), "about": marks.about}, sort_keys=True)
    table = pa.table(list(columns.values()), names=list(columns)).replace_schema_metadata({_KEY: about})
    with replacing(path) as temporary:
        pq.write_table(table, temporary)


def read_marks(path: Path, store: FeatureStore, fingerprint: str | None = None) -> Marks:
    """The marks at `path`, which must be of `store`, and have `fingerprint` where one is given. Raises ArtifactError."""
    slide_id = store.provenance.slide_id
    marks = _read(slide_id, path)
    for found, wanted in ((marks.store, store.fingerprint), (marks.fingerprint, fingerprint or marks.fingerprint)):
        if found != wanted:
            raise ArtifactError.mismatch(slide_id, "marks", str(path), found, wanted)
    if len(marks.values) != len(store):
        why = f"they are of {len(marks.values)} tiles, the store has {len(store)}"
        raise ArtifactError.damaged(slide_id, "marks", str(path), why)
    return marks


def about_marks(path: Path) -> Json:
    """How the marks at `path` were made, without their values. Raises ArtifactError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        found: Json = json.loads(pq.read_schema(path).metadata[_KEY])["about"]
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError.damaged(path.stem, "marks", str(path), one_line(error)) from error
    return found


def marks_are_there(path: Path, store: FeatureStore, fingerprint: str) -> bool:
    """Whether the marks at `path` are whole, of `store`, and have `fingerprint`."""
    try:
        read_marks(path, store, fingerprint)
    except ArtifactError:
        return False
    return True


def marks_of(out: Outputs, store: FeatureStore, begins: str = "") -> Iterator[tuple[str, Marks]]:
    """All marks of a store with the names of their folders, sorted; those of other stores of the slide are passed over.

    Only folders whose name `begins` so are read.
    """
    for folder in sorted(out.marks.glob(f"{escape(begins)}*")) if out.marks.is_dir() else ():
        path = folder / f"{store.provenance.slide_id}.parquet"
        if not path.is_file():
            continue
        try:
            yield folder.name, read_marks(path, store)
        except ArtifactError:
            continue


def refuse_unknown_marks(out: Outputs, names: Iterable[str | None]) -> None:
    """Raise MarksError for a name that no folder of marks begins with; None and '' name nothing."""
    folders = sorted(path.name for path in out.marks.iterdir() if path.is_dir()) if out.marks.is_dir() else []
    for name in names:
        if name and not any(folder.startswith(name) for folder in folders):
            raise MarksError.unknown(str(out.root), name, folders)


def marks_named(out: Outputs, store: FeatureStore, name: str, kind: str | None = None) -> Marks:
    """The marks of a store, of `kind` where one is given, in the folder `name` or the only one that begins with it.

    Raises ArtifactError where there is no such folder for the store, or several.
    """
    every = {folder: marks for folder, marks in marks_of(out, store, name) if kind in (None, marks.kind)}
    found = meant(list(every), name)
    if len(found) != 1:
        others = [folder for folder, marks in marks_of(out, store) if kind in (None, marks.kind)]
        raise ArtifactError.unclear_marks(store.provenance.slide_id, kind or "", name, found or others)
    return every[found[0]]


def _read(slide_id: str, path: Path) -> Marks:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise ArtifactError.absent(slide_id, "marks", str(path))
    try:
        whole = pa.BufferReader(
            path.read_bytes()
        )  # small: arrow's threads, for reading too, would cost several times more
        table = pq.ParquetFile(whole).read(use_threads=False)
        head = json.loads(table.schema.metadata[_KEY])
        names = tuple(head["columns"])
        columns = [table.column(1 + k).to_numpy().astype(np.float32) for k in range(len(names))]
        values = np.stack(columns, axis=1) if columns else np.empty((len(table), 0), np.float32)
        return Marks(head["kind"], head["fingerprint"], head["store"], names, values, head["about"])
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as error:
        raise ArtifactError.damaged(slide_id, "marks", str(path), one_line(error)) from error
