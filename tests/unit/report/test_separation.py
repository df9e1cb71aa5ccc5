"""How far groups of rows stand apart: numbers that are known, and those of an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_features.report.separation import Separation, separation, standardised
from wsi_features.report.stain_page import Comparison, StainedSlide, StainReport, render_stain_report, verdict


def rows(apart: float, *, n: int = 30, d: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Three groups of unequal size whose means are `apart` standard deviations apart."""
    groups = np.repeat([4, 7, 9], [n, n // 2, n // 3])
    shift = {4: 0.0, 7: apart, 9: -apart}
    values = np.random.default_rng(0).normal(size=(len(groups), d)) + np.array([shift[g] for g in groups])[:, None]
    return values, groups


def test_the_silhouette_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    for apart in (0.0, 1.0, 6.0):
        values, groups = rows(apart)
        found = separation(values, groups)
        assert found is not None
        assert found.silhouette == pytest.approx(metrics.silhouette_score(values, groups))


def test_groups_far_apart_say_all_and_groups_that_do_not_matter_say_what_chance_does() -> None:
    far, none = separation(*rows(50.0)), separation(*rows(0.0, n=300))
    assert far is not None
    assert none is not None
    assert far.silhouette > 0.9
    assert far.same_neighbours > 0.95
    assert far.explained > 0.99
    assert abs(none.silhouette) < 0.05
    assert abs(none.same_neighbours - none.chance) < 0.05
    assert none.explained == pytest.approx(none.by_chance, abs=0.01)


def test_one_group_or_a_group_of_one_cannot_be_compared() -> None:
    assert separation(np.ones((4, 2)), np.zeros(4, np.int64)) is None
    assert separation(np.ones((3, 2)), np.array([0, 0, 1])) is None


def test_flat_columns_are_left_out() -> None:
    values = np.stack([np.full(5, 3.0), np.arange(5.0)], axis=1).astype(np.float32)
    assert standardised(values).shape == (5, 1)
    assert standardised(values).std() == pytest.approx(1)


def measured(share: float) -> Separation:
    return Separation(groups=2, silhouette=0.1, same_neighbours=share, chance=0.5, explained=0.3, by_chance=0.1)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (0.9, 0.6, "takes away 75%"),
        (0.9, 0.88, "changes little"),
        (0.8, 0.9, "more than without"),
        (0.51, 0.5, "hardly tell"),
    ],
)
def test_the_verdict_follows_the_numbers(before: float, after: float, told: str) -> None:
    assert told in verdict([Comparison("site", measured(before), measured(after))])
    assert "Too few" in verdict([Comparison("site", None, None)])


def test_names_on_the_page_are_escaped() -> None:
    tiles = np.full((2, 8, 9, 3), 200, np.uint8)
    slide = StainedSlide("<script>1", "<i>g", "bad", ("angle 3",), "why & <b>", None, tiles, tiles)
    compared = (Comparison("slide", measured(0.9), measured(0.6)), Comparison("site", None, None))
    page = render_stain_report(
        StainReport(
            "<h9>", "macenko", "standard", "histo-texture", 4, compared, (slide,), (("<u>", "gone"),), None, "so"
        )
    )
    assert "<script" not in page
    assert "&lt;script&gt;1" in page
    assert "why &amp; &lt;b&gt;" in page
    assert "<u>" not in page
