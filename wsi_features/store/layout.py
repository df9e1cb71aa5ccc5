"""The layout: which arrays a feature store holds, and how each lies on disk.

FORMAT.md beside this file is the full text. This is the only module that speaks to
zarr; it knows nothing of commit records and does not judge what the arrays hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wsi_features.recipe import Json
from wsi_features.store.archive import is_archive

if TYPE_CHECKING:
    import zarr

FORMAT_VERSION = 2
"""The newest; raised whenever an older reader would misread a store. A store has the lowest that says all of it."""

OWN_VERSION, IMPORTED_VERSION = 1, 2
"""What a run makes is still written as version 1; in version 2 names may be absent that an imported store does not know."""

CHUNK_ROWS = 4096
"""Rows of `features` in one file: 12 MiB at float16 x 1536, so a slide is a few dozen files at most."""

_SMALL_FILES = 64 * 1024
"""Metadata, the journal of a small store, and the ends of blocks of the file system."""

FeatureDtype = Literal["float16", "float32"]
FEATURE_DTYPES: tuple[FeatureDtype, ...] = ("float16", "float32")

FEATURES = "features"
ARRAYS = (FEATURES, "coords", "grid", "valid", "columns")
GROUP_FILE = "zarr.json"


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array: shape, shape of a chunk, and what absent elements would read as."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    fill: float | int | bool
    dimensions: tuple[str, ...]


def array_specs(rows: int, dim: int, columns: int, dtype: FeatureDtype) -> dict[str, ArraySpec]:
    """The five arrays of a store with `rows` tiles, by name.

    All but `features` are one chunk. Zarr wants chunks of at least one element, so an
    array without rows has chunks of one row and no chunk file.
    """
    all_rows = max(1, rows)
    nan = float("nan")
    specs = (
        ArraySpec(FEATURES, dtype, (rows, dim), (min(CHUNK_ROWS, all_rows), dim), nan, ("tile", "feature")),
        ArraySpec("coords", "int32", (rows, 2), (all_rows, 2), -1, ("tile", "x_y")),
        ArraySpec("grid", "int32", (rows, 2), (all_rows, 2), -1, ("tile", "column_row")),
        ArraySpec("valid", "bool", (rows,), (all_rows,), False, ("tile",)),
        ArraySpec("columns", "float32", (rows, columns), (all_rows, max(1, columns)), nan, ("tile", "column")),
    )
    return {spec.name: spec for spec in specs}


def bytes_of_store(rows: int, dim: int, dtype: FeatureDtype, columns: int = 8) -> int:
    """About how many bytes a store takes: its chunks in full, and a little for what is small."""
    specs = array_specs(rows, dim, columns, dtype).values()
    chunks = [(-(-spec.shape[0] // spec.chunks[0]), prod(spec.chunks), spec.dtype) for spec in specs]
    return sum(count * size * np.dtype(kind).itemsize for count, size, kind in chunks) + _SMALL_FILES


def create_array(root: Path, spec: ArraySpec) -> zarr.Array[Any]:
    """Make one empty array under `root`: raw little-endian values, then a crc32c for each chunk.

    Floats of features shrink by 8 to 15 % under zstd and cost three times the reading
    time, so nothing is compressed. Chunks that hold only the fill value are written too:
    an absent file must never be a legal state.
    """
    import zarr
    from zarr.codecs import BytesCodec, Crc32cCodec

    return zarr.create_array(
        store=root / spec.name,
        shape=spec.shape,
        chunks=spec.chunks,
        dtype=spec.dtype,
        fill_value=spec.fill,
        dimension_names=spec.dimensions,
        filters=(),
        serializer=BytesCodec(endian="little"),
        compressors=(Crc32cCodec(),),
        zarr_format=3,
        config={"write_empty_chunks": True},
    )


def create_group(root: Path, attributes: Json) -> None:
    """Make `root` a Zarr group that carries `attributes`, in the order given."""
    import zarr

    zarr.create_group(store=root, attributes=attributes, zarr_format=3)


def open_array(root: Path, name: str) -> zarr.Array[Any]:
    """One array of a store, for reading."""
    import zarr

    if is_archive(root):
        return zarr.open_array(store=zarr.storage.ZipStore(root, mode="r"), path=name, mode="r")
    return zarr.open_array(store=root / name, mode="r")


def attributes_in(content: bytes) -> Json:
    """The attributes in the file of a group. Raises ValueError."""
    document = json.loads(content)
    attributes = document.get("attributes") if isinstance(document, dict) else None
    if not isinstance(attributes, dict):
        raise ValueError("it has no attributes")  # noqa: TRY004 - the content of a file is wrong, not an argument
    return attributes
