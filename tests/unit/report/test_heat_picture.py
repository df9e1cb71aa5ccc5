"""The picture: every pixel in its place, the slide untouched where no tile is."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_features.geometry import Mpp, Size, SlidePx
from wsi_features.report.figures import decoded
from wsi_features.report.heat import heat_map
from wsi_features.report.heat_colours import RAMPS, ramp
from wsi_features.report.heat_picture import Words, blended, framed, length_bar

SLIDE = Size(1200, 720)


def test_the_slide_is_untouched_where_no_tile_is_and_mixed_where_one_is(rng: np.random.Generator) -> None:
    thumbnail = rng.integers(0, 255, (72, 120, 3), np.uint8)
    heat = heat_map(np.array([[400, 200]]), SlidePx(100), np.float32([1]), SLIDE, 5)
    found = blended(thumbnail, heat, ramp("viridis", 0, 1), 0.5)
    tile = np.s_[20:30, 40:50]
    mixed = np.rint(thumbnail[tile] * 0.5 + np.multiply((253, 231, 37), 0.5))
    assert np.abs(found[tile] - mixed).max() <= 1
    found[tile] = thumbnail[tile]
    np.testing.assert_array_equal(found, thumbnail)


def test_colours_run_from_end_to_end_and_stop_there() -> None:
    colours = ramp("Greys", 2, 4).colours(np.float32([[1, 2, 3], [4, 9, np.nan]]))
    assert colours[0, 0].tolist() == colours[0, 1].tolist() == ramp("Greys", 0, 1).table[0].tolist()
    assert colours[1, 0].tolist() == colours[1, 1].tolist() == ramp("Greys", 0, 1).table[255].tolist()
    assert colours[1, 2].tolist() == [255, 255, 255]
    assert 100 < colours[0, 2].max() < 200


def test_one_value_for_both_ends_takes_the_middle() -> None:
    grey = ramp("Greys", 3, 3)
    assert grey.colours(np.float32([[3, 5]]))[0].tolist() == [grey.table[128].tolist()] * 2


@pytest.mark.parametrize("name", RAMPS)
def test_every_colour_map_has_256_colours(name: str) -> None:
    assert len(np.unique(ramp(name, 0, 1).table, axis=0)) > 100


def test_the_frame_keeps_every_pixel_and_adds_a_scale(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 255, (72, 120, 3), np.uint8)
    words = Words("s1", "attention of $5_a$", "score", [(0, "0"), (1, "9")], Mpp(2))
    framed_picture = decoded(framed(picture, ramp("turbo", 0, 9), words))
    height, width = framed_picture.shape[:2]
    place = next(
        (y, x)
        for y in range(height - 72)
        for x in range(width - 120)
        if (framed_picture[y, x : x + 120] == picture[0]).all()
    )
    np.testing.assert_array_equal(framed_picture[place[0] : place[0] + 72, place[1] : place[1] + 120], picture)
    right = framed_picture[:, place[1] + 120 :].reshape(-1, 3)
    assert len(np.unique(right, axis=0)) > 200


@pytest.mark.parametrize(
    ("longest", "mpp", "wanted"),
    [(100, 3.0, (200 / 3, "200 µm")), (100, 60.0, (5000 / 60, "5 mm")), (140, 0.5, (100, "50 µm"))],
)
def test_the_bar_of_length_is_round_and_true(longest: float, mpp: float, wanted: tuple[float, str]) -> None:
    assert length_bar(longest, mpp) == (pytest.approx(wanted[0]), wanted[1])
