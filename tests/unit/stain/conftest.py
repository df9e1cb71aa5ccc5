"""H&E-like pixels made by Beer-Lambert mixing, so that the true stains are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.stain import StainRecipe

HAEMATOXYLIN, EOSIN = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)

Image = npt.NDArray[np.uint8]
Mixed = Callable[..., Image]


def unit_stains() -> npt.NDArray[np.float64]:
    stains = np.array([HAEMATOXYLIN, EOSIN])
    return np.asarray(stains / np.linalg.norm(stains, axis=1, keepdims=True))


@pytest.fixture
def true_stains() -> npt.NDArray[np.float64]:
    """Rows haematoxylin, eosin, of length 1."""
    return unit_stains()


@pytest.fixture
def mixed() -> Mixed:
    """Makes an image (h, w, 3) with gamma-distributed amounts of the two stains."""

    def image(seed: int = 0, *, h: int = 60, w: int = 110, amounts: tuple[float, float] = (0.6, 0.4)) -> Image:
        concentration = np.random.default_rng(seed).gamma(1.2, amounts, (h, w, 2))
        return np.asarray(np.rint(255 * np.exp(-concentration @ unit_stains())), dtype=np.uint8)

    return image


@pytest.fixture
def tissue(mixed: Mixed) -> Image:
    """Pixels of one slide, uint8 (n, 3)."""
    return mixed().reshape(-1, 3)


@pytest.fixture
def macenko() -> StainRecipe:
    return StainRecipe(method="macenko")


@pytest.fixture
def reinhard() -> StainRecipe:
    return StainRecipe(method="reinhard")
