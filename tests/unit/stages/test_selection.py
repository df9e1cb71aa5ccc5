"""Which tiles of a slide are taken, without a slide: its description and a mask are enough."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.cohort.outputs import Outputs
from wsi_features.config import config_from
from wsi_features.errors import CoordinatesError, ResolutionError
from wsi_features.geometry import Size
from wsi_features.stages.embedding import embeddings_of
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.selection import tissue_tiles
from wsi_features.tiles import TileRecipe, TileTable
from wsi_features.tiles.sources import TileList
from wsi_features.tissue import TissueMask

SLIDE = Size(1000, 600)


def about(**more: Any) -> dict[str, Any]:
    levels = [
        {"width": 1000 // d, "height": 600 // d, "downsample_x": float(d), "downsample_y": float(d)} for d in (1, 4)
    ]
    return {"slide_id": "s1", "levels": levels, "mpp": {"value": 0.5}, "bounds": None} | more


def tiles(listed: TileList | None = None, **values: Any) -> TileTable:
    """Of a slide whose left 400 pixels are tissue, from y = 100 on."""
    tissue = np.zeros((60, 100), np.bool_)
    tissue[10:, :40] = True
    recipe = TileRecipe(**{"size": 50, "mpp": 0.5} | values)
    return tissue_tiles(about(), TissueMask(tissue, SLIDE), recipe, "f" * 64, listed)


def a_list(*places: tuple[float, float], **more: Any) -> TileList:
    x, y = np.array(places, np.float64).reshape(-1, 2).T
    return TileList("list.csv", x, y, **more)


def test_the_grid_is_as_ever() -> None:
    found = tiles()
    assert (len(found), found.candidates, found.extra, found.dropped) == (80, 240, {}, {})
    assert found.grid.origins[0].tolist() == [0, 100]


def test_a_sample_is_part_of_the_grid_and_keeps_its_index() -> None:
    found, whole = tiles(sample=12, seed=4), tiles().grid
    assert len(found) == 12
    rows = [whole.origins.tolist().index(origin) for origin in found.grid.origins.tolist()]
    assert rows == sorted(rows)
    np.testing.assert_array_equal(whole.index[rows], found.grid.index)
    assert sorted(found.extra["drawn"].tolist()) == list(range(12))


def test_a_list_is_taken_whole_unless_tissue_is_asked_for() -> None:
    listed = a_list((900, 20), (10, 200))
    assert tiles(listed).grid.origins.tolist() == [[900, 20], [10, 200]]
    kept = tiles(listed, coordinates_keep="tissue")
    assert (kept.grid.origins.tolist(), dict(kept.dropped)) == ([[10, 200]], {"tissue": 1})
    assert kept.extra["list_row"].tolist() == [1]


def test_tiles_of_a_list_span_what_it_says() -> None:
    scale = tiles(a_list((10, 200), sizes=np.array([201.0]), overlap=25.0)).scale
    assert (scale.span, scale.step, scale.size, scale.level, scale.asked) == (201, 176, 50, 1, 0.5)
    with pytest.raises(ResolutionError, match="enlarged"):
        tiles(a_list((10, 200), sizes=np.array([20.0])))


def test_a_list_can_be_sampled() -> None:
    listed = a_list(*((10.0 * i, 200.0) for i in range(30)))
    found = tiles(listed, sample=5)
    assert len(found) == 5
    np.testing.assert_array_equal(found.extra["list_row"] * 10, found.grid.origins[:, 0])


def test_a_missing_list_is_told() -> None:
    with pytest.raises(CoordinatesError, match=r"slide 's1' has no list of tiles.*manifest column `coordinates`"):
        tiles(source="coordinates")


@pytest.mark.parametrize("nested", ["parents", "regions"])
def test_a_list_is_no_grid_to_be_cut(nested: str) -> None:
    with pytest.raises(CoordinatesError, match=f"cannot be cut into {nested}"):
        tiles(a_list((10, 200)), nested=nested, factors=(2,))


def test_random_tiles_are_counted_against_what_was_asked_for() -> None:
    found = tiles(source="random", sample=5000, sample_overlap=False, min_tissue=0.9)
    assert 20 < len(found) < 90
    assert dict(found.dropped) == {"no room": 5000 - len(found)}
    assert (found.tissue_share >= 0.9).all()


def test_parents_are_those_of_the_tiles_that_are_kept() -> None:
    recipe = TileRecipe(size=50, mpp=0.5, nested="parents", factors=(2, 4), sample=3)
    own = tiles(**recipe.model_dump())
    tissue = TissueMask(np.pad(np.ones((50, 40), np.bool_), ((10, 0), (0, 60))), SLIDE)
    middle, coarse = (tissue_tiles(about(), tissue, view) for view in recipe.views())
    assert (len(own), middle.grid.span, coarse.grid.span, coarse.scale.effective) == (3, 100, 200, 2.0)
    inside = own.grid.origins - middle.grid.origins[own.extra["parent"]]
    assert ((inside == 0) | (inside == 50)).all()
    assert set(middle.extra["parent"].tolist()) == set(range(len(coarse)))
    assert "parent" not in coarse.extra


def test_regions_are_kept_by_their_own_share_with_all_their_tiles() -> None:
    found = tiles(nested="regions", factors=(4,), min_tissue=0.4)
    assert len(found) == 6 * 16  # two columns of three regions of 200 px, half of those at the top
    assert (found.tissue_share == 0).sum() == 2 * 8
    assert np.bincount(found.extra["region"]).tolist() == [16] * 6


def test_a_tile_whose_context_would_leave_the_slide_is_left_out_and_counted() -> None:
    found = tiles(a_list((10, 200), (50, 200), (900, 500)), nested="context", factors=(3,))
    assert (found.grid.origins.tolist(), dict(found.dropped)) == (
        [[50, 200], [900, 500]],
        {"with a context beyond the slide": 1},
    )


def test_contexts_stay_in_the_scanned_area() -> None:
    tissue = TissueMask(np.ones((60, 100), np.bool_), SLIDE)
    stated = about(bounds={"x": 300, "y": 100, "width": 400, "height": 250})
    for source in ("grid", "random"):
        recipe = TileRecipe(size=50, mpp=0.5, source=source, sample=9, nested="context", factors=(3,))
        (view,) = recipe.views()
        corners = tissue_tiles(stated, tissue, view).grid.origins
        assert len(corners) == 9
        assert ((corners >= (300, 100)) & (corners + 150 <= (700, 350))).all()


def test_random_tiles_leave_room_for_their_contexts() -> None:
    found = tiles(source="random", sample=200, nested="context", factors=(3, 5))
    assert len(found) == 200
    assert ((found.grid.origins >= 100) & (found.grid.origins + 150 <= (1000, 600))).all()


def test_tiles_that_belong_to_others_share_their_encoder(tmp_path: Path) -> None:
    values = {"tiles": {"nested": "context", "factors": [2]}, "encoders": [{"name": "histo-texture", "scale": "any"}]}
    config = config_from(values, "test")
    own, around = embeddings_of(encoder_plans(config), config, Outputs(tmp_path))
    assert around.encoder is own.encoder
    assert (around.taken(), own.taken() is not None, around.recipe == own.recipe) == (None, True, True)
    assert own.feature_set.split("__")[1] == "256px_0.5mpp"
    assert around.feature_set.split("__")[1] == "256px_1.0mpp_context2"
    around.close()
    own.close()
