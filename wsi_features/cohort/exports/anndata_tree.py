"""The elements of AnnData's file format 0.12, in HDF5 and in Zarr: the same tree, and every element says what it is.

Written by hand, so that neither anndata nor pandas is needed; both read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.exports.h5 import write_array, write_features
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.recipe import Json


class Backend(Protocol):
    """What HDF5 and Zarr do each in a way of its own; all return the element that was made in `group`."""

    def array(self, group: Any, name: str, values: npt.NDArray[Any]) -> Any: ...
    def texts(self, group: Any, name: str, values: Sequence[str]) -> Any: ...
    def scalar(self, group: Any, name: str, value: str | float) -> Any: ...
    def features(self, group: Any, name: str, slide: ExportedSlide, dtype: str) -> Any: ...


class H5Backend:
    """Elements of an HDF5 file."""

    def array(self, group: Any, name: str, values: npt.NDArray[Any]) -> Any:
        """A dataset in one piece."""
        return write_array(group, name, values)

    def texts(self, group: Any, name: str, values: Sequence[str]) -> Any:
        """UTF-8 of any length."""
        import h5py

        stored = group.create_dataset(name, (len(values),), dtype=h5py.string_dtype())
        stored[:] = np.array(values, dtype=object)
        return stored

    def scalar(self, group: Any, name: str, value: str | float) -> Any:
        """One value."""
        return group.create_dataset(name, data=value)

    def features(self, group: Any, name: str, slide: ExportedSlide, dtype: str) -> Any:
        """(n, dim), block by block."""
        return write_features(group, name, slide, dtype)


class ZarrBackend:
    """Elements of a Zarr v3 group."""

    def array(self, group: Any, name: str, values: npt.NDArray[Any]) -> Any:
        """In one chunk."""
        return group.create_array(name, data=np.ascontiguousarray(values))

    def texts(self, group: Any, name: str, values: Sequence[str]) -> Any:
        """UTF-8 of any length."""
        stored = group.create_array(name, shape=(len(values),), dtype="string", chunks=(max(1, len(values)),))
        if len(values):
            stored[:] = np.array(values, dtype=object)
        return stored

    def scalar(self, group: Any, name: str, value: str | float) -> Any:
        """One value, as an array without axes."""
        stored = group.create_array(name, shape=(), dtype="string" if isinstance(value, str) else "float64")
        stored[()] = value
        return stored

    def features(self, group: Any, name: str, slide: ExportedSlide, dtype: str) -> Any:
        """(n, dim), block by block, in chunks like those of the store, and like those not compressed: a third of the time."""
        chunks = slide.store.features.chunks
        stored = group.create_array(name, shape=(len(slide), slide.dim), dtype=dtype, chunks=chunks, compressors=None)
        for start, block in slide.blocks(dtype):
            stored[start : start + len(block)] = block
        return stored


def write_anndata(root: Any, backend: Backend, slide: ExportedSlide, names: Sequence[str]) -> None:
    """`X` of features, whose `names` are (dim,); `obs` of what each tile is, and whose; centres in `obsm["spatial"]`.

    That is where scanpy and squidpy look for them. All positions are level-0 pixels. Features are in single precision:
    much of scanpy refuses half. `root` is an empty group.
    """
    encode(root, "anndata", "0.1.0")
    encode(backend.features(root, "X", slide, "float32"), "array", "0.2.0")
    _dataframe(root, backend, "obs", [f"{slide.slide_id}_{row}" for row in slide.rows], _observations(slide))
    for name, value in slide.whose.items():
        write_category(root["obs"], backend, name, value, len(slide))
    _dataframe(root, backend, "var", names, {})
    spatial = write_dict(root, backend, "obsm", {})
    encode(backend.array(spatial, "spatial", slide.origins + slide.made.span / 2), "array", "0.2.0")
    write_dict(root, backend, "uns", {"wsi_features": slide.about()})
    for name in ("layers", "obsp", "varm", "varp"):
        write_dict(root, backend, name, {})


def encode(element: Any, kind: str, version: str) -> Any:
    """Say what an element is; returns it."""
    element.attrs.update({"encoding-type": kind, "encoding-version": version})
    return element


def write_dict(group: Any, backend: Backend, name: str, content: Json) -> Any:
    """A group of texts, numbers and further groups."""
    made = encode(group.create_group(name), "dict", "0.1.0")
    for key, value in content.items():
        if isinstance(value, dict):
            write_dict(made, backend, key, value)
        else:
            kind = "string" if isinstance(value, str) else "numeric-scalar"
            encode(backend.scalar(made, key, value), kind, "0.2.0")
    return made


def write_category(group: Any, backend: Backend, name: str, value: str, rows: int) -> None:
    """A column of one category, the same in all rows."""
    made = encode(group.create_group(name), "categorical", "0.2.0")
    made.attrs["ordered"] = False
    encode(backend.texts(made, "categories", [value]), "string-array", "0.2.0")
    encode(backend.array(made, "codes", np.zeros(rows, np.int8)), "array", "0.2.0")
    columns = list(group.attrs["column-order"])
    group.attrs["column-order"] = [*columns, name]


def _observations(slide: ExportedSlide) -> dict[str, npt.NDArray[Any]]:
    """`tile_id` counts the exported tiles from 0, since spatialdata joins it to the index of the shapes."""
    x, y = slide.origins.T
    columns = {name.replace("/", "_"): values[slide.rows] for name, values in slide.store.columns.items()}
    tissue = {"tissue_id": slide.tissues.of_tile} if slide.tissues else {}
    return columns | {"tile_id": np.arange(len(slide)), "store_row": slide.rows, "x": x, "y": y} | tissue


def _dataframe(
    group: Any, backend: Backend, name: str, index: Sequence[str], columns: Mapping[str, npt.NDArray[Any]]
) -> None:
    made = encode(group.create_group(name), "dataframe", "0.2.0")
    made.attrs["_index"] = "_index"
    made.attrs["column-order"] = list(columns)
    encode(backend.texts(made, "_index", index), "string-array", "0.2.0")
    for column, values in columns.items():
        encode(backend.array(made, column, values), "array", "0.2.0")
