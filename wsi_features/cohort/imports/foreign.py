"""The features of one slide as another program left them: what its file says, and the rows where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size
from wsi_features.recipe import Json

Unit = Literal["px", "um", "tile px"]
"""Level-0 pixels, microns, or pixels of the delivered tiles."""


class StoredRows(Protocol):
    """An array on disk, indexed like numpy."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class Foreign:
    """One slide's features (n, d), and corners (n, 2) of its tiles with their width `span`, both in `unit`.

    Everything else is None where the file does not say it. `said` holds its attributes as found, without paths and
    names. `files` are all that was read.
    """

    files: tuple[Path, ...]
    features: StoredRows
    corners: npt.NDArray[np.float64]
    unit: Unit = "px"
    span: float | None = None
    tile_px: int | None = None
    tile_mpp: float | None = None
    native_mpp: float | None = None
    slide: Size | None = None
    encoder: str = ""
    said: Json = field(default_factory=dict)


def plain_attributes(*holders: Any) -> Json:
    """Attributes as JSON values; what names a path, a user or a slide is left out, and so is text that says None."""
    found: Json = {}
    for holder in holders:
        for name, value in holder.attrs.items():
            plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
            if name not in _PRIVATE and plain != "None" and isinstance(plain, str | int | float | list):
                found[name] = plain
    return found


_PRIVATE = {"name", "savetodir", "save_path", "wsi_path", "creation_date"}


def in_order(features: StoredRows, order: npt.NDArray[np.int64], folder: Path) -> Iterator[npt.NDArray[Any]]:
    """The rows `order` (n,) of an array, in blocks; see `in_any_order`."""
    source = in_any_order(features, order, folder)
    for start in range(0, len(order), _ROWS):
        yield rows_of(source, order[start : start + _ROWS])


def in_any_order(features: StoredRows, order: npt.NDArray[np.int64], folder: Path) -> StoredRows:
    """The array, of which the rows `order` (n,) can be read block by block.

    Where these do not ascend, all rows are first laid into a nameless file in `folder`: HDF5 is slow at single rows,
    and all of them may not fit into memory.
    """
    ascending = bool((np.diff(order) > 0).all())
    return features if ascending or isinstance(features, np.ndarray) else _mapped(features, folder)


def rows_of(features: StoredRows, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Some rows (n,) of an array, whose other rows are read by the block and let go."""
    if isinstance(features, np.ndarray):
        return np.asarray(features[rows])
    block = np.empty((len(rows), *features.shape[1:]), features.dtype)
    for start in np.unique(rows // _ROWS).tolist():
        wanted = rows // _ROWS == start
        first, last = int(rows[wanted].min()), int(rows[wanted].max())
        block[wanted] = np.asarray(features[first : last + 1])[rows[wanted] - first]
    return block


def _mapped(features: StoredRows, folder: Path) -> npt.NDArray[Any]:
    from tempfile import TemporaryFile

    with TemporaryFile(dir=folder) as file:
        rows: np.memmap[Any, Any] = np.memmap(file, dtype=features.dtype, mode="w+", shape=features.shape)
    for start in range(0, features.shape[0], _ROWS):
        rows[start : start + _ROWS] = features[start : start + _ROWS]
    return rows


_ROWS = 4096
