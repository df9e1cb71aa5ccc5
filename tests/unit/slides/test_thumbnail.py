import numpy as np
import pytest

from wsi_features.errors import TileReadError
from wsi_features.geometry import Region
from wsi_features.slides import ArraySlide, thumbnail
from wsi_features.slides import thumbnail as _public  # the function, not its module
from wsi_features.slides.slide import Slide


def half_red(height: int = 300, width: int = 500) -> np.ndarray:
    pixels = np.full((height, width, 3), 250, np.uint8)
    pixels[:, : width // 2] = (200, 30, 40)
    return pixels


def test_it_covers_the_whole_slide_at_the_wanted_resolution() -> None:
    small = thumbnail("s1", ArraySlide(half_red(), mpp=1.0), 1.0, 10.0)
    assert small.shape == (30, 50, 3)
    assert small[15, 24].tolist() == [200, 30, 40]
    assert small[15, 25].tolist() == [250, 250, 250]


def test_the_nearest_finer_level_gives_the_same_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (320, 480, 3), np.uint8)
    one = thumbnail("s1", ArraySlide(pixels), 0.5, 8.0)
    three = thumbnail("s1", ArraySlide(pixels, downsamples=(1, 4, 16)), 0.5, 8.0)
    assert one.shape == three.shape == (20, 30, 3)
    assert np.abs(one.astype(int) - three.astype(int)).max() <= 1


def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    pixels = np.random.default_rng(1).integers(0, 256, (333, 517, 3), np.uint8)
    whole = _public("s1", ArraySlide(pixels), 1.0, 7.0)
    monkeypatch.setattr(sys.modules["wsi_features.slides.thumbnail"], "_BAND_PIXELS", 20_000)
    banded = _public("s1", ArraySlide(pixels), 1.0, 7.0)
    assert whole.shape == banded.shape
    assert np.abs(whole.astype(int) - banded.astype(int)).mean() < 3


def test_a_slide_coarser_than_wanted_is_not_enlarged() -> None:
    assert thumbnail("s1", ArraySlide(half_red()), 12.0, 8.0).shape == (300, 500, 3)


def test_damage_under_the_thumbnail_fails_the_slide() -> None:
    slide: Slide = ArraySlide(half_red(), unreadable=(Region(10, 20, 5, 5),))
    with pytest.raises(
        TileReadError,
        match="slide 's1': the thumbnail cannot be made, level 0 is unreadable from row 0 .declared unreadable.",
    ):
        thumbnail("s1", slide, 1.0, 10.0)
