"""Tiles of slides whose colours say where they are: a shift of half a pixel shows."""

import numpy as np
import pytest

from wsi_features.geometry import Region
from wsi_features.slides import ArraySlide
from wsi_features.tiles import tile_scale
from wsi_features.tiles.pixels import _averaged, _Window, tile_pixels


def positions(height: int = 240, width: int = 400) -> np.ndarray:
    """Red rises along x, green along y; blue is constant."""
    y, x = np.mgrid[:height, :width]
    return np.rint(np.stack([x * 0.6, y, np.full_like(x, 9)], axis=2)).astype(np.uint8)


def noise(height: int = 240, width: int = 400) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def plain_average(pixels: np.ndarray, x: float, y: float, span: float, size: int) -> np.ndarray:
    """The slow twin: every output pixel is a weighted mean over the pixels that its box touches."""

    def weights(start: float, extent: int) -> np.ndarray:
        edges = start + np.arange(size + 1) * span / size
        low, high = edges[:-1, None], edges[1:, None]
        pixel = np.arange(extent)[None]
        share = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
        return share / share.sum(axis=1, keepdims=True)

    rows = np.tensordot(weights(y, pixels.shape[0]), pixels.astype(float), axes=(1, 0))
    return np.rint(np.tensordot(weights(x, pixels.shape[1]), rows, axes=(1, 1)).transpose(1, 0, 2)).astype(np.uint8)


def test_a_native_tile_is_the_pixels_themselves() -> None:
    scale = tile_scale("s1", (1.0,), native=0.5, asked=0.5, size=32)
    tile = tile_pixels(ArraySlide(noise()), 130, 70, scale)
    np.testing.assert_array_equal(tile.rgb, noise()[70:102, 130:162])


@pytest.mark.parametrize("asked", [1.0, 1.3, 2.0, 2.7])
def test_a_downsampled_tile_is_the_area_average(asked: float) -> None:
    scale = tile_scale("s1", (1.0,), native=0.5, asked=asked, size=32)
    tile = tile_pixels(ArraySlide(noise()), 131, 33, scale)
    wanted = plain_average(noise(), 131, 33, scale.span, 32)
    assert np.abs(tile.rgb.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(("x", "y"), [(0, 0), (4, 8), (5, 3), (130, 71), (6, 9)])
def test_a_tile_from_a_coarser_level_is_not_shifted(x: int, y: int) -> None:
    slide = ArraySlide(noise(), downsamples=(1, 4))
    scale = tile_scale("s1", (1.0, 4.0), native=0.5, asked=2.5, size=16)
    assert scale.level == 1
    wanted = plain_average(slide.read(Region(0, 0, 100, 60), 1).rgb, x / 4, y / 4, scale.span / 4, 16)
    assert np.abs(tile_pixels(slide, x, y, scale).rgb.astype(int) - wanted).max() <= 1


def test_position_shows_in_the_colours() -> None:
    scale = tile_scale("s1", (1.0, 4.0), native=0.5, asked=2.0, size=16)
    tile = tile_pixels(ArraySlide(positions(), downsamples=(1, 4)), 101, 50, scale).rgb.astype(float)
    middle = np.arange(16) * 4 + 1.5
    assert np.abs(tile[:, :, 0] - (101 + middle)[None, :] * 0.6).max() < 0.9
    assert np.abs(tile[:, :, 1] - (50 + middle)[:, None]).max() < 0.9


def test_the_last_tile_of_an_odd_slide_is_complete() -> None:
    slide = ArraySlide(noise(241, 403), downsamples=(1, 4))
    scale = tile_scale("s1", (1.0, 4.0), native=0.5, asked=2.0, size=16)
    tile = tile_pixels(slide, 403 - 64, 241 - 64, scale)
    assert (tile.status, tile.coverage) == ("ok", 1.0)


def test_what_the_slide_does_not_hold_is_reported() -> None:
    scale = tile_scale("s1", (1.0,), native=0.5, asked=1.0, size=16)
    rgba = np.concatenate([noise(), np.full((240, 400, 1), 255, np.uint8)], axis=2)
    rgba[:, 16:, 3] = 0
    assert tile_pixels(ArraySlide(rgba), 0, 0, scale).coverage == pytest.approx(0.5)
    assert tile_pixels(ArraySlide(rgba), 64, 0, scale).status == "missing"
    broken = ArraySlide(noise(), unreadable=(Region(0, 0, 1, 1),))
    assert tile_pixels(broken, 0, 0, scale).status == "unreadable"


def test_a_window_that_ends_beyond_the_last_pixel_repeats_it() -> None:
    window = _Window(0, 4, 3.4, 2.0)
    values = np.array([10, 20, 30, 40], np.float32)[:, None, None].repeat(3, axis=2)
    assert _averaged(values, window, 2)[:, 0, 0].tolist() == [40, 40]
