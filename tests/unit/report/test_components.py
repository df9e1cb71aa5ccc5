from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.report.components import (
    NEUTRAL,
    component_colours,
    fit_components,
    sample_rows,
    usable_rows,
)

Floats = npt.NDArray[np.float64]


def cloud(n: int, d: int = 7, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, d))


def clusters(counts: tuple[int, int, int], seed: int = 0) -> Floats:
    """Three groups of rows, far apart from each other, in this order."""
    return np.repeat(cloud(3, 12, seed=99), counts, axis=0) + cloud(sum(counts), 12, seed) * 0.03


def test_three_kinds_of_tissue_have_three_colours_far_apart() -> None:
    colours = component_colours([clusters((40, 50, 60))]).colours[0].astype(float)
    groups = np.split(colours, [40, 90])
    centres = [group.mean(axis=0) for group in groups]
    apart = min(np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    assert apart > 100
    assert max(group.std(axis=0).max() for group in groups) < 10


def test_one_kind_of_tissue_has_one_colour_on_every_slide() -> None:
    first, second = component_colours([clusters((30, 60, 0)), clusters((0, 10, 80), seed=1)]).colours
    shared = np.linalg.norm(first[30:].mean(axis=0) - second[:10].mean(axis=0))
    other = np.linalg.norm(first[:30].mean(axis=0) - second[10:].mean(axis=0))
    assert shared < 10
    assert other > 100


def test_equal_features_give_equal_colours() -> None:
    once, again = component_colours([cloud(50), cloud(20, seed=1)]), component_colours([cloud(50), cloud(20, seed=1)])
    assert all(np.array_equal(a, b) for a, b in zip(once.colours, again.colours, strict=True))
    assert once.explained == again.explained


@pytest.mark.parametrize("rows", [0, 1, 2, 3])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_few_rows_and_narrow_features_are_coloured_without_complaint(rows: int, width: int) -> None:
    result = component_colours([cloud(rows, width), cloud(0, width)])
    assert [c.shape for c in result.colours] == [(rows, 3), (0, 3)]
    assert len(result.explained) == max(0, min(rows - 1, width, 3))


def test_no_slide_at_all_gives_no_colour() -> None:
    assert component_colours([]).colours == ()


def test_channels_without_a_component_stay_neutral() -> None:
    colours = component_colours([cloud(30, 1)]).colours[0]
    assert np.unique(colours[:, 1:]).tolist() == [NEUTRAL]
    assert colours[:, 0].min() < 30
    assert colours[:, 0].max() > 225


def test_rows_with_nan_are_grey_and_do_not_sway_the_others() -> None:
    features = cloud(30)
    holed = np.insert(features, 4, np.nan, axis=0)
    result = component_colours([holed])
    assert result.usable[0].tolist() == [i != 4 for i in range(31)]
    assert result.colours[0][4].tolist() == [NEUTRAL] * 3
    assert np.array_equal(np.delete(result.colours[0], 4, axis=0), component_colours([features]).colours[0])


def test_rows_marked_invalid_do_not_sway_the_others() -> None:
    features = np.concatenate([cloud(30), np.full((1, 7), 1e4)])
    valid = np.arange(31) < 30
    colours = component_colours([features], [valid]).colours[0]
    assert np.array_equal(colours[:30], component_colours([features[:30]]).colours[0])
    assert colours[30].tolist() == [NEUTRAL] * 3


def test_the_unit_of_a_feature_does_not_matter() -> None:
    features = cloud(60)
    scaled = features * [1, 1, 1024, 1, 0.125, 1, 1]
    assert np.array_equal(component_colours([scaled]).colours[0], component_colours([features]).colours[0])


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_a_constant_feature_has_no_say(value: float) -> None:
    features = cloud(60)
    wider = np.concatenate([features, np.full((60, 1), value)], axis=1)
    plain, widened = component_colours([features]), component_colours([wider])
    assert np.abs(plain.colours[0].astype(int) - widened.colours[0]).max() <= 1
    assert widened.explained == pytest.approx(plain.explained)


def test_all_rows_alike_are_neutral_and_explain_nothing() -> None:
    result = component_colours([np.full((9, 4), 0.3)])
    assert np.unique(result.colours[0]).tolist() == [NEUTRAL]
    assert result.explained == ()


def test_explained_shares_are_those_of_two_correlated_features() -> None:
    features = cloud(500, 2)
    features[:, 1] += features[:, 0]
    correlation = np.asarray(np.corrcoef(features.T))[0, 1]
    assert component_colours([features]).explained == pytest.approx(((1 + correlation) / 2, (1 - correlation) / 2))


def test_a_direction_that_hardly_varies_is_not_stretched_to_a_colour() -> None:
    signal = cloud(200, 2)
    features = np.concatenate([signal, signal @ [[1, 2], [3, -1]]], axis=1) + cloud(200, 4, seed=1) * 0.01
    result = component_colours([features])
    assert len(result.explained) == 2
    assert np.unique(result.colours[0][:, 2]).tolist() == [NEUTRAL]


def test_one_outlier_does_not_wash_out_the_colours() -> None:
    features = cloud(500, 3)
    features[0] *= 100
    assert component_colours([features]).colours[0][1:, 0].astype(float).std() > 20


def test_a_single_odd_tile_spans_no_range_of_colours() -> None:
    features = np.zeros((400, 3))
    features[7] = (1, 2, 3)
    result = component_colours([features])
    assert result.explained == ()
    assert np.unique(result.colours[0]).tolist() == [NEUTRAL]


def test_the_largest_weight_of_each_axis_is_positive() -> None:
    for seed in range(8):
        features = cloud(200, seed=seed)
        weights = fit_components([features]).weights * features.std(axis=0)[:, None]
        assert (weights[np.abs(weights).argmax(axis=0), range(3)] > 0).all()


def test_a_cohort_done_slide_by_slide_has_the_colours_of_one_done_at_once() -> None:
    slides = [cloud(300).astype(np.float16), cloud(80, seed=1).astype(np.float16)]
    axes = fit_components([rows[pick] for rows, pick in zip(slides, sample_rows([300, 80]), strict=True)])
    for rows, whole in zip(slides, component_colours(slides).colours, strict=True):
        assert np.array_equal(axes.colours(rows, usable_rows(rows)), whole)


def test_many_rows_are_coloured_chunk_by_chunk_alike() -> None:
    features = cloud(9001, 4)
    axes = fit_components([features])
    parts = [axes.colours(part, usable_rows(part)) for part in np.split(features, [17, 5000])]
    assert np.array_equal(axes.colours(features, usable_rows(features)), np.concatenate(parts))


def test_colours_keep_clear_of_black_and_white() -> None:
    colours = component_colours([cloud(400)]).colours[0]
    assert (colours.min(), colours.max()) == (24, 232)


def test_axes_fitted_on_other_slides_clip_what_lies_beyond() -> None:
    axes = fit_components([cloud(400, 2)])
    far = axes.colours(np.array([[1e6, 1e6], [-1e6, -1e6]]), np.array([True, True]))
    assert sorted(far[:, 0].tolist()) == [24, 232]
    assert replace(axes, explained=()).colours(far.astype(float), np.zeros(2, np.bool_)).tolist() == [[128] * 3] * 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=8), st.integers(1, 300))
def test_the_sample_is_bounded_spread_and_within_each_slide(counts: list[int], limit: int) -> None:
    picks = sample_rows(counts, limit)
    assert [len(np.unique(pick)) for pick in picks] == [len(pick) for pick in picks]
    assert sum(len(pick) for pick in picks) == min(limit, sum(counts))
    for pick, count in zip(picks, counts, strict=True):
        assert ((pick >= 0) & (pick < count)).all()
        assert abs(len(pick) - count * min(1, limit / max(1, sum(counts)))) < 1
