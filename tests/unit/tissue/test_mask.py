from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsi_features.geometry import Size
from wsi_features.tissue.mask import TissueMask, mask_mpp

# One tissue pixel in the second column of the first row; a mask pixel is 10 x 15 level-0 pixels.
SLIDE = Size(40, 30)
ONE_PIXEL = TissueMask(np.array([[0, 1, 0, 0], [0, 0, 0, 0]], dtype=bool), SLIDE)


def share(tissue: TissueMask, x: int, y: int, span: int) -> float:
    return float(tissue.share(np.array([[x, y]], dtype=np.int64), span)[0])


def overlap(low: int, span: int, pixel: int, scale: Fraction) -> Fraction:
    inside = min(Fraction(low + span), (pixel + 1) * scale) - max(Fraction(low), pixel * scale)
    return max(Fraction(0), inside)


def share_pixel_by_pixel(tissue: TissueMask, x: int, y: int, span: int) -> float:
    """The slow twin: every mask pixel's overlap with the box, in exact fractions."""
    across = Fraction(tissue.slide.width, tissue.size.width)
    down = Fraction(tissue.slide.height, tissue.size.height)
    covered = sum(
        overlap(x, span, int(column), across) * overlap(y, span, int(row), down)
        for row, column in np.argwhere(tissue.mask)
    )
    return float(covered / Fraction(span * span))


@st.composite
def boxes_on_masks(draw: st.DrawFn) -> tuple[TissueMask, np.ndarray, int]:
    slide = Size(draw(st.integers(1, 300)), draw(st.integers(1, 300)))
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    span = draw(st.integers(1, min(slide.width, slide.height)))
    corners = st.tuples(st.integers(0, slide.width - span), st.integers(0, slide.height - span))
    origins = np.array(draw(st.lists(corners, min_size=1, max_size=5)), dtype=np.int64)
    return TissueMask(draw(arrays(np.bool_, shape)), slide), origins, span


@settings(max_examples=200, deadline=None)
@given(boxes_on_masks())
def test_share_is_what_adding_up_single_pixels_gives(case: tuple[TissueMask, np.ndarray, int]) -> None:
    tissue, origins, span = case
    wanted = [share_pixel_by_pixel(tissue, x, y, span) for x, y in origins.tolist()]
    np.testing.assert_allclose(tissue.share(origins, span), wanted, rtol=1e-14, atol=0)


def test_share_counts_the_part_of_a_mask_pixel_inside_the_box() -> None:
    assert share(ONE_PIXEL, 15, 5, 10) == pytest.approx(0.5)
    assert share(ONE_PIXEL, 12, 12, 5) == pytest.approx(0.6)


def test_share_takes_x_before_y() -> None:
    assert share(ONE_PIXEL, 10, 0, 10) == 1
    assert share(ONE_PIXEL, 0, 10, 10) == 0


def test_a_box_full_of_tissue_has_a_share_of_exactly_one_at_any_scale() -> None:
    full = TissueMask(np.ones((7, 11), dtype=bool), Size(10_007, 6_101))
    origins = np.array([[0, 0], [9_895, 5_989], [3_333, 1_234]], dtype=np.int64)
    assert full.share(origins, 112).tolist() == [1, 1, 1]


def test_share_is_exact_where_the_sums_wrap_around_64_bits() -> None:
    mask = np.ones((60, 80), dtype=bool)
    mask[:, 40:] = False
    huge = TissueMask(mask, Size(1_999_999_974, 1_499_999_957))
    origins = np.array([[999_999_731, 1_499_999_445], [777_777_777, 1_234_567_891], [123_456_789, 987_654_321]])
    assert huge.share(origins, 512).tolist() == [0.5, 1, 1]


def test_share_of_origins_in_32_bits_does_not_overflow() -> None:
    mask = np.zeros((1_000, 3_000), dtype=bool)
    mask[990:, 2_990:] = True
    wide = TissueMask(mask, Size(3_000_000, 1_000_000))
    assert wide.share(np.array([[2_999_000, 999_000]], dtype=np.int32), 1_000).tolist() == [1]


def test_share_of_no_boxes_is_empty() -> None:
    assert ONE_PIXEL.share(np.zeros((0, 2), dtype=np.int64), 8).shape == (0,)


@pytest.mark.parametrize(("x", "y"), [(31, 0), (0, 21), (-1, 0), (0, -1)])
def test_a_box_that_leaves_the_slide_is_refused(x: int, y: int) -> None:
    with pytest.raises(ValueError, match="beyond the slide of 40 x 30"):
        share(ONE_PIXEL, x, y, 10)


def test_a_box_up_to_the_far_corner_is_accepted() -> None:
    assert share(ONE_PIXEL, 30, 20, 10) == 0


def test_a_box_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one pixel, got 0"):
        share(ONE_PIXEL, 0, 0, 0)


def test_area_counts_level_0_pixels_at_their_resolution() -> None:
    assert (ONE_PIXEL.scale_x, ONE_PIXEL.scale_y) == (10, 15)
    assert ONE_PIXEL.area_mm2(2.0) == pytest.approx(10 * 15 * 4 / 1e6)


def test_a_mask_is_empty_without_a_single_tissue_pixel() -> None:
    assert TissueMask(np.zeros((2, 3), dtype=bool), SLIDE).is_empty
    assert not ONE_PIXEL.is_empty


def test_size_is_width_by_height() -> None:
    assert ONE_PIXEL.size == Size(4, 2)


@pytest.mark.parametrize(
    ("mask", "slide"),
    [
        (np.zeros((2, 3), dtype=np.uint8), SLIDE),
        (np.zeros(6, dtype=bool), SLIDE),
        (np.zeros((0, 3), dtype=bool), SLIDE),
        (np.zeros((2, 3), dtype=bool), Size(0, 3)),
    ],
)
def test_what_is_not_a_mask_over_a_slide_is_refused(mask: np.ndarray, slide: Size) -> None:
    with pytest.raises(ValueError, match="tissue mask"):
        TissueMask(mask, slide)


def test_the_resolution_of_a_thumbnail_keeps_areas_exact() -> None:
    mpp = mask_mpp(Size(1000, 601), Size(31, 19), 0.25)
    assert mpp**2 * 31 * 19 == pytest.approx(0.25**2 * 1000 * 601)
