"""Colours of scores: a ramp of 256, from one end of a scale to the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]

RAMPS = ("turbo", "viridis", "magma", "inferno", "cividis", "coolwarm", "RdBu_r", "PiYG", "Reds", "Greys")
"""Names as in matplotlib. `coolwarm`, `RdBu_r` and `PiYG` are for scores of both signs."""

SEQUENTIAL, DIVERGING = "turbo", "coolwarm"
BARE = (255, 255, 255)
"""Where no tile is: glass."""


@dataclass(frozen=True, slots=True, eq=False)
class Ramp:
    """A table of colours uint8 (256, 3) from the value `low` to `high`; what lies beyond takes the last colour."""

    table: Rgb
    low: float
    high: float

    def places(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """The place of each value in the table; the middle where the ends are one value, anything for NaN."""
        if not self.high > self.low:
            return np.full(values.shape, len(self.table) // 2, np.uint8)
        share = (values - np.float64(self.low)) * (255 / (self.high - self.low))
        return np.rint(np.clip(np.nan_to_num(share), 0, 255)).astype(np.uint8)

    def colours(self, values: npt.NDArray[Any]) -> Rgb:
        """Colours (..., 3) of values (...), glass for NaN; some thousands of values at a time are held as floats."""
        painted = np.empty((*values.shape, 3), np.uint8)
        for row, out in zip(values, painted, strict=True):
            out[...] = self.table[self.places(row)]
            out[np.isnan(row)] = BARE
        return painted


def ramp(name: str, low: float, high: float) -> Ramp:
    """The ramp of one of `RAMPS`."""
    from matplotlib import colormaps

    table = colormaps[name](np.linspace(0, 1, 256))[:, :3]
    return Ramp(np.rint(table * 255).astype(np.uint8), low, high)
