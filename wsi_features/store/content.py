"""What a store will hold besides the features: all that is known before embedding starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.store.layout import FeatureDtype
from wsi_features.store.provenance import Provenance


@dataclass(frozen=True, slots=True, eq=False)
class StoreContent:
    """The tiles of one slide, in raster order, and how their features will be stored.

    `coords` int64 or int32 (n, 2) holds level-0 top-left x, y; `grid` int32 (n, 2) column, row;
    `columns` float32 (n, c) one quantity per name of `column_names` that is known beforehand. Those of `measured` are
    measured while embedding, and stored after them. `dim` is the width of a feature vector.
    """

    coords: npt.NDArray[np.int64] | npt.NDArray[np.int32]
    grid: npt.NDArray[np.int32]
    columns: npt.NDArray[np.float32]
    column_names: tuple[str, ...]
    dim: int
    dtype: FeatureDtype
    provenance: Provenance
    measured: tuple[str, ...] = ()

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Names of all columns in the stored order."""
        return (*self.column_names, *self.measured)

    def known_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The stored arrays that can be written at once, by name and in their stored types."""
        return {"coords": self.coords.astype(np.int32), "grid": self.grid.astype(np.int32)}

    def __len__(self) -> int:
        return len(self.coords)
