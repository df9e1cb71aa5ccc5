"""Two sides of one slide: an irregular patch of a grid, scanned at an odd resolution, with features that vary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.store.conftest import Samples
from wsi_features.cohort.compare.sides import Side
from wsi_features.cohort.compare.slide import Compared, compared
from wsi_features.geometry import Mpp, SlidePx
from wsi_features.store import FeatureStore, Provenance, StoreContent, StoreWriter

SPAN, NATIVE, DIM = 508, 0.2521, 24
ACROSS, DOWN = 14, 9

Values = npt.NDArray[Any]


def places() -> Values:
    """Grid places (n, 2) of a slanted patch: no symmetry, and x is never y."""
    column, line = np.meshgrid(np.arange(ACROSS), np.arange(DOWN))
    inside = (column + 2 * line > 3) & (column - line < 11)
    return np.stack([column[inside], line[inside]], axis=1)


CORNERS = places() * [SPAN, SPAN] + [1016, 324]


def smooth(rng: np.random.Generator, corners: Values, dim: int = DIM) -> Values:
    """Features of a field that varies over the slide by about two tiles: neighbours are alike, not the same."""
    waves, phases = rng.normal(0, 1 / (1.6 * SPAN), (dim, 2)), rng.uniform(0, 6.28, dim)
    return np.sin(corners @ waves.T + phases).astype(np.float32)


@pytest.fixture
def features(rng: np.random.Generator) -> Values:
    """(n, 24) with means far from 0, so that all cosines are high."""
    return (smooth(rng, CORNERS) + rng.normal(0, 0.3, (len(CORNERS), DIM)) + 4).astype(np.float32)


def side(values: Values, corners: Values | None = CORNERS, **fields: Any) -> Side:
    about = {"slide_id": "s1", "path": Path("x.npy"), "layout": "npy", "dtype": str(values.dtype), "span": float(SPAN)}
    placed = None if corners is None else np.asarray(corners, np.float64)
    return Side(features=values, corners=placed, **(about | fields))


@pytest.fixture
def judge() -> Callable[..., Compared]:
    """Compares arrays, all at the corners of the patch unless said otherwise."""

    def compare(one: Values, two: Values, corners: Values | None = CORNERS, **fields: Any) -> Compared:
        names = fields.pop("names", ())
        return compared("s1", side(one), side(two, corners, **fields), 1.0, names)

    return compare


def provenance(**fields: Any) -> Provenance:
    about: dict[str, Any] = {"mpp_native": Mpp(NATIVE), "mpp_effective": Mpp(SPAN * NATIVE / 256)}
    about |= {"span": SlidePx(SPAN), "step": SlidePx(SPAN), "level": 0, "level_downsample": 1.0, "resize": 256 / SPAN}
    about |= {
        "slide_size": (20_000, 15_000),
        "precision": "fp32",
        "encoder": {"name": "tiny"},
        "versions": {"numpy": "2"},
    }
    return Samples.provenance(len(CORNERS), **(about | fields))


def written(path: Path, values: Values, bad: int | None = None, **fields: Any) -> FeatureStore:
    """A store of the patch; its one column is the sharpness of its tiles."""
    dtype: Any = str(values.dtype)
    sharp = fields.pop("sharp", np.arange(len(values)))[:, None].astype(np.float32)
    content = StoreContent(
        CORNERS, places().astype(np.int32), sharp, ("sharpness",), values.shape[1], dtype, provenance(**fields)
    )
    valid = np.arange(len(values)) != (-1 if bad is None else bad)
    with StoreWriter(path, content) as writer:
        writer.append(values.astype(np.float32), valid)
        return FeatureStore.open(writer.commit([] if bad is None else [(bad, "missing")]))
