"""Scores on a scale: ranks, extremes, and the ends of the colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsi_features.report import heat_scale
from wsi_features.report.heat_scale import colour_ends, scaled, spread_of

NAN = np.nan


def test_a_rank_is_the_share_below_and_half_of_the_equal_ones() -> None:
    scores = np.float32([5, NAN, 1, 2, 2])
    found = scaled(scores, "rank", spread_of([scores]))
    np.testing.assert_array_equal(found, np.float32([0.875, NAN, 0.125, 0.5, 0.5]))


@pytest.mark.parametrize("scaling", ["rank", "min-max"])
def test_constant_scores_are_in_the_middle(scaling: heat_scale.Scaling) -> None:
    scores = np.float32([3, 3, NAN, 3])
    np.testing.assert_array_equal(scaled(scores, scaling, spread_of([scores])), np.float32([0.5, 0.5, NAN, 0.5]))


def test_min_max_runs_from_least_to_greatest() -> None:
    scores = np.float32([-1, 3, NAN, 1])
    np.testing.assert_array_equal(scaled(scores, "min-max", spread_of([scores])), np.float32([0, 1, NAN, 0.5]))


def test_a_slide_is_ranked_among_the_cohort() -> None:
    first, second = np.float32([1, 2]), np.float32([3, 4, NAN])
    cohort = spread_of([first, second], 2)
    assert scaled(second, "rank", cohort)[:2].tolist() == [0.625, 0.875]
    assert (cohort.low, cohort.high) == (1, 4)


@given(st.lists(st.lists(st.integers(-50, 50), max_size=60), min_size=1, max_size=5))
def test_ranks_by_a_sample_are_close_to_those_by_all(slides: list[list[int]]) -> None:
    arrays = [np.array(values, np.float32) for values in slides]
    every = np.concatenate(arrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heat_scale, "_LEAST_OF_A_SLIDE", 10)
        patch.setattr(heat_scale, "MOST_VALUES", 10)
        spread = spread_of(arrays, len(arrays))
    assert len(spread.values) <= 10 * len(arrays)
    exact = [((every < v).sum() + (every <= v).sum()) / 2 / len(every) for v in every]
    np.testing.assert_allclose(scaled(every, "rank", spread), exact, atol=0.1001)


def test_the_top_tenth_of_ten_tiles_is_one() -> None:
    scores = np.arange(10, dtype=np.float32)
    spread = spread_of([scores])
    assert [int((scores > spread.quantile(share)).sum()) for share in (0.9, 0.5, 0.1)] == [1, 5, 9]


def test_raw_scores_of_both_signs_have_zero_in_the_middle() -> None:
    assert colour_ends("raw", spread_of([np.float32([-1, 4])])) == (-4, 4)
    assert colour_ends("raw", spread_of([np.float32([1, 4])])) == (1, 4)
    assert colour_ends("rank", spread_of([np.float32([-1, 4])])) == (0, 1)
    assert colour_ends("raw", spread_of([np.float32([-1, 4])]), (0, 2)) == (0, 2)


def test_no_score_at_all_has_ends_too() -> None:
    spread = spread_of([np.float32([NAN, NAN])])
    assert colour_ends("raw", spread) == (0, 1)
    assert np.isnan(scaled(np.float32([NAN]), "rank", spread)).all()
