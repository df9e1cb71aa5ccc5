"""Tiles whose features came out as NaN or infinity, computed again in fp32 where the recipe allows it.

fp16 ends at 65,504, and a few networks leave that on a few tiles. Only the rows of those tiles
are replaced, so that a row still depends on its own tile alone, whatever shares its batch.
The network in fp32 is made when it is first needed: most runs never need it, and it takes
twice the memory of the first one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.encode.device.stage import Stage
from wsi_features.encode.encoder import Pending
from wsi_features.encode.notes import Notes
from wsi_features.stain.transform import StainTransform

NonFinite = Literal["fail", "fp32"]
"""What happens to a tile whose features are NaN or infinity: its slide fails, or it is computed again in fp32."""

Pixels = npt.NDArray[np.uint8]
Features = npt.NDArray[np.float32]


class Fp32Retry:
    """Mends the rows of a stage by a second stage, which `make` gives. For one calling thread."""

    def __init__(self, make: Callable[[], Stage], notes: Notes) -> None:
        self._make = make
        self._notes = notes
        self._stage: Stage | None = None

    def watched(self, pending: Pending, pixels: Pixels, stain: StainTransform) -> Pending:
        """`pending`, whose rows are looked at when they are there; `pixels` (b, h, w, 3) may not change until then."""
        return _Watched(self, pending, pixels, stain)

    def mended(
        self, features: Features, broken: npt.NDArray[np.bool_], pixels: Pixels, stain: StainTransform
    ) -> Features:
        """The rows (b, dim) with those that are `broken` (b,) computed again."""
        self._notes.count("NaN or infinity in {} batch(es): those tiles were computed again in fp32")
        if self._stage is None:
            self._stage = self._make()
        out = features.copy()
        out[broken] = self._stage.submit(np.ascontiguousarray(pixels[broken]), stain).rows()
        return out

    def close(self) -> None:
        """Let go of the second stage."""
        if self._stage is not None:
            self._stage.close()


@dataclass(slots=True, eq=False)
class _Watched:
    retry: Fp32Retry
    pending: Pending
    pixels: Pixels
    stain: StainTransform
    features: Features | None = field(default=None, init=False)

    def rows(self) -> Features:
        """Wait, look, and compute again what has to be; the second time the same array."""
        if self.features is None:
            found = self.pending.rows()
            broken = np.asarray(~np.isfinite(found).all(axis=1))
            mend = self.retry.mended
            self.features = mend(found, broken, self.pixels, self.stain) if broken.any() else found
        return self.features
