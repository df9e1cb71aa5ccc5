"""HDF5 files of exports: whole or absent, their rows written block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.files import replacing


@contextmanager
def new_h5(path: Path) -> Iterator[Any]:
    """A new HDF5 file that takes its place at `path` when the block ends well."""
    import h5py

    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        yield file


def write_features(file: Any, key: str, slide: ExportedSlide, dtype: str, chunk_rows: int | None = None) -> Any:
    """The features (n, dim) of a slide as the dataset `key`.

    With `chunk_rows` it is chunked and may grow, as the writers of CLAM and TRIDENT leave theirs; else in one piece.
    """
    shape = (len(slide), slide.dim)
    stored = file.create_dataset(key, shape, dtype=dtype, **_growing(shape, chunk_rows))
    for start, block in slide.blocks(dtype):
        stored[start : start + len(block)] = block
    return stored


def write_array(file: Any, key: str, values: npt.NDArray[Any], chunk_rows: int | None = None) -> Any:
    """A small array as the dataset `key`."""
    return file.create_dataset(key, data=np.ascontiguousarray(values), **_growing(values.shape, chunk_rows))


def _growing(shape: tuple[int, ...], chunk_rows: int | None) -> dict[str, Any]:
    if chunk_rows is None:
        return {}
    return {"chunks": (chunk_rows, *shape[1:]), "maxshape": (None, *shape[1:])}
