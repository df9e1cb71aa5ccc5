"""What every `Segmenter` must do, whatever its method.

Importing tiatoolbox takes many seconds, so its two methods are for the full run.
"""

from __future__ import annotations

import logging

import numpy as np
import pytest

from wsi_features.errors import SegmentationError
from wsi_features.tissue.recipe import Method, TissueRecipe
from wsi_features.tissue.segment import METHODS, Segmenter, found_tissue, segmenter

BRIGHT_ONLY = [name for name, entry in METHODS.items() if not entry.dark_field]
EVERY = [pytest.param(name, marks=[pytest.mark.full] if name in BRIGHT_ONLY else []) for name in METHODS]


@pytest.fixture(params=EVERY)
def segment(request: pytest.FixtureRequest) -> Segmenter:
    return segmenter(recipe(request.param))


def recipe(method: Method) -> TissueRecipe:
    return TissueRecipe(method=method)


def drawn(glass: float, tissue: tuple[int, int, int], noise: float = 30) -> np.ndarray:
    """A block of textured tissue, 120 x 60 pixels at (30, 20), on glass of 200 x 110 pixels."""
    rng = np.random.default_rng(0)
    image = rng.normal(glass, 1.5, (110, 200, 3))
    image[20:80, 30:150] = np.array(tissue) + rng.normal(0, noise, (60, 120, 1))
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def thumbnail() -> np.ndarray:
    """H&E on white glass."""
    return drawn(243, (190, 110, 170))


WANTED = np.zeros((110, 200), dtype=bool)
WANTED[20:80, 30:150] = True


def iou(mask: np.ndarray) -> float:
    return float((mask & WANTED).sum() / (mask | WANTED).sum())


def test_every_method_that_a_recipe_can_name_is_there() -> None:
    named = TissueRecipe.model_json_schema()["properties"]["method"]["enum"]
    assert [*METHODS, "model"] == named  # a model reads more than a thumbnail, and has tests of its own


def test_the_mask_is_bool_in_the_thumbnail_s_shape(segment: Segmenter, thumbnail: np.ndarray) -> None:
    mask = segment(thumbnail, 8.0)
    assert mask.dtype == np.bool_
    assert mask.shape == (110, 200)


def test_tissue_lies_where_the_thumbnail_shows_it(segment: Segmenter, thumbnail: np.ndarray) -> None:
    assert iou(segment(thumbnail, 8.0)) > 0.9


def test_tissue_on_grey_glass_is_found_too(segment: Segmenter) -> None:
    assert iou(segment(drawn(190, (140, 85, 130), 20), 8.0)) > 0.9


def test_bare_glass_holds_no_tissue(segment: Segmenter) -> None:
    image = np.random.default_rng(0).normal(242, 2, (90, 160, 3)).clip(0, 255).astype(np.uint8)
    assert not segment(image, 8.0).any()


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (214, 120, 170), (40, 70, 190)])
def test_one_flat_colour_holds_no_tissue(segment: Segmenter, colour: tuple[int, int, int]) -> None:
    assert not segment(np.full((90, 160, 3), colour, np.uint8), 8.0).any()


def test_the_same_thumbnail_gives_the_same_mask(segment: Segmenter, thumbnail: np.ndarray) -> None:
    assert np.array_equal(segment(thumbnail, 8.0), segment(thumbnail.copy(), 8.0))


def test_the_thumbnail_is_left_as_it_was(segment: Segmenter, thumbnail: np.ndarray) -> None:
    before = thumbnail.copy()
    thumbnail.flags.writeable = False
    segment(thumbnail, 8.0)
    assert np.array_equal(thumbnail, before)


def test_a_cut_out_view_gives_the_mask_of_its_copy(segment: Segmenter, thumbnail: np.ndarray) -> None:
    view = thumbnail[5:95, 10:190]
    assert np.array_equal(segment(view, 8.0), segment(view.copy(), 8.0))


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (40, 2, 3)])
def test_tiny_thumbnails_are_segmented_too(segment: Segmenter, shape: tuple[int, int, int]) -> None:
    assert segment(np.full(shape, 255, dtype=np.uint8), 8.0).shape == shape[:2]
    assert segment(np.random.default_rng(0).integers(0, 255, shape, np.uint8), 8.0).shape == shape[:2]


@pytest.mark.parametrize("mpp", [1.0, 7.93, 64.0])
def test_any_resolution_is_accepted(segment: Segmenter, thumbnail: np.ndarray, mpp: float) -> None:
    assert segment(thumbnail, mpp).shape == (110, 200)


@pytest.mark.parametrize("method", EVERY)
def test_pieces_below_the_least_area_are_dropped(method: Method, thumbnail: np.ndarray) -> None:
    larger = TissueRecipe(method=method, min_area_um2=120 * 60 * 64 * 1.5)
    assert not segmenter(larger)(thumbnail, 8.0).any()


@pytest.mark.parametrize("method", EVERY)
def test_holes_below_their_least_area_are_filled(method: Method, thumbnail: np.ndarray) -> None:
    thumbnail[40:60, 70:100] = drawn(243, (0, 0, 0))[90:110, 70:100]
    kept, filled = (
        segmenter(TissueRecipe(method=method, min_hole_um2=least))(thumbnail, 8.0) for least in (1000, 60_000)
    )
    assert not kept[48:52, 80:90].any()
    assert filled[48:52, 80:90].all()


@pytest.mark.parametrize("method", [name for name in METHODS if name not in BRIGHT_ONLY])
def test_fluorescence_is_found_on_a_dark_background(method: Method) -> None:
    assert iou(found_tissue("s1", drawn(6, (20, 60, 150)), 8.0, recipe(method))) > 0.9


@pytest.mark.parametrize("method", BRIGHT_ONLY)
def test_a_method_for_bright_glass_refuses_fluorescence_with_the_remedy(method: Method) -> None:
    wanted = (
        rf"'s1' has a dark background.*`tissue.method: {method}` needs a bright one. Set `tissue.method` to one of otsu"
    )
    with pytest.raises(SegmentationError, match=wanted):
        found_tissue("s1", drawn(6, (20, 60, 150)), 8.0, recipe(method))


@pytest.mark.full
def test_tiatoolbox_leaves_the_root_logger_as_it_was(thumbnail: np.ndarray) -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers), list(root.filters)
    segmenter(recipe("tiatoolbox-otsu"))(thumbnail, 8.0)
    assert (root.level, root.handlers, root.filters) == before
