"""Kept tiles and histograms on the page: one scale on every slide, and nothing where nothing is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wsi_features.report.html import render
from wsi_features.report.model import CohortReport
from wsi_features.report.quality import KEPT, LEFT_OUT, QualityMap, column_limits, histograms, kept_colours

SLIDES = (
    {"sharpness": np.array([0.1, 0.2, np.nan], np.float32), "pen_share": np.zeros(3, np.float32)},
    {"sharpness": np.array([0.5], np.float32), "blood_share": np.ones(1, np.float32)},
)


def test_columns_have_one_scale_on_all_slides() -> None:
    limits = column_limits(SLIDES)
    assert limits["pen_share"] == (0, 1)
    np.testing.assert_allclose(limits["sharpness"], (0.1, 0.5))
    assert set(limits) == {"pen_share", "sharpness"}


def test_bars_count_the_tiles_that_have_a_value() -> None:
    pen, sharp = sorted(histograms(SLIDES[0], column_limits(SLIDES)), key=lambda bars: bars.title)
    assert (pen.title, pen.bars[0], sum(pen.bars)) == ("pen", 1, 1)
    assert (sharp.bars[0], sharp.bars[6], sum(sharp.bars)) == (1, 1, 2)
    assert [bars.title for bars in histograms(SLIDES[1], column_limits(SLIDES))] == ["sharpness"]


def test_kept_tiles_have_their_colour() -> None:
    assert kept_colours(np.array([True, False])).tolist() == [list(KEPT), list(LEFT_OUT)]


def test_the_page_says_how_many_tiles_are_kept_and_why_not(report: CohortReport) -> None:
    figure = report.figures[0]
    bars = histograms(SLIDES[0], column_limits(SLIDES))
    shown = QualityMap(figure.maps[0].image, 3, 2, (("pen <too> high", 1),), bars)
    rows = (replace(report.rows[0], kept=2), *report.rows[1:])
    page = render(replace(report, figures=(replace(figure, quality=shown),), rows=rows))
    assert "2 of 3 tiles kept" in page
    assert "pen &lt;too&gt; high 1" in page
    assert "<small>2 kept</small>" in page
    assert page.count("<svg viewBox") == len(bars)
    assert "Quality." not in render(report)
