"""The comparison page: bars where the tiles are, hints once, names that cannot break it."""

import dataclasses

import numpy as np

from tests.unit.cohort.compare.conftest import CORNERS, side, smooth
from wsi_features.cohort.compare.slide import compared
from wsi_features.cohort.compare.summary import EDGES, SlideSummary, farthest_tiles, histogram, summary
from wsi_features.report.compare_page import (
    ComparePage,
    histogram_bars,
    histogram_line,
    render_comparison,
    shared_hints,
)


def slides(noise: float) -> tuple[SlideSummary, ComparePage]:
    one = smooth(np.random.default_rng(0), CORNERS)
    two = (one + np.random.default_rng(1).normal(0, noise, one.shape)).astype(np.float32) if noise else one
    sides = side(one), side(two)
    found = compared("<b>s1</b>", *sides, 1.0)
    made = summary("<b>s1</b>", *sides, found)
    far = tuple(farthest_tiles("<b>s1</b>", *sides, found, 3))
    page = ComparePage("a", "b", ("", ""), made.verdict, (made,), {}, (), (), (), far, {}, {"<b>s1</b>": "gone"})
    return made, page


def test_a_cosine_falls_into_the_bin_of_its_distance_from_one() -> None:
    counts = histogram(np.array([1.0, 1 - 5e-8, 0.99, 0.0, -1.0]))
    assert counts.sum() == 5
    assert counts[0] == 2
    assert counts[1 + EDGES.index(10 ** (-8 / 4))] + counts[EDGES.index(10 ** (-8 / 4))] == 1  # 0.01, but for rounding
    assert counts[-1] == 1


def test_bars_stand_where_their_bins_are_and_the_highest_fills_the_drawing() -> None:
    counts = np.zeros(len(EDGES), np.int64)
    counts[[0, 20]] = 3, 6
    low, high = histogram_bars(counts)
    assert low.x < high.x
    assert high.height == 2 * low.height
    assert low.y + low.height == high.y + high.height
    assert "3 tiles (33.3%)" in low.says
    assert histogram_line(np.zeros(len(EDGES), np.int64)) == ""


def test_the_farthest_tiles_come_first_and_equal_ones_not_at_all() -> None:
    _, page = slides(0.3)
    assert [tile.cosine for tile in page.farthest] == sorted(tile.cosine for tile in page.farthest)
    assert tuple(CORNERS[page.farthest[0].row_a]) == (page.farthest[0].x, page.farthest[0].y)
    assert slides(0)[1].farthest == ()


def test_a_hint_of_several_slides_is_shown_once_with_their_names() -> None:
    made, _ = slides(0)
    other = dataclasses.replace(made, slide_id="s2")
    (shared,) = shared_hints([made, other])
    assert shared.slides == ("<b>s1</b>", "s2")


def test_the_page_counts_verdicts_and_escapes_names() -> None:
    made, page = slides(0.3)
    same, _ = slides(0)
    both = dataclasses.replace(page, slides=(made, same), failed={"s9": "damaged"}, only_one=("s7",))
    text = render_comparison(both)
    assert "<b>s1</b>" not in text
    assert "1 identical" in text
    assert "1 same encoder, other pixels" in text
    assert "1 not compared" in text
    assert "s7" in text
    assert text == render_comparison(both)
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
