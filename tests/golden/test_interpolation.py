"""Every kernel against the same pixels resampled by Pillow directly, or averaged by plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from wsi_features.slides import ArraySlide
from wsi_features.tiles import TileScale, tile_scale
from wsi_features.tiles.kernels import Interpolation
from wsi_features.tiles.pixels import tile_pixels

pytestmark = pytest.mark.golden

IMAGE = np.random.default_rng(11).integers(0, 256, (300, 500, 3), np.uint8)
PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def scale(asked: float, *, downsamples: tuple[float, ...] = (1.0,), upsample: bool = False) -> TileScale:
    return tile_scale("s1", downsamples, native=0.5, asked=asked, size=64, upsample=upsample)


def from_whole_image(image: np.ndarray, x: float, y: float, width: float, kernel: str) -> np.ndarray:
    """What Pillow gives for the box when it has the whole image around it."""
    box = (x, y, x + width, y + width)
    return np.asarray(Image.fromarray(image).resize((64, 64), PILLOW[kernel], box=box))


@pytest.mark.parametrize("kernel", PILLOW)
@pytest.mark.parametrize(("x", "y"), [(130, 71), (0, 0), (500 - 128, 300 - 128)])
def test_a_tile_of_half_the_size_is_that_of_pillow_on_the_whole_slide(kernel: Interpolation, x: int, y: int) -> None:
    tile = tile_pixels(ArraySlide(IMAGE), x, y, scale(1.0), kernel)
    np.testing.assert_array_equal(tile.rgb, from_whole_image(IMAGE, x, y, 128, kernel))


@pytest.mark.parametrize("kernel", PILLOW)
@pytest.mark.parametrize("asked", [0.7, 1.3])
def test_other_sizes_are_those_of_pillow(kernel: Interpolation, asked: float) -> None:
    found = scale(asked)
    tile = tile_pixels(ArraySlide(IMAGE), 33, 17, found, kernel)
    np.testing.assert_array_equal(tile.rgb, from_whole_image(IMAGE, 33, 17, found.span, kernel))


@pytest.mark.parametrize("kernel", PILLOW)
def test_a_tile_between_the_pixels_of_a_level_is_that_of_pillow(kernel: Interpolation) -> None:
    slide = ArraySlide(IMAGE, downsamples=(1, 2))
    found = scale(1.3, downsamples=(1.0, 2.0))
    level = IMAGE.reshape(150, 2, 250, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    tile = tile_pixels(slide, 101, 33, found, kernel)
    assert found.level == 1
    np.testing.assert_array_equal(tile.rgb, from_whole_image(level, 50.5, 16.5, found.span / 2, kernel))


@pytest.mark.parametrize("kernel", PILLOW)
def test_an_enlarged_tile_is_that_of_pillow(kernel: Interpolation) -> None:
    found = scale(0.25, upsample=True)
    tile = tile_pixels(ArraySlide(IMAGE), 40, 30, found, kernel)
    assert found.span == 32
    np.testing.assert_array_equal(tile.rgb, from_whole_image(IMAGE, 40, 30, 32, kernel))


def test_an_area_tile_enlarged_twice_repeats_every_pixel() -> None:
    tile = tile_pixels(ArraySlide(IMAGE), 40, 30, scale(0.25, upsample=True), "area")
    np.testing.assert_array_equal(tile.rgb, IMAGE[30:62, 40:72].repeat(2, axis=0).repeat(2, axis=1))


def test_an_area_tile_enlarged_by_half_mixes_pixels_only_where_a_box_spans_two() -> None:
    found = tile_scale("s1", (1.0,), native=0.6, asked=0.4, size=48, upsample=True)
    tile = tile_pixels(ArraySlide(IMAGE), 40, 30, found, "area").rgb
    pixels = IMAGE[30:62, 40:72].astype(float)
    columns = np.empty((32, 48, 3))
    columns[:, 0::3], columns[:, 2::3] = pixels[:, 0::2], pixels[:, 1::2]
    columns[:, 1::3] = (pixels[:, 0::2] + pixels[:, 1::2]) / 2
    assert found.span == 32
    assert np.abs(tile[0::3] - columns[0::2]).max() <= 0.5001


@pytest.mark.parametrize("kernel", ["area", *PILLOW])
def test_a_tile_read_one_to_one_is_the_pixels_themselves(kernel: Interpolation) -> None:
    tile = tile_pixels(ArraySlide(IMAGE), 40, 30, scale(0.5), kernel)
    np.testing.assert_array_equal(tile.rgb, IMAGE[30:94, 40:104])
