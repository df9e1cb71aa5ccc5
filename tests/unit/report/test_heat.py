"""The heat map: areas of tiles on pixels, against tiles painted at level 0."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Size, SlidePx
from wsi_features.report import heat
from wsi_features.report.heat import chosen_downsample, heat_levels, heat_map, heat_size

SLIDE = Size(100, 60)


def painted_at_level_0(origins: npt.NDArray[np.int64], span: int, scores: npt.NDArray[np.float32], downsample: int):
    """The slow twin: every level-0 pixel gets the sum of the tiles over it, then pixels are gathered."""
    width, height = -(-SLIDE.width // downsample) * downsample, -(-SLIDE.height // downsample) * downsample
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for (x, y), score in zip(origins.tolist(), scores.tolist(), strict=True):
        if not np.isnan(score):
            box = np.s_[max(y, 0) : max(y + span, 0), max(x, 0) : max(x + span, 0)]
            total[box] += score
            count[box] += 1
    shape = (height // downsample, downsample, width // downsample, downsample)
    total, count = total.reshape(shape).sum(axis=(1, 3)), count.reshape(shape).sum(axis=(1, 3))
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


tile = st.tuples(st.integers(-30, 120), st.integers(-30, 80), st.none() | st.floats(-8, 8, width=16))


@settings(max_examples=150)
@given(st.lists(tile, max_size=8), st.integers(1, 40), st.integers(1, 17), st.sampled_from([8, 2**22]))
def test_a_pixel_is_the_mean_of_its_tiles_by_area(
    tiles: list[tuple[int, int, float | None]], span: int, downsample: int, band: int
) -> None:
    """Also across the bands of rows in which a large map is painted."""
    origins = np.array([(x, y) for x, y, _ in tiles], np.int64).reshape(-1, 2)
    scores = np.array([np.nan if score is None else score for *_, score in tiles], np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heat, "_BAND_PIXELS", band)
        found = heat_map(origins, SlidePx(span), scores, SLIDE, downsample).values
    wanted = painted_at_level_0(origins, span, scores, downsample)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_pixel_covers_whole_level_0_pixels_from_the_corner() -> None:
    found = heat_map(np.array([[16, 40]]), SlidePx(16), np.float32([3]), SLIDE, 8)
    assert (found.values.shape, found.downsample) == ((8, 13), 8)
    assert np.argwhere(np.isfinite(found.values)).tolist() == [[5, 2], [5, 3], [6, 2], [6, 3]]


def test_overlapping_tiles_are_weighed_by_their_share_of_the_pixel() -> None:
    """The pixel from (8, 0) to (16, 8) has 3 columns of the first tile and 6 of the second."""
    found = heat_map(np.array([[3, 0], [10, 0]]), SlidePx(8), np.float32([1, 4]), SLIDE, 8).values
    assert found[0, 1] == np.float32((3 * 1 + 6 * 4) / 9)
    assert (found[0, 0], found[0, 2]) == (1, 4)


def test_equal_scores_stay_equal_to_the_bit_however_tiles_lie(rng: np.random.Generator) -> None:
    origins = rng.integers(-10, 90, (200, 2))
    found = heat_map(origins, SlidePx(13), np.full(200, 0.3, np.float32), SLIDE, 5).values
    assert set(found[np.isfinite(found)].tolist()) == {float(np.float32(0.3))}


def test_the_map_of_no_tiles_is_empty() -> None:
    assert np.isnan(heat_map(np.empty((0, 2), np.int64), SlidePx(8), np.empty(0, np.float32), SLIDE, 7).values).all()


@pytest.mark.parametrize(
    ("span", "slide", "wanted"),
    [(448, (150_000, 100_000), 64), (256, (150_000, 100_000), 32), (508, (4000, 3001), 64), (5, (100, 60), 1)],
)
def test_a_tile_gets_about_eight_pixels(span: int, slide: tuple[int, int], wanted: int) -> None:
    assert chosen_downsample(SlidePx(span), Size(*slide)) == wanted


def test_the_map_of_a_huge_slide_stays_within_memory() -> None:
    slide = Size(300_000, 200_000)
    chosen = chosen_downsample(SlidePx(64), slide)
    assert chosen == 64
    assert heat_size(slide, chosen).area <= 2**25 < heat_size(slide, chosen // 2).area


def test_coarser_levels_are_means_of_what_is_known() -> None:
    values = np.float32([[1, 3, np.nan], [5, np.nan, np.nan], [np.nan, np.nan, 7]])
    levels = heat_levels(heat.HeatMap(values, 4, Size(12, 11)), smallest=1)
    np.testing.assert_array_equal(levels[1], [[3, np.nan], [np.nan, 7]])
    assert [level.shape for level in levels] == [(3, 3), (2, 2), (1, 1)]
    assert levels[2].tolist() == [[5]]
