import numpy as np
import pytest

from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide


def ramp(height: int = 40, width: int = 64) -> np.ndarray:
    """Red counts columns, green counts rows."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, x + y], axis=2).astype(np.uint8)


def test_levels_are_area_averages_with_their_downsample() -> None:
    slide = ArraySlide(ramp(), downsamples=(1, 4))
    assert slide.levels[1].size == Size(16, 10)
    assert slide.levels[1].downsample == 4.0
    assert slide.read(Region(2, 1, 1, 1), 1).rgb[0, 0].tolist() == [10, 6, 15]


def test_a_region_beyond_the_edge_is_white_and_lowers_coverage() -> None:
    pixels = ArraySlide(ramp()).read(Region(60, 0, 8, 10), 0)
    assert pixels.coverage == 0.5
    assert pixels.rgb[0, 3].tolist() == [63, 0, 63]
    assert pixels.rgb[0, 4].tolist() == [255, 255, 255]


def test_transparent_pixels_are_missing_not_white() -> None:
    rgba = np.concatenate([ramp(), np.zeros((40, 64, 1), np.uint8)], axis=2)
    pixels = ArraySlide(rgba).read(Region(0, 0, 8, 4), 0)
    assert (pixels.status, pixels.coverage, pixels.reason) == ("missing", 0.0, "not scanned")


def test_half_transparent_pixels_are_composed_on_white() -> None:
    rgba = np.full((4, 6, 4), 100, np.uint8)
    rgba[..., 3] = 51
    assert ArraySlide(rgba).read(Region(0, 0, 6, 4), 0).rgb[0, 0].tolist() == [224, 224, 224]


def test_declared_damage_is_reported_where_it_is_touched() -> None:
    slide = ArraySlide(ramp(), downsamples=(1, 4), unreadable=(Region(32, 8, 8, 8),))
    assert slide.read(Region(24, 0, 8, 8), 0).status == "ok"
    assert slide.read(Region(25, 1, 8, 8), 0).status == "unreadable"
    assert slide.read(Region(8, 2, 1, 1), 1).status == "unreadable"


@pytest.mark.parametrize("factor", [2, 3, 4, 16, 17])
def test_a_coarser_level_is_the_rounded_mean_to_the_bit(factor: int, rng: np.random.Generator) -> None:
    fine = rng.integers(0, 256, (factor * 3 + 1, factor * 5 + 2, 3), dtype=np.uint8)
    fine[:factor, :factor] = 255  # the largest sum
    coarse = ArraySlide(fine, downsamples=(1, factor)).read(Region(0, 0, 5, 3), 1)
    wanted = fine[: factor * 3, : factor * 5].reshape(3, factor, 5, factor, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(coarse.rgb, np.rint(wanted))
