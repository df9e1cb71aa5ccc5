from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from wsi_features.geometry import Size
from wsi_features.tissue.outline import filled, pieces, signed_area

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9))


def drawn(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def polygon_of(mask: np.ndarray, index: int = 0) -> shapely.Polygon:
    piece = pieces(mask)[index]
    return shapely.Polygon(piece.outer, piece.holes)


def test_a_rectangle_has_four_corners_on_pixel_borders() -> None:
    (piece,) = pieces(drawn("....", ".###", "....", "...."))
    assert piece.outer.tolist() == [[1, 1], [4, 1], [4, 2], [1, 2], [1, 1]]
    assert (piece.holes, piece.area) == ((), 3)


def test_a_hole_runs_against_its_outline() -> None:
    (piece,) = pieces(drawn("#####", "#..##", "#####"))
    assert signed_area(piece.outer) == 15
    assert [signed_area(hole) for hole in piece.holes] == [-2]
    assert piece.area == 13


def test_an_island_in_a_hole_is_a_piece_of_its_own() -> None:
    found = pieces(drawn("#####", "#...#", "#.#.#", "#...#", "#####"))
    assert [(piece.area, len(piece.holes)) for piece in found] == [(16, 1), (1, 0)]


def test_pieces_that_touch_in_a_corner_stay_apart() -> None:
    assert [piece.area for piece in pieces(drawn("##.", "..#"))] == [2, 1]


def test_a_ring_with_a_diagonal_gap_closes_around_a_hole() -> None:
    (piece,) = pieces(drawn("###", "#.#", "##."))
    assert [signed_area(hole) for hole in piece.holes] == [-1]
    assert polygon_of(drawn("###", "#.#", "##.")).is_valid


def test_pieces_come_in_raster_order() -> None:
    found = pieces(drawn("....#", "#....", "..#.."))
    assert [piece.outer[0].tolist() for piece in found] == [[4, 0], [0, 1], [2, 2]]


def test_an_empty_mask_has_no_pieces() -> None:
    assert pieces(np.zeros((3, 5), dtype=bool)) == []


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_pieces_are_valid_polygons_of_the_mask_s_area(mask: np.ndarray) -> None:
    found = pieces(mask)
    polygons = [shapely.Polygon(piece.outer, piece.holes) for piece in found]
    assert all(polygon.is_valid for polygon in polygons)
    assert [polygon.area for polygon in polygons] == [piece.area for piece in found]
    assert sum(piece.area for piece in found) == mask.sum()
    assert len(found) == ndimage.label(mask)[1]


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_rings_keep_corners_only_and_close(mask: np.ndarray) -> None:
    for piece in pieces(mask):
        for ring in (piece.outer, *piece.holes):
            steps = np.diff(ring, axis=0) != 0
            assert (steps.sum(axis=1) == 1).all()
            assert (steps[:-1] != steps[1:]).all()
            assert ring[0].tolist() == ring[-1].tolist()


@settings(max_examples=150, deadline=None)
@given(MASKS)
def test_filling_the_outlines_gives_the_mask_back(mask: np.ndarray) -> None:
    rings = [ring.astype(float) for piece in pieces(mask) for ring in (piece.outer, *piece.holes)]
    assert np.array_equal(filled(rings, Size(mask.shape[1], mask.shape[0])), mask)


def hull_of(points: list[tuple[int, int]]) -> shapely.Geometry:
    return shapely.MultiPoint(np.array(points) / 3 + 0.1234567).convex_hull


CORNERS = st.tuples(st.integers(-9, 36), st.integers(-9, 27))
HULLS = st.lists(CORNERS, min_size=3, max_size=8).map(hull_of).filter(lambda hull: hull.geom_type == "Polygon")


@settings(max_examples=150, deadline=None)
@given(HULLS, HULLS)
def test_filling_agrees_with_asking_shapely_for_each_pixel_centre(one: shapely.Polygon, other: shapely.Polygon) -> None:
    found = filled([shapely.get_coordinates(hull) for hull in (one, other)], Size(9, 6))
    x, y = np.meshgrid(np.arange(9) + 0.5, np.arange(6) + 0.5)
    wanted = shapely.contains_xy(one, x, y) ^ shapely.contains_xy(other, x, y)
    # The two may differ on an edge itself.
    near = shapely.distance(shapely.union(one.exterior, other.exterior), shapely.points(x, y)) < 1e-9
    assert np.array_equal(found | near, wanted | near)


def test_a_centre_on_an_edge_belongs_to_the_area_right_of_or_below_it() -> None:
    left = np.array([[0, 0], [2.5, 0], [2.5, 4.5], [0, 4.5], [0, 0]])
    right = np.array([[2.5, 0], [6, 0], [6, 4.5], [2.5, 4.5], [2.5, 0]])
    size = Size(7, 5)
    assert filled([left], size).tolist() == [[True] * 2 + [False] * 5] * 4 + [[False] * 7]
    assert filled([right], size).tolist() == [[False] * 2 + [True] * 4 + [False]] * 4 + [[False] * 7]


def test_rings_beyond_the_mask_are_clipped() -> None:
    ring = np.array([[-9, -9], [30, -9], [30, 2], [-9, 2], [-9, -9]], dtype=float)
    assert np.array_equal(filled([ring], Size(4, 3)), drawn("####", "####", "...."))


def test_no_rings_fill_nothing() -> None:
    assert not filled([], Size(4, 3)).any()


def test_more_crossings_than_fit_in_one_block_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(0).random((20, 31)) < 0.5
    rings = [ring.astype(float) for piece in pieces(mask) for ring in (piece.outer, *piece.holes)]
    monkeypatch.setattr("wsi_features.tissue.outline._CROSSINGS_AT_ONCE", 50)
    assert np.array_equal(filled(rings, Size(31, 20)), mask)
