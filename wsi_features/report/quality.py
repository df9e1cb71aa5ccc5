"""What the report shows of the quality of a slide's tiles: which ones are kept, and how its columns are spread.

One scale for each column on every slide, so that histograms can be compared down the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

KEPT, LEFT_OUT = (0, 114, 178), (213, 94, 0)
"""Blue and orange of a palette that every kind of colour vision tells apart (Okabe and Ito 2008)."""

SHOWN: Mapping[str, str] = {
    "white_share": "white",
    "pen_share": "pen",
    "fold_share": "folds",
    "sharpness": "sharpness",
    "haematoxylin_od": "haematoxylin, OD",
    "eosin_od": "eosin, OD",
    "nuclei_per_mm2": "nuclei per mm\u00b2",
}
"""The columns with a histogram, and their headings."""

BINS = 24

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many tiles have which value of a column: `bars` are heights, 0 to 1, of equal steps from `low` to `high`."""

    title: str
    low: float
    high: float
    bars: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class QualityMap:
    """The tiles of one slide that its keep marks keep.

    `image` is a PNG like that of `component_map`, in `KEPT` and `LEFT_OUT`. `reasons` says how many tiles each
    threshold speaks against; several may speak against one.
    """

    image: bytes
    tiles: int
    kept: int
    reasons: tuple[tuple[str, int], ...] = ()
    histograms: tuple[Histogram, ...] = ()


def kept_colours(keep: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The colour of each tile, uint8 (n, 3)."""
    return np.where(keep[:, None], np.array(KEPT, np.uint8), np.array(LEFT_OUT, np.uint8))


def column_limits(slides: Iterable[Mapping[str, Floats]]) -> dict[str, tuple[float, float]]:
    """From where to where each of the `SHOWN` columns is drawn: 0 to 1 for shares, else what all slides hold."""
    found: dict[str, tuple[float, float]] = {}
    for columns in slides:
        for name in SHOWN:
            values = columns[name][np.isfinite(columns[name])] if name in columns else np.empty(0, np.float32)
            if name.endswith("_share") and name in columns:
                found[name] = (0.0, 1.0)
            elif len(values):
                low, high = found.get(name, (float("inf"), float("-inf")))
                found[name] = (min(low, float(values.min())), max(high, float(values.max())))
    return found


def histograms(columns: Mapping[str, Floats], limits: Mapping[str, tuple[float, float]]) -> tuple[Histogram, ...]:
    """A histogram of each shown column that these tiles have."""
    found = []
    for name, (low, high) in limits.items():
        values = columns[name][np.isfinite(columns[name])] if name in columns else np.empty(0, np.float32)
        if len(values):
            counts, _ = np.histogram(values, bins=BINS, range=(low, high if high > low else low + 1))
            bars = tuple(round(float(bar), 4) for bar in counts / counts.max())
            found.append(Histogram(SHOWN[name], low, high, bars))
    return tuple(found)
