"""What is exported of one slide: the chosen rows of its store, read block by block.

A whole slide of features is never in memory: one chunk of the store is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import NonFiniteFeaturesError
from wsi_features.recipe import Json, digest
from wsi_features.store import FeatureStore, Provenance
from wsi_features.store.arrays import StoredArray

_DESCRIBED = (
    *("slide_id", "fingerprint", "slide_fingerprint", "licence", "weights_sha256", "precision"),
    *("mpp_native", "mpp_effective", "tile_px", "span"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Tissues:
    """The pieces of tissue of a slide: `outlines` are polygons in well-known binary, in level-0 pixels.

    `of_tile` int64 (n,) is the number of the piece that each exported tile lies on, -1 where on none.
    """

    outlines: tuple[bytes, ...]
    of_tile: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ExportedSlide:
    """The rows (n,) of `store`, in raster order, that an export takes: valid tiles only.

    `whose` holds patient_id, stain and block as far as the manifest has them. `tissues` is None where nobody asked for
    them, or there are none.
    """

    store: FeatureStore
    rows: npt.NDArray[np.int64]
    whose: dict[str, str] = field(default_factory=dict)
    tissues: Tissues | None = None

    @classmethod
    def of(
        cls, store: FeatureStore, wanted: npt.NDArray[np.bool_] | None = None, whose: dict[str, str] | None = None
    ) -> ExportedSlide:
        """All valid rows of a store, or those of them that are `wanted` (n,)."""
        chosen = store.valid if wanted is None else store.valid & wanted
        return cls(store, np.flatnonzero(chosen), whose or {})

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def slide_id(self) -> str:
        """Of the slide."""
        return self.store.provenance.slide_id

    @property
    def made(self) -> Provenance:
        """How the features were made."""
        return self.store.provenance

    @property
    def dim(self) -> int:
        """Width of a feature vector."""
        return self.store.dim

    @property
    def left_out(self) -> tuple[int, int]:
        """How many rows of the store are missing here: invalid ones, and valid ones that were not wanted."""
        invalid = int((~self.store.valid).sum())
        return invalid, len(self.store) - invalid - len(self)

    @property
    def origins(self) -> npt.NDArray[np.int64]:
        """(n, 2) level-0 top-left x, y."""
        return self.store.coords[self.rows].astype(np.int64)

    def blocks(self, dtype: npt.DTypeLike | None = None) -> Iterator[tuple[int, npt.NDArray[Any]]]:
        """The features (b, dim), a chunk of the store at a time, each with the row of the export that it begins at.

        In `dtype`, or as stored. Raises NonFiniteFeaturesError for a value that `dtype` cannot hold.
        """
        features = self.store.features
        step, done = features.chunks[0], 0
        for start in range(0, len(self.store), step):
            end = done + int(np.searchsorted(self.rows[done:], start + step))
            if end > done:
                yield done, self._cast(_taken(features, self.rows[done:end]), dtype, done)
            done = end

    def mean(self) -> npt.NDArray[np.float32]:
        """(dim,) mean of all rows, summed in double precision."""
        total = np.zeros(self.dim)
        for _, block in self.blocks(np.float64):
            total += block.sum(axis=0)
        return (total / max(1, len(self))).astype(np.float32)

    def about(self) -> Json:
        """What a format with room for it carries along: licence, fingerprint, resolution; what is unknown is left out."""
        known = {name: getattr(self.made, name) for name in _DESCRIBED if self.made.knows(name)}
        return {"encoder": self.made.encoder_name, **known}

    def digest(self) -> str:
        """Tells whether two exports took the same rows of the same store."""
        chosen = np.zeros(len(self.store), dtype=np.bool_)
        chosen[self.rows] = True
        return digest([self.store.fingerprint, np.packbits(chosen).tobytes().hex()])

    def _cast(self, block: npt.NDArray[Any], dtype: npt.DTypeLike | None, start: int) -> npt.NDArray[Any]:
        if dtype is None or block.dtype == dtype:
            return block
        with np.errstate(over="ignore"):
            cast = block.astype(dtype)
        if not np.can_cast(block.dtype, dtype) and not np.isfinite(cast).all():  # a wider type holds all that is stored
            row, column = np.argwhere(~np.isfinite(cast))[0]
            value, name = float(block[row, column]), str(np.dtype(dtype))
            raise NonFiniteFeaturesError.in_export(self.slide_id, int(self.rows[start + row]), value, name)
        return cast


def _taken(features: StoredArray, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Some rows of one chunk; copied only where some between them are left out."""
    first, last = int(rows[0]), int(rows[-1])
    block = features[first : last + 1]
    return block if len(block) == len(rows) else block[rows - first]
