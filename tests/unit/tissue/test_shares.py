"""Shares of annotated classes in tiles: exact, and equal to clipping each tile by itself."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.tissue.objects import Polygon, joined
from wsi_features.tissue.shares import annotation_shares, area_shares, joined_shares

ORIGINS = np.array([[x, y] for y in range(0, 700, 100) for x in range(0, 1100, 100)], np.int64)


def slow_twin(area: Polygon, origins: np.ndarray, span: int) -> np.ndarray:
    """Each tile clipped by itself."""
    boxes = [shapely.box(x, y, x + span, y + span) for x, y in origins.tolist()]
    return np.array([area.intersection(box).area / span**2 for box in boxes])


def star(x: float, y: float, radius: float, points: int, seed: int = 0) -> Polygon:
    """An outline of many vertices that goes in and out."""
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    away = radius * (0.5 + np.random.default_rng(seed).random(points) / 2)
    return shapely.Polygon(np.stack([x + away * np.cos(turn), y + away * np.sin(turn)], axis=1))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-50, 1200), st.floats(-50, 800), st.floats(1, 400), st.integers(3, 40)), max_size=5),
    st.integers(1, 230),
)
def test_shares_equal_those_of_each_tile_clipped_by_itself(
    shapes: list[tuple[float, float, float, int]], span: int
) -> None:
    area = joined([star(*shape) for shape in shapes])
    np.testing.assert_allclose(area_shares(area, ORIGINS, span), slow_twin(area, ORIGINS, span), atol=1e-6)


def test_an_outline_of_many_vertices_is_cut_without_a_loss() -> None:
    area = joined([star(500, 350, 340, 3000).difference(star(450, 300, 120, 900))])
    np.testing.assert_allclose(area_shares(area, ORIGINS, 100), slow_twin(area, ORIGINS, 100), atol=1e-6)


def test_tiles_wholly_inside_have_exactly_1_and_those_beside_exactly_0() -> None:
    found = area_shares(joined([shapely.box(200, 100, 800, 300)]), ORIGINS, 100)
    inside = (ORIGINS >= [200, 100]).all(axis=1) & (ORIGINS + 100 <= [800, 300]).all(axis=1)
    assert set(found[inside].tolist()) == {1.0}
    assert set(found[~inside].tolist()) == {0.0}


def test_x_and_y_are_not_exchanged() -> None:
    wide = shapely.box(0, 0, 1000, 50)
    assert area_shares(wide, np.array([[900, 0], [0, 600]]), 100).tolist() == [0.5, 0.0]


def test_each_class_has_a_column_and_classes_may_overlap() -> None:
    areas = {"B": shapely.box(0, 0, 100, 100), "A": shapely.box(50, 0, 200, 100)}
    names, shares = annotation_shares(areas, np.array([[0, 0], [100, 0]]), 100)
    assert (names, shares.dtype, shares.tolist()) == (("B", "A"), np.float32, [[1.0, 0.5], [0.0, 1.0]])


def test_what_several_classes_cover_together_counts_once() -> None:
    areas = {"A": shapely.box(0, 0, 60, 100), "B": shapely.box(40, 0, 80, 100)}
    assert joined_shares(areas, ["A", "B", "not there"], np.array([[0, 0]]), 100) == pytest.approx(0.8)
    assert joined_shares(areas, ["not there"], np.array([[0, 0]]), 100).tolist() == [0.0]


def test_no_tiles_and_no_classes_give_empty_arrays() -> None:
    nothing = np.empty((0, 2), np.int64)
    assert annotation_shares({"A": shapely.box(0, 0, 9, 9)}, nothing, 10)[1].shape == (0, 1)
    assert annotation_shares({}, ORIGINS, 10)[1].shape == (len(ORIGINS), 0)
