"""The fast area average against its slow twin, and what happens where pixels run out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.tiles.kernels import Window, _averaged, margin, resampled

NOISE = np.random.default_rng(7).integers(0, 256, (70, 90, 3), np.uint8)


def slow_average(values: np.ndarray, window: Window, size: int) -> np.ndarray:
    """The slow twin: one output pixel after the other, each input pixel weighed by its share of the box."""
    out = np.empty((size, *values.shape[1:]))
    for i in range(size):
        low, high = (window.start + k * window.width / size for k in (i, i + 1))
        share = [max(0.0, min(high, p + 1) - max(low, p)) for p in range(window.pixels)]
        out[i] = np.tensordot(share, values, axes=(0, 0)) / sum(share)
    return out


@settings(max_examples=60, deadline=None)
@given(start=st.floats(0, 20), width=st.floats(3, 49), size=st.integers(1, 40))
def test_the_area_average_is_that_of_its_slow_twin(start: float, width: float, size: int) -> None:
    window = Window(70, start, width)
    found = _averaged(NOISE.astype(np.float32), window, size)
    np.testing.assert_allclose(found, slow_average(NOISE.astype(float), window, size), atol=2e-3)


@pytest.mark.parametrize("start", [0.0, 0.25, 3.5])
def test_averages_along_both_axes_are_rounded_once(start: float) -> None:
    across, down = Window(90, start, 80.0), Window(70, start / 2, 60.0)
    found = resampled(NOISE, across, down, 20, "area")
    rows = slow_average(NOISE.astype(float), down, 20).transpose(1, 0, 2)
    wanted = slow_average(rows, across, 20).transpose(1, 0, 2)
    assert np.abs(found - wanted).max() <= 0.51


def test_the_whole_window_within_more_pixels_is_reduced_alone() -> None:
    found = resampled(NOISE, Window(90, 10.0, 40.0), Window(70, 5.0, 40.0), 20, "area")
    wanted = NOISE[5:45, 10:50].reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(found - wanted).max() <= 0.51


def test_a_window_that_ends_beyond_the_last_pixel_repeats_it() -> None:
    values = np.array([10, 20, 30, 40], np.float32)[:, None, None].repeat(3, axis=2)
    assert _averaged(values, Window(4, 3.4, 2.0), 2)[:, 0, 0].tolist() == [40, 40]


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos"])
def test_pillow_kernels_repeat_the_last_pixel_too(kernel: str) -> None:
    even = np.full((8, 9, 3), 77, np.uint8)
    found = resampled(even, Window(9, 5.5, 6.0), Window(8, 3.0, 6.0), 6, kernel)  # type: ignore[arg-type]
    assert found.shape == (6, 6, 3)
    assert (found == 77).all()


@pytest.mark.parametrize(
    ("kernel", "reduction", "wanted"),
    [("area", 4.0, 0), ("bilinear", 0.5, 1), ("bicubic", 2.0, 4), ("lanczos", 1.5, 5)],
)
def test_a_kernel_needs_its_width_times_the_reduction(kernel: str, reduction: float, wanted: int) -> None:
    assert margin(kernel, reduction) == wanted  # type: ignore[arg-type]
