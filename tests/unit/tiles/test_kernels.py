"""Which kernel makes a tile, and what happens where pixels run out."""

import numpy as np
import pytest

from wsi_features.tiles.area import Window
from wsi_features.tiles.kernels import margin, resampled

NOISE = np.random.default_rng(7).integers(0, 256, (70, 90, 3), np.uint8)


def test_the_whole_window_within_more_pixels_is_reduced_alone() -> None:
    found = resampled(NOISE, Window(90, 10.0, 40.0), Window(70, 5.0, 40.0), 20, "area")
    wanted = NOISE[5:45, 10:50].reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(found - wanted).max() <= 0.51


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
