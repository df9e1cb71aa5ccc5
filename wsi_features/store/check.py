"""Whether the content of a store belongs together: shapes, raster order, finite features.

Everything here yields mismatches in words and raises nothing, so that the writer can
refuse a content and the reader can refuse a store by the same rules. Later rules rely
on earlier ones: stop at the first mismatch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wsi_features.recipe import Json
from wsi_features.store.arrays import StoredArray
from wsi_features.store.commit import CommitRecord
from wsi_features.store.content import StoreContent
from wsi_features.store.layout import ARRAYS, FEATURE_DTYPES, FEATURES, FeatureDtype, array_specs
from wsi_features.store.provenance import Provenance

Integers = npt.NDArray[np.signedinteger[Any]]


class Mismatch(NamedTuple):
    """What is wrong, as found and as wanted."""

    what: str
    found: object
    wanted: object


def content_mismatches(content: StoreContent) -> Iterator[Mismatch]:
    """What keeps `content` from becoming a store, before any feature is computed."""
    rows = len(content)
    if content.dtype not in FEATURE_DTYPES:
        yield Mismatch("the feature dtype", content.dtype, " or ".join(FEATURE_DTYPES))
    if content.dim < 1:
        yield Mismatch("the feature dimension", content.dim, "1 or more")
    yield from _names(content.all_columns)
    wanted = {"coords": (rows, 2), "grid": (rows, 2), "columns": (rows, len(content.column_names))}
    for name, shape in wanted.items():
        found = getattr(content, name).shape
        if found != shape:
            yield Mismatch(f"the shape of {name}", found, shape)
    yield from _status(content.provenance, rows)
    yield from _geometry(content.coords, content.grid, content.provenance)


def store_mismatches(
    root: Path, record: CommitRecord, attributes: Json, provenance: Provenance, *, features: bool = True
) -> Iterator[Mismatch]:
    """What does not fit together in the store at `root`, whose files are known to be as recorded.

    Reads every array once, features chunk by chunk, or not at all where these are known to be right. Raises
    StoreError where an array cannot be read.
    """
    arrays = {name: StoredArray(root, name) for name in ARRAYS}
    names = attributes.get("column_names", ())
    yield from _names(names)
    yield from _shapes(arrays, record, len(names))
    yield from _status(provenance, record.rows)
    coords, valid = arrays["coords"][:], arrays["valid"][:]
    yield from _geometry(coords, arrays["grid"][:], provenance)
    yield from bad_tile_mismatches(attributes.get("bad_tiles"), coords, valid)
    if features:
        yield from _rows(arrays[FEATURES], valid)


def bad_tile_mismatches(listed: object, coords: Integers, valid: npt.NDArray[np.bool_]) -> Iterator[Mismatch]:
    """`listed` must name each invalid tile once as [row, x, y, reason], in row order."""
    bad = np.flatnonzero(~valid)
    wanted = [[int(row), int(coords[row, 0]), int(coords[row, 1])] for row in bad]
    if not isinstance(listed, list) or not all(isinstance(tile, list) and len(tile) == 4 for tile in listed):
        yield Mismatch("the list of bad tiles", repr(listed)[:80], "[row, x, y, reason] for each")
    elif not all(isinstance(tile[3], str) and tile[3] for tile in listed):
        yield Mismatch("the list of bad tiles", repr(listed)[:80], "a reason for each")
    elif [tile[:3] for tile in listed] != wanted:
        rows = [tile[0] for tile in listed]
        yield Mismatch("the list of bad tiles", f"rows {rows[:5]}", f"rows {bad[:5].tolist()}, the invalid ones")


def _names(names: object) -> Iterator[Mismatch]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name for name in names):
        yield Mismatch("the list of column names", repr(names)[:80], "one text per column")
    elif len(set(names)) != len(names):
        yield Mismatch("the list of column names", repr(names)[:80], "no name twice")


def _shapes(arrays: dict[str, StoredArray], record: CommitRecord, columns: int) -> Iterator[Mismatch]:
    """Shapes and dtypes; chunk shapes are the writer's choice, and readers take them from the metadata."""
    dtype: FeatureDtype = "float16" if arrays[FEATURES].dtype == np.float16 else "float32"
    for name, spec in array_specs(record.rows, record.dim, columns, dtype).items():
        found = arrays[name]
        if (found.shape, str(found.dtype)) != (spec.shape, spec.dtype):
            yield Mismatch(f"array {name}", f"{found.dtype} {found.shape}", f"{spec.dtype} {spec.shape}")


def _status(provenance: Provenance, rows: int) -> Iterator[Mismatch]:
    wanted = "ok" if rows else "empty"
    if provenance.status != wanted:
        yield Mismatch("the status", provenance.status, f"{wanted} with {rows} tiles")


def _geometry(coords: Integers, grid: Integers, provenance: Provenance) -> Iterator[Mismatch]:
    """Tiles wholly on the slide, each once, line by line from the top left, by position and by grid index."""
    limit = np.minimum(_limit(provenance), np.iinfo(np.int32).max)
    outside = ((coords < 0) | (coords > limit)).any(axis=1)
    if outside.any():
        row, (x, y) = int(np.argmax(outside)), limit.tolist()
        yield Mismatch(f"the position of row {row}", coords[row].tolist(), f"x from 0 to {x}, y from 0 to {y}")
    for what, pairs in (("positions", coords), ("grid indices", grid)):
        late = _first_out_of_order(pairs)
        if late is not None:
            found = f"{pairs[late].tolist()} at row {late} after {pairs[late - 1].tolist()}"
            yield Mismatch(f"the order of {what}", found, "each once, line by line from the top left")


def _limit(provenance: Provenance) -> npt.NDArray[np.int64]:
    """The last (x, y) that a tile may have: it lies wholly on the slide, but an imported one may cross the edge."""
    if not provenance.knows("slide_size"):
        return np.full(2, np.iinfo(np.int32).max, dtype=np.int64)
    inside = 1 if provenance.imported is not None else provenance.span
    return np.asarray(provenance.slide_size, dtype=np.int64) - inside


def _first_out_of_order(pairs: Integers) -> int | None:
    """The first row of (x, y) that does not come after the one before it."""
    x, y = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    right, down = np.diff(x), np.diff(y)
    wrong = (down < 0) | ((down == 0) & (right <= 0))
    return int(np.argmax(wrong)) + 1 if wrong.any() else None


def _rows(features: StoredArray, valid: npt.NDArray[np.bool_]) -> Iterator[Mismatch]:
    """Valid tiles have finite features; those of the others are NaN, so that nobody averages them in."""
    step = features.chunks[0]
    for start in range(0, len(valid), step):
        marked, rows = valid[start : start + step], features[start : start + step]
        broken = marked & ~np.isfinite(rows).all(axis=1)
        if broken.any():
            yield Mismatch(f"row {start + int(np.argmax(broken))} of features", "not finite", "finite: it is valid")
        kept = ~np.isnan(rows[~marked]).all(axis=1)
        if kept.any():
            row = start + int(np.flatnonzero(~marked)[np.argmax(kept)])
            yield Mismatch(f"row {row} of features", "a number", "NaN: it is not valid")
