"""Colours of classes on the maps of scores."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_features.report.scores import OTHERS, PALETTE, ScoredClass, most_like, palette_places, score_colours

SCORES = np.array([[0.1, 0.3, 0.2], [0.5, 0.3, 0.2], [np.nan, np.nan, np.nan], [0.0, 0.9, 0.1]], np.float32)


def test_a_tile_has_the_colour_of_the_class_that_it_is_most_like() -> None:
    found = score_colours(("a", "b", "c"), SCORES, (2, 0, None))
    assert found.colours[[0, 1, 3]].tolist() == [list(PALETTE[0]), list(PALETTE[2]), list(PALETTE[0])]
    assert found.usable.tolist() == [True, True, False, True]
    assert found.classes == (ScoredClass("a", 2, 1), ScoredClass("b", 0, 2), ScoredClass("c", None, 0))


def test_a_class_without_a_place_is_grey() -> None:
    assert score_colours(("a", "b"), np.array([[1.0, 0.0]]), (None, 0)).colours.tolist() == [list(OTHERS)]


def test_one_class_deepens_from_the_least_to_the_greatest_score() -> None:
    scores = np.linspace(0.2, 0.3, 50, dtype=np.float32)[:, None]
    blue = score_colours(("a",), scores, (4,)).colours[:, 0].astype(int)
    assert (np.diff(blue) <= 0).all()
    assert blue[0] - blue[-1] > 200
    assert score_colours(("a",), np.full((3, 1), np.nan), (4,)).usable.tolist() == [False] * 3


def test_the_classes_that_most_tiles_are_like_get_the_colours() -> None:
    counts = np.array([5, 0, 9, 1, 7, 6, 8, 3, 4])
    places = palette_places(counts)
    assert [k for k, place in enumerate(places) if place is None] == [1, 3]
    assert sorted(place for place in places if place is not None) == list(range(7))
    assert palette_places(counts[:3]) == (0, 1, 2)


@pytest.mark.parametrize("count", [0, 1, 40])
def test_tiles_are_counted_for_the_class_that_they_are_most_like(count: int) -> None:
    scores = np.tile(SCORES, (count, 1))
    assert most_like(scores).tolist() == [count, 2 * count, 0]
