"""The compiled area average against its slow twins, and what happens where pixels run out."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.tiles import area
from wsi_features.tiles.area import Window, area_average, shares

NOISE = np.random.default_rng(7).integers(0, 256, (70, 90, 3), np.uint8)


def averaged(values: np.ndarray, window: Window, size: int) -> np.ndarray:
    """The slow twin along the first axis: each pixel weighed by its share of the box."""
    out = np.empty((size, *values.shape[1:]))
    for i in range(size):
        low, high = (window.start + k * window.width / size for k in (i, i + 1))
        share = [max(0.0, min(high, p + 1) - max(low, p)) for p in range(window.pixels)]
        out[i] = np.tensordot(share, values, axes=(0, 0)) / sum(share)
    return out


def slow_average(across: Window, down: Window, size: int) -> np.ndarray:
    rows = averaged(NOISE.astype(float), down, size).transpose(1, 0, 2)
    return averaged(rows, across, size).transpose(1, 0, 2)


@settings(max_examples=60, deadline=None)
@given(x=st.floats(0, 20), y=st.floats(0, 10), wide=st.floats(3, 69), high=st.floats(3, 59), size=st.integers(1, 40))
def test_every_pixel_is_the_mean_of_its_box(x: float, y: float, wide: float, high: float, size: int) -> None:
    across, down = Window(90, x, wide), Window(70, y, high)
    assert np.abs(area_average(NOISE, across, down, size) - slow_average(across, down, size)).max() <= 0.502


def test_machine_code_and_plain_python_agree_to_the_bit() -> None:
    across, down = Window(90, 2.25, 61.5), Window(70, 0.5, 44.75)
    plain = np.empty((17, 17, 3), np.uint8)
    area._weighted(NOISE, *shares(down, 17), *shares(across, 17), plain)
    assert np.array_equal(area_average(NOISE, across, down, 17), plain)


def test_halves_are_rounded_up() -> None:
    pair = np.array([[[10, 20, 254]], [[11, 23, 255]]], np.uint8)
    assert area_average(pair, Window(1, 0.0, 1.0), Window(2, 0.0, 2.0), 1).tolist() == [[[11, 22, 255]]]


def test_pixels_that_do_not_lie_side_by_side_in_memory_are_taken_as_they_are() -> None:
    across, down = Window(45, 0.5, 40.0), Window(70, 3.0, 41.0)
    skipping = NOISE[:, ::2]
    assert np.array_equal(area_average(skipping, across, down, 13), area_average(skipping.copy(), across, down, 13))


def test_a_box_beyond_the_last_pixel_is_that_pixel() -> None:
    column = np.array([10, 20, 30, 40], np.uint8)[:, None, None].repeat(3, axis=2)
    assert area_average(column, Window(1, 0.0, 1.0), Window(4, 3.4, 2.0), 2)[:, 0, 0].tolist() == [40, 40]


def test_shares_of_every_box_add_up_to_one() -> None:
    first, share = shares(Window(527, 0.0, 527.0), 256)
    assert share.shape == (256, 4)
    assert first[-1] + 4 == 527
    np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-6)
