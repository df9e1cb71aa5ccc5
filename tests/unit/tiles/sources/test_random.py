"""Random places: the same for one seed on every machine, in tissue, and apart where asked."""

from typing import Any

import numpy as np
import pytest

from wsi_features.geometry import Region, Size
from wsi_features.tiles.sources import grid_at, random_origins, random_subset
from wsi_features.tissue import TissueMask

SLIDE = Size(1200, 700)
WHOLE = Region(0, 0, 1200, 700)
GOLDEN, SUBSET = [[827, 13], [746, 209], [667, 172]], [0, 4, 9, 7]


def mask() -> TissueMask:
    """Tissue in the right half, but for its lowest part."""
    tissue = np.zeros((70, 120), np.bool_)
    tissue[:40, 60:] = True
    return TissueMask(tissue, SLIDE)


def drawn(n: int, *, seed: int = 3, area: Region = WHOLE, least: float = 0.5, **more: Any) -> np.ndarray[Any, Any]:
    tissue = mask()
    return random_origins(
        tissue.mask, SLIDE, area, 50, n, seed=seed, accepted=lambda at: tissue.share(at, 50) >= least, **more
    )


def test_the_first_places_of_a_seed_never_change() -> None:
    assert drawn(3).tolist() == GOLDEN
    assert random_subset(10, 4, seed=3).tolist() == SUBSET


def test_more_places_begin_with_the_same_ones() -> None:
    np.testing.assert_array_equal(drawn(40)[:15], drawn(15))
    np.testing.assert_array_equal(random_subset(90, 40, seed=1)[:15], random_subset(90, 15, seed=1))
    assert drawn(15, seed=4).tolist() != drawn(15).tolist()


def test_each_has_enough_tissue_and_its_centre_in_it() -> None:
    corners = drawn(300, least=0.8)
    assert len(np.unique(corners, axis=0)) == 300
    assert (mask().share(corners, 50) >= 0.8).all()
    assert (corners[:, 0] + 25 >= 600).all()
    assert (corners[:, 1] + 25 <= 400).all()
    assert len(set((corners[:, 0] % 50).tolist())) > 30


def test_all_lie_in_the_area() -> None:
    corners = drawn(100, area=Region(700, 30, 300, 200), least=0)
    assert ((corners >= (700, 30)) & (corners + 50 <= (1000, 230))).all()


def test_places_without_overlap_are_apart_until_there_is_no_room() -> None:
    corners = drawn(500, overlap=False)
    assert 30 < len(corners) < 120
    apart = np.abs(corners[:, None] - corners[None]).max(axis=2)
    assert (apart[~np.eye(len(corners), dtype=bool)] >= 50).all()


@pytest.mark.parametrize("area", [Region(0, 0, 40, 700), Region(0, 650, 600, 50), Region(900, 900, -600, -1100)])
@pytest.mark.parametrize("overlap", [False, True])
def test_where_there_is_no_room_there_are_none(area: Region, overlap: bool) -> None:
    assert drawn(5, area=area, overlap=overlap).shape == (0, 2)


def test_a_subset_is_no_larger_than_the_whole() -> None:
    assert sorted(random_subset(7, 30, seed=2).tolist()) == list(range(7))
    assert random_subset(0, 3, seed=2).tolist() == []


def test_places_become_a_grid_in_raster_order() -> None:
    grid, order = grid_at(np.array([[70, 30], [10, 90], [40, 30]]), 20, 16)
    assert grid.origins.tolist() == [[40, 30], [70, 30], [10, 90]]
    assert order.tolist() == [2, 0, 1]
    assert grid.index.tolist() == [[1, 0], [2, 0], [0, 1]]
