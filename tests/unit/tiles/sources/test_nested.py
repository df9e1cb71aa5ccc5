"""Grids that belong together, on slides of every shape."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_features.geometry import Region, Size
from wsi_features.tiles import TileGrid, TileRecipe, TileView, regular_grid, tile_scale
from wsi_features.tiles.sources import complete, context_fits, context_origins, parents, region_columns

SIZES = st.builds(Size, st.integers(1, 900), st.integers(1, 900))
FACTORS = st.integers(2, 5)


def whole(slide: Size, factor: int, size: int = 32) -> TileGrid:
    """All tiles of 32 px that lie in a complete parent."""
    scale = tile_scale("s1", (1.0,), native=0.5, asked=0.5, size=size)
    grid = regular_grid(slide, scale)
    return grid.keep(complete(grid, factor))


@given(SIZES, FACTORS, st.integers(0, 2**32 - 1))
def test_every_tile_lies_in_the_parent_that_its_row_names(slide: Size, factor: int, seed: int) -> None:
    grid = whole(slide, factor)
    grid = grid.keep(np.random.default_rng(seed).random(len(grid)) < 0.3)
    found, rows = parents(grid, factor)
    inside = grid.origins - found.origins[rows]
    assert ((inside >= 0) & (inside + grid.span <= found.span)).all()
    assert (found.origins >= 0).all()
    assert (found.origins + found.span <= (slide.width, slide.height)).all()
    np.testing.assert_array_equal(found.index[rows], grid.index // factor)
    assert sorted(set(rows.tolist())) == list(range(len(found)))


@given(SIZES, FACTORS)
def test_parents_are_the_coarser_grid_itself(slide: Size, factor: int) -> None:
    found, _ = parents(whole(slide, factor), factor)
    scale = tile_scale("s1", (1.0,), native=0.5, asked=0.5 * factor, size=32)
    wanted = regular_grid(slide, scale)
    np.testing.assert_array_equal(found.origins, wanted.origins)
    np.testing.assert_array_equal(found.index, wanted.index)


@given(SIZES)
def test_parents_of_parents_are_the_parents_of_both_factors(slide: Size) -> None:
    grid = whole(slide, 6)
    middle, to_middle = parents(grid, 2)
    coarse, to_coarse = parents(middle, 3)
    direct, rows = parents(grid, 6)
    np.testing.assert_array_equal(coarse.origins, direct.origins)
    np.testing.assert_array_equal(to_coarse[to_middle], rows)


@given(SIZES, FACTORS)
def test_regions_hold_each_place_once(slide: Size, factor: int) -> None:
    grid = whole(slide, factor)
    columns = region_columns(grid, factor)
    number, column, row = columns["region"], columns["region:column"], columns["region:row"]
    regions, _ = parents(grid, factor)
    corner = regions.origins[number]
    np.testing.assert_array_equal(grid.origins, corner + np.stack([column, row], axis=1) * grid.span)
    assert len(set(zip(number.tolist(), column.tolist(), row.tolist(), strict=True))) == len(regions) * factor**2


def test_a_region_that_crosses_the_edge_is_left_out_with_its_tiles() -> None:
    assert whole(Size(200, 100), 3).origins.max(axis=0).tolist() == [160, 64]
    assert len(whole(Size(191, 100), 3)) == 9
    assert len(whole(Size(200, 95), 3)) == 0


@given(st.integers(1, 60), st.integers(2, 6), SIZES, st.integers(0, 900), st.integers(0, 900))
def test_a_context_has_the_centre_of_its_tile_and_lies_on_the_slide(
    span: int, factor: int, slide: Size, x: int, y: int
) -> None:
    origins = np.array([[x, y]])
    corner = context_origins(origins, span, factor)
    assert np.abs(corner + factor * span / 2 - (origins + span / 2)).max() <= 0.5
    (left, top), width = corner[0].tolist(), factor * span
    on_slide = left >= 0 and top >= 0 and left + width <= slide.width and top + width <= slide.height
    assert context_fits(origins, span, factor, Region(0, 0, slide.width, slide.height)).tolist() == [on_slide]


def test_a_recipe_names_the_tables_that_belong_to_it() -> None:
    recipe = TileRecipe(size=256, mpp=0.5, nested="parents", factors=(2, 4))
    middle, coarse = recipe.views()
    assert [(v.view, v.zoom, v.mpp) for v in (middle, coarse)] == [("parent", 2, 0.5), ("parent", 4, 0.5)]
    assert (recipe.coarser(), middle.coarser(), coarse.coarser()) == (middle, coarse, None)
    assert middle.base() == recipe
    assert isinstance(middle, TileView)
    assert middle.canonical() == recipe.canonical() | {"view": "parent", "zoom": 2}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"source": "random"}, "random needs `tiles.sample`"),
        ({"nested": "parents"}, "come together"),
        ({"factors": [2]}, "come together"),
        ({"nested": "parents", "factors": [2, 3]}, "a multiple of the one before"),
        ({"nested": "parents", "factors": [4, 2]}, "a multiple of the one before"),
        ({"nested": "context", "factors": [4, 4]}, "may be listed once"),
        ({"nested": "parents", "factors": [4, 4]}, "may be listed once"),
        ({"nested": "parents", "factors": [2], "overlap": 8}, "without `tiles.overlap`"),
        ({"nested": "regions", "factors": [2], "source": "coordinates"}, "needs a grid"),
        ({"nested": "regions", "factors": [2, 4]}, "regions have one of `tiles.factors`"),
        ({"nested": "regions", "factors": [2], "sample": 9}, "are whole"),
    ],
)
def test_recipes_that_do_not_fit_together_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TileRecipe(**values)


def test_what_makes_no_difference_is_in_no_fingerprint() -> None:
    assert TileRecipe(seed=5, sample_overlap=False).canonical() == TileRecipe().canonical()
    assert TileRecipe(sample=3, seed=5).canonical()["seed"] == 5
    assert set(TileRecipe().canonical()) == {"size", "mpp", "overlap", "min_tissue", "mpp_tolerance"}
