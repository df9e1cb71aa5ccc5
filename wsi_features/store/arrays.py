"""One array of a store on disk: indexed like numpy, read only where it is asked for.

A damaged chunk becomes a StoreError here, at the one edge where zarr's own errors appear.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import StoreError
from wsi_features.store.layout import open_array

if TYPE_CHECKING:
    import zarr


@dataclass(frozen=True, eq=False)
class StoredArray:
    """The array `name` of the store at `root`. Each indexing reads the chunks it touches and verifies them."""

    root: Path
    name: str
    _opened: dict[int, zarr.Array[Any]] = field(default_factory=dict, init=False, repr=False)

    @property
    def _zarr(self) -> zarr.Array[Any]:
        """Opened once a process: one that was forked must not share the position in an archive with the other."""
        process = os.getpid()
        if process not in self._opened:
            with self._as_store_error():
                self._opened[process] = open_array(self.root, self.name)
        return self._opened[process]

    def __reduce__(self) -> tuple[type[StoredArray], tuple[Path, str]]:
        return StoredArray, (self.root, self.name)

    @property
    def shape(self) -> tuple[int, ...]:
        """Tiles first."""
        return self._zarr.shape

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of one chunk: the unit of reading."""
        return self._zarr.chunks

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the stored values."""
        return np.dtype(self._zarr.dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self._zarr.ndim

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        with self._as_store_error():
            return np.asarray(self._zarr[key])

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The whole array for numpy; it is always a copy, since it comes from disk."""
        if copy is False:
            raise ValueError("a stored array can only be copied into memory")
        return self[...].astype(dtype or self.dtype, copy=False)

    @contextmanager
    def _as_store_error(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise StoreError.unreadable(str(self.root), self.name, str(error)) from error
