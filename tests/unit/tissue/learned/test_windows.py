"""Windows: every pixel counts once, with enough around it, and none shows what is not there."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsi_features.geometry import Region, Size
from wsi_features.tissue.learned.windows import Window, pixels_of, spans, window_rows

lengths = st.integers(1, 700)
overlaps = st.integers(0, 32)


@given(length=lengths, overlap=overlaps)
def test_every_pixel_of_an_axis_counts_exactly_once(length: int, overlap: int) -> None:
    counted = [i for span in spans(length, 64, overlap) for i in range(span.low, span.high)]
    assert counted == list(range(length))


@given(length=lengths, overlap=overlaps)
def test_windows_lie_inside_and_are_whole_unless_the_axis_is_shorter(length: int, overlap: int) -> None:
    for span in spans(length, 64, overlap):
        assert span.start >= 0
        assert span.start + span.length <= length
        assert span.length == min(64, length)


@given(length=lengths, overlap=overlaps)
def test_what_counts_is_half_the_overlap_away_from_borders_inside_the_picture(length: int, overlap: int) -> None:
    for span in spans(length, 64, overlap):
        assert span.low == 0 or span.low - span.start >= overlap // 2
        assert span.high == length or span.start + span.length - span.high >= overlap // 2


def test_windows_run_row_by_row_from_the_top_left() -> None:
    rows = list(window_rows(Size(200, 100), 64, 16))
    assert [len(row) for row in rows] == [4, 4]
    assert [w.read.x for w in rows[0]] == [0, 48, 96, 136]
    assert [row[0].read.y for row in rows] == [0, 36]


def test_a_picture_smaller_than_a_window_is_padded_with_white() -> None:
    black, box = np.zeros((24, 40, 3), np.uint8), Region(0, 0, 40, 24)
    pixels = pixels_of(Window(box, box), lambda *_: black, 64)
    assert pixels.shape == (64, 64, 3)
    assert not pixels[:24, :40].any()
    assert (pixels[24:] == 255).all()
    assert (pixels[:, 40:] == 255).all()
