"""Plots as numbers: y rises upwards, ticks are round, steps keep their value."""

import numpy as np
import pytest

from wsi_features.report.plots import Axis, Caption, Curve, Point, around, plotted, ticks

WORDS = Caption("t", "d")


def test_values_are_placed_between_the_axes_with_y_upwards() -> None:
    line = Curve("l0", np.array([0.0, 10.0]), np.array([0.0, 4.0]), "a")
    plot = plotted(WORDS, (Axis("x", 0, 10), Axis("y", 0, 4)), [line], [Point("dot", 5.0, 4.0, "p")], (274, 160))
    assert plot.area == (58, 14, 258, 114)
    assert plot.lines[0].path == "58,114 258,14"
    assert (plot.dots[0].x, plot.dots[0].y) == (158, 14)
    assert plot.legend == (("l0", "a"),)


def test_a_curve_of_steps_keeps_each_value_until_the_next() -> None:
    line = Curve("l0", np.array([0.0, 1.0, 2.0]), np.array([1.0, 0.5, 0.0]), steps=True)
    plot = plotted(WORDS, (Axis("x", 0, 2), Axis("y", 0, 1)), [line], size=(274, 160))
    assert plot.lines[0].path == "58,14 158,14 158,64 258,64 258,114"


def test_what_is_no_number_is_left_out_and_what_lies_beyond_stands_at_the_end() -> None:
    line = Curve("l0", np.array([0.0, 1.0, 9.0]), np.array([np.nan, 0.5, 0.5]))
    plot = plotted(WORDS, (Axis("x", 0, 2), Axis("y", 0, 1)), [line], [Point("dot", 1.0, np.nan)], (274, 160))
    assert (plot.lines[0].path, plot.dots) == ("158,64 258,64", ())


@pytest.mark.parametrize(
    ("low", "high", "about", "texts"),
    [
        (0, 1, 5, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 1, 4, ["0.00", "0.25", "0.50", "0.75", "1.00"]),
        (-3, 2.6, 3, ["-2", "0", "2"]),
        (0, 31_000, 3, ["0", "20,000"]),
        (12.1, 12.4, 3, ["12.1", "12.2", "12.3", "12.4"]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, about: int, texts: list[str]) -> None:
    assert [text for _, text in ticks(low, high, about)] == texts


def test_an_axis_shows_all_values_with_room_and_one_value_too() -> None:
    assert around(np.array([0.0, np.nan]), np.array([10.0]), room=0.1) == (-1, 11)
    assert around(np.array([3.0, 3.0])) == (2.5, 3.5)
    assert around(np.array([np.nan])) == (0, 1)
