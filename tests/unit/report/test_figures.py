from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Size, SlidePx
from wsi_features.report.figures import (
    OUTLINE,
    component_map,
    decoded,
    encoded,
    fitted_thumbnail,
    grid_is_drawn,
    outline_figure,
    thumbnail_boxes,
)

SLIDE = Size(1000, 600)  # never square: a swapped axis must fail
SHAPE = (60, 100)
SPAN = SlidePx(200)
RED, GREEN = (200, 10, 10), (10, 100, 10)

Rgb = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def white(shape: tuple[int, int] = SHAPE) -> Rgb:
    return np.full((*shape, 3), 255, np.uint8)


def origins(*places: tuple[int, int]) -> Ints:
    return np.array(places, np.int64).reshape(-1, 2)


def colours(*values: tuple[int, int, int]) -> Rgb:
    return np.array(values, np.uint8).reshape(-1, 3)


def no_tissue() -> npt.NDArray[np.bool_]:
    return np.zeros(SHAPE, np.bool_)


def where(image: Rgb, colour: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    return np.asarray((image == colour).all(axis=2))


def test_a_tile_paints_exactly_its_rectangle_of_the_thumbnail() -> None:
    image = decoded(component_map(white(), origins((300, 100)), SPAN, SLIDE, colours(RED)))
    expected = np.zeros(SHAPE, np.bool_)
    expected[10:30, 30:50] = True
    assert np.array_equal(where(image, RED), expected)
    assert (image[~expected] == 255).all()


def test_where_tiles_overlap_their_colours_are_averaged() -> None:
    image = decoded(component_map(white(), origins((0, 0), (100, 0)), SPAN, SLIDE, colours(RED, GREEN)))
    assert image[5, [5, 15, 25]].tolist() == [list(RED), [105, 55, 10], list(GREEN)]


def test_a_tile_without_features_is_hatched_grey_under_its_neighbours() -> None:
    places, known = origins((0, 0), (100, 0)), np.array([False, True])
    image = decoded(component_map(white(), places, SPAN, SLIDE, colours(GREEN, RED), known))
    assert np.unique(image[:20, :10]).tolist() == [120, 214]
    assert where(image, RED)[:20, 10:30].all()


def test_the_map_stands_on_a_grey_light_thumbnail() -> None:
    thumbnail = white()
    thumbnail[:, 50:] = (150, 40, 120)
    image = decoded(component_map(thumbnail, origins(), SPAN, SLIDE, colours()))
    assert (image == image[:, :, :1]).all()
    assert image[0, 0, 0] > image[0, 60, 0] > 150


@pytest.mark.parametrize(("place", "pixel"), [((500, 300), [30, 50]), ((996, 597), [59, 99])])
def test_a_tile_smaller_than_a_pixel_is_still_seen(place: tuple[int, int], pixel: list[int]) -> None:
    image = decoded(component_map(white(), origins(place), SlidePx(3), SLIDE, colours(RED)))
    assert np.argwhere(where(image, RED)).tolist() == [pixel]


def test_a_swapped_slide_size_would_move_the_tiles() -> None:
    boxes = thumbnail_boxes(origins((800, 400)), SPAN, SLIDE, SHAPE)
    assert boxes.tolist() == [[80, 40, 100, 60]]


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 999), st.integers(1, 60), st.integers(5, 40), st.integers(5, 40))
def test_tiles_that_touch_on_the_slide_touch_on_the_thumbnail(span: int, count: int, height: int, width: int) -> None:
    slide = Size(span * count, span * count + 77)
    row = np.stack([np.arange(count) * span, np.zeros(count)], axis=1).astype(np.int64)
    if span * width / slide.width < 1:
        return
    boxes = thumbnail_boxes(row, SlidePx(span), slide, (height, width))
    assert boxes[0, 0] == 0
    assert boxes[-1, 2] == width
    assert np.array_equal(boxes[1:, 0], boxes[:-1, 2])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 800), st.integers(0, 400), st.integers(0, 255)), max_size=12))
def test_the_map_agrees_with_painting_tile_by_tile(tiles: list[tuple[int, int, int]]) -> None:
    total, count = np.zeros((*SHAPE, 3)), np.zeros(SHAPE)
    for x, y, level in tiles:
        x0, y0, x1, y1 = (int(v / 10 + 0.5) for v in (x, y, x + SPAN, y + SPAN))
        total[y0:y1, x0:x1] += (level, 255 - level, 7)
        count[y0:y1, x0:x1] += 1
    slow = np.where(count[:, :, None] > 0, np.rint(total / np.maximum(count, 1)[:, :, None]), 255)
    places, shades = origins(*((x, y) for x, y, _ in tiles)), colours(*((v, 255 - v, 7) for _, _, v in tiles))
    assert np.array_equal(decoded(component_map(white(), places, SPAN, SLIDE, shades)), slow)


def test_the_outline_runs_two_pixels_wide_along_the_border_of_the_mask() -> None:
    mask = np.zeros((6, 10), np.bool_)
    mask[2:4, 3:7] = True
    image = decoded(outline_figure(white(), mask, origins(), SPAN, SLIDE))
    expected = np.zeros(SHAPE, np.bool_)
    expected[19:41, 29:71] = True
    expected[21:39, 31:69] = False
    assert np.array_equal(where(image, OUTLINE), expected)


def test_the_outline_has_a_white_casing_on_dark_tissue() -> None:
    mask = np.zeros(SHAPE, np.bool_)
    mask[20:40, 30:70] = True
    image = decoded(outline_figure(np.zeros_like(white()), mask, origins(), SPAN, SLIDE))
    assert image[30, [27, 28, 29, 30, 31, 32]].tolist() == [
        [0] * 3,
        [255] * 3,
        *[list(OUTLINE)] * 2,
        [255] * 3,
        [0] * 3,
    ]


def test_tissue_cut_off_by_the_edge_of_the_slide_is_closed_by_a_line() -> None:
    image = decoded(outline_figure(white(), np.ones((6, 10), np.bool_), origins(), SPAN, SLIDE))
    edges = where(image, OUTLINE)
    assert edges[0].all()
    assert edges[:, -1].all()
    assert not edges[5:-5, 5:-5].any()


def test_a_mask_that_reaches_beyond_the_slide_is_placed_by_its_scale() -> None:
    mask = np.zeros((2, 3), np.bool_)
    mask[0, 1] = True  # at 400 level-0 pixels per mask pixel: x 400 to 800, y 0 to 400
    image = decoded(outline_figure(white(), mask, origins(), SPAN, SLIDE, mask_scale=400.0))
    rows, columns = np.nonzero(where(image, OUTLINE))
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (39, 81, 0, 41)


def test_a_thumbnail_of_other_proportions_scales_each_axis_by_itself() -> None:
    mask = np.zeros((6, 10), np.bool_)
    mask[2:4, 3:7] = True
    image = decoded(outline_figure(white((60, 300)), mask, origins(), SPAN, SLIDE, mask_scale=100.0))
    rows, columns = np.nonzero(where(image, OUTLINE))
    assert (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1) == (89, 211, 19, 41)


def test_beyond_the_mask_there_is_no_tissue() -> None:
    image = decoded(outline_figure(white(), np.ones((2, 3), np.bool_), origins(), SPAN, SLIDE, mask_scale=100.0))
    rows, columns = np.nonzero(where(image, OUTLINE))
    assert (columns.max() + 1, rows.max() + 1) == (31, 21)


def test_a_tile_is_drawn_as_four_lines_one_pixel_wide() -> None:
    image = decoded(outline_figure(white(), no_tissue(), origins((300, 100)), SPAN, SLIDE))
    expected = np.zeros(SHAPE, np.bool_)
    expected[10:31, 30:51] = True
    expected[11:30, 31:50] = False
    assert np.array_equal(image[:, :, 0] < 255, expected)
    assert np.ptp(image[expected]) == 0


def test_neighbouring_tiles_share_one_line() -> None:
    image = decoded(outline_figure(white(), no_tissue(), origins((0, 0), (200, 0)), SPAN, SLIDE))
    assert np.flatnonzero(image[10, :, 0] < 255).tolist() == [0, 20, 40]


def test_lines_of_a_tile_at_the_far_corner_stay_on_the_picture() -> None:
    image = decoded(outline_figure(white(), no_tissue(), origins((800, 400)), SPAN, SLIDE))
    assert (image[40:, -1, 0] < 255).all()
    assert (image[-1, 80:, 0] < 255).all()


def test_tiles_below_three_pixels_are_tinted_over_their_whole_area() -> None:
    image = decoded(outline_figure(white(), no_tissue(), origins((300, 100), (320, 100)), SlidePx(20), SLIDE))
    tinted = image[:, :, 0] < 255
    assert np.argwhere(tinted).tolist() == [[y, x] for y in (10, 11) for x in (30, 31, 32, 33)]
    assert image[10, 30, 2] > image[10, 30, 0]


def test_lines_are_drawn_from_three_pixels_on() -> None:
    assert [grid_is_drawn(SlidePx(span), SLIDE, 100) for span in (29, 30)] == [False, True]


def test_a_slide_without_tissue_and_tiles_keeps_its_thumbnail() -> None:
    image = decoded(outline_figure(white(), no_tissue(), origins(), SPAN, SLIDE))
    assert (image == 255).all()


def test_the_thumbnail_itself_is_left_alone() -> None:
    thumbnail = white()
    outline_figure(thumbnail, np.ones(SHAPE, np.bool_), origins((0, 0)), SPAN, SLIDE)
    component_map(thumbnail, origins((0, 0)), SPAN, SLIDE, colours(RED))
    assert (thumbnail == 255).all()


def test_equal_values_give_equal_bytes() -> None:
    first, second = (outline_figure(white(), no_tissue(), origins((0, 0)), SPAN, SLIDE) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("shape", "expected"), [((600, 1000), (60, 100)), ((1000, 600), (100, 60)), ((7, 90), (7, 90))]
)
def test_a_thumbnail_is_fitted_by_its_longer_side(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitted_thumbnail(white(shape), 100).shape == (*expected, 3)


def test_images_come_back_in_their_colours() -> None:
    image = white()
    image[:30] = RED
    assert np.array_equal(decoded(encoded(image, "png")), image)
    assert np.abs(decoded(encoded(image, "jpeg")).astype(int) - image)[[5, 55]].max() < 6


@pytest.mark.parametrize("data", [b"", b"<svg/>"])
def test_bytes_that_are_no_image_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a PNG or JPEG"):
        decoded(data)
