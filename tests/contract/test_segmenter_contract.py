"""What every `Segmenter` must do, whatever its method."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_features.tissue.recipe import TissueRecipe
from wsi_features.tissue.segment import Segmenter, otsu_segmenter

SEGMENTERS = {"otsu": otsu_segmenter(TissueRecipe())}


@pytest.fixture(params=SEGMENTERS)
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    return SEGMENTERS[request.param]


@pytest.fixture
def thumbnail() -> np.ndarray:
    """A block of H&E colour, 120 x 60 pixels at (30, 20), on white glass of 200 x 110 pixels."""
    image = np.full((110, 200, 3), 243, dtype=np.uint8)
    image[20:80, 30:150] = np.random.default_rng(0).normal((200, 120, 180), 8, (60, 120, 3)).clip(0, 255)
    return image


def test_the_mask_is_bool_in_the_thumbnail_s_shape(segmenter: Segmenter, thumbnail: np.ndarray) -> None:
    mask = segmenter(thumbnail, 8.0)
    assert mask.dtype == np.bool_
    assert mask.shape == (110, 200)


def test_tissue_lies_where_the_thumbnail_shows_it(segmenter: Segmenter, thumbnail: np.ndarray) -> None:
    wanted = np.zeros((110, 200), dtype=bool)
    wanted[20:80, 30:150] = True
    mask = segmenter(thumbnail, 8.0)
    assert (mask & wanted).sum() / (mask | wanted).sum() > 0.95


def test_bare_glass_holds_no_tissue(segmenter: Segmenter) -> None:
    image = np.random.default_rng(0).normal(242, 2, (90, 160, 3)).clip(0, 255).astype(np.uint8)
    assert not segmenter(image, 8.0).any()


def test_the_same_thumbnail_gives_the_same_mask(segmenter: Segmenter, thumbnail: np.ndarray) -> None:
    assert np.array_equal(segmenter(thumbnail, 8.0), segmenter(thumbnail.copy(), 8.0))


def test_the_thumbnail_is_left_as_it_was(segmenter: Segmenter, thumbnail: np.ndarray) -> None:
    before = thumbnail.copy()
    thumbnail.flags.writeable = False
    segmenter(thumbnail, 8.0)
    assert np.array_equal(thumbnail, before)


def test_a_cut_out_view_gives_the_mask_of_its_copy(segmenter: Segmenter, thumbnail: np.ndarray) -> None:
    view = thumbnail[5:95, 10:190]
    assert np.array_equal(segmenter(view, 8.0), segmenter(view.copy(), 8.0))


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (40, 2, 3)])
def test_tiny_thumbnails_are_segmented_too(segmenter: Segmenter, shape: tuple[int, int, int]) -> None:
    assert segmenter(np.full(shape, 255, dtype=np.uint8), 8.0).shape == shape[:2]


@pytest.mark.parametrize("mpp", [1.0, 7.93, 64.0])
def test_any_resolution_is_accepted(segmenter: Segmenter, thumbnail: np.ndarray, mpp: float) -> None:
    assert segmenter(thumbnail, mpp).shape == (110, 200)
