"""The canvas: exact averages, the same whichever window reads them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.errors import TileReadError
from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide
from wsi_features.tiles import canvas as canvas_module
from wsi_features.tiles.canvas import Canvas

PIXELS = np.random.default_rng(1).integers(0, 256, (330, 470, 3), np.uint8)
SLIDE = ArraySlide(PIXELS, mpp=0.5, downsamples=(1, 4))


def test_whole_steps_are_the_mean_of_whole_boxes() -> None:
    found = Canvas.of("s1", ArraySlide(PIXELS[:320, :460]), 0.5, 1.0)
    assert (found.size, found.level) == (Size(230, 160), 0)
    wanted = PIXELS[:320, :460].reshape(160, 2, 230, 2, 3).mean(axis=(1, 3))
    assert np.abs(found.read(0, 0, 230, 160) - wanted).max() <= 0.5


def test_the_coarsest_level_that_is_fine_enough_is_read() -> None:
    assert Canvas.of("s1", SLIDE, 0.5, 2.0).level == 1
    assert Canvas.of("s1", SLIDE, 0.5, 1.9).level == 0


def test_a_slide_as_coarse_as_the_canvas_is_read_as_it_is() -> None:
    found = Canvas.of("s1", SLIDE, 1.02, 1.0)
    assert found.size == Size(470, 330)
    assert np.array_equal(found.read(100, 50, 70, 90), PIXELS[50:140, 100:170])


@settings(max_examples=40, deadline=None)
@given(data=st.data(), wanted=st.sampled_from([1.0, 1.37, 2.0, 7.3]))
def test_any_window_shows_what_the_whole_canvas_shows(data: st.DataObject, wanted: float) -> None:
    found = Canvas.of("s1", SLIDE, 0.5, wanted)
    whole = found.read(0, 0, found.size.width, found.size.height)
    x, y = data.draw(st.integers(0, found.size.width - 1)), data.draw(st.integers(0, found.size.height - 1))
    width = data.draw(st.integers(1, found.size.width - x))
    height = data.draw(st.integers(1, found.size.height - y))
    part = found.read(x, y, width, height)
    assert np.abs(part.astype(int) - whole[y : y + height, x : x + width]).max() <= 1


def test_large_windows_are_read_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Canvas.of("s1", SLIDE, 0.5, 1.37)
    whole = found.read(3, 5, 120, 90)
    monkeypatch.setattr(canvas_module, "_MOST_PIXELS", 4000)
    assert np.abs(found.read(3, 5, 120, 90).astype(int) - whole).max() <= 1


def test_a_damaged_part_fails_the_slide() -> None:
    damaged = ArraySlide(PIXELS, unreadable=[Region(300, 200, 10, 10)])
    found = Canvas.of("s1", damaged, 0.5, 1.0)
    found.read(0, 0, 100, 100)
    with pytest.raises(TileReadError, match="'s1'"):
        found.read(100, 60, 100, 100)
