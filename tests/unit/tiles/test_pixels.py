"""Tiles of slides whose colours say where they are: a shift of half a pixel shows."""

from dataclasses import replace

import numpy as np
import pytest

from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide
from wsi_features.slides.slide import Level, Pixels
from wsi_features.tiles import tile_scale
from wsi_features.tiles.kernels import Interpolation
from wsi_features.tiles.pixels import tile_pixels

KERNELS: list[Interpolation] = ["area", "bilinear", "bicubic", "lanczos"]


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


class EarlySlide(ArraySlide):
    """Says that its level at 1:4 has another downsample, and starts up to a pixel early, as OpenSlide may."""

    def __init__(self, pixels: np.ndarray, early: tuple[int, int]) -> None:
        super().__init__(pixels, downsamples=(1, 4))
        self.levels = (self.levels[0], Level(self.levels[1].size, 4.003))
        self._early = early

    def read(self, region: Region, level: int) -> Pixels:
        """What starts too early also ends too early."""
        x, y = (early if at else 0 for early, at in zip(self._early, (region.x, region.y), strict=True))
        moved = replace(region, x=region.x - x, y=region.y - y)
        return replace(super().read(moved, level), shift=(float(-x), float(-y)))


@pytest.mark.parametrize("early", [(1, 0), (0, 1)])
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("asked", [2.0, 3.1])
def test_what_a_reader_starts_too_early_is_made_up_for(
    kernel: Interpolation, early: tuple[int, int], asked: float
) -> None:
    scale = tile_scale("s1", (1.0, 4.0), native=0.5, asked=asked, size=16)
    found, exact = (
        tile_pixels(slide, 64, 80, scale, kernel).rgb.astype(int)
        for slide in (EarlySlide(noise(), early), ArraySlide(noise(), downsamples=(1, 4)))
    )
    assert scale.level == 1
    # Pillow's kernels end where the pixels end, which is at other places.
    rim = 0 if kernel == "area" else 3
    inside = slice(rim, 16 - rim)
    assert np.abs(found - exact)[inside, inside].max() <= 1


def test_a_tile_of_whole_pixels_is_copied_also_from_a_reader_with_a_ratio() -> None:
    slide = ArraySlide(noise(), downsamples=(1, 4))
    slide.levels = (slide.levels[0], Level(slide.levels[1].size, 4.003))
    scale = tile_scale("s1", (1.0, 4.0), native=0.5, asked=2.0, size=16)
    wanted = slide.read(Region(16, 20, 16, 16), 1).rgb
    np.testing.assert_array_equal(tile_pixels(slide, 64, 80, scale).rgb, wanted)


def test_each_axis_has_a_downsample_of_its_own() -> None:
    slide = ArraySlide(noise(), downsamples=(1, 4))
    scale = tile_scale("s1", (1.0, (4.0, 5.0)), native=0.5, asked=2.5, size=16)
    assert (scale.downsample_x, scale.downsample_y, scale.downsample, scale.span) == (4.0, 5.0, 4.5, 80)
    # 20 pixels of the level become 16 along x; along y it is 16 already, from row 5 on.
    rows = slide.read(Region(20, 5, 20, 16), 1).rgb
    wanted = [plain_average(np.stack([row] * 20), 0, 0, 20, 16)[0] for row in rows]
    tile = tile_pixels(slide, 80, 25, scale).rgb
    np.testing.assert_allclose(tile[:, 3:13], np.stack(wanted)[:, 3:13], atol=1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_is_missing_beside_a_tile_does_not_count_against_it(kernel: Interpolation) -> None:
    scale = tile_scale("s1", (1.0,), native=0.5, asked=1.0, size=16)
    rgba = np.concatenate([noise(), np.full((240, 400, 1), 255, np.uint8)], axis=2)
    rgba[:, 96:, 3] = 0
    inside, across = (tile_pixels(ArraySlide(rgba), x, 40, scale, kernel) for x in (64, 80))
    assert (inside.status, inside.coverage) == ("ok", 1.0)
    assert across.coverage == pytest.approx(0.5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_damage_beside_a_tile_does_not_lose_it(kernel: Interpolation) -> None:
    scale = tile_scale("s1", (1.0,), native=0.5, asked=1.0, size=16)
    whole, beside = (
        tile_pixels(ArraySlide(noise(), unreadable=boxes), 64, 40, scale, kernel)
        for boxes in ((), (Region(96, 0, 4, 240),))
    )
    assert beside.status == "ok"
    np.testing.assert_array_equal(beside.rgb[4:12, 4:12], whole.rgb[4:12, 4:12])


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_last_pixel_stands_for_what_a_cut_level_lacks(kernel: Interpolation) -> None:
    slide = ArraySlide(noise(243, 403), downsamples=(1, 4))
    level = slide.read(Region(0, 0, 100, 60), 1).rgb
    assert slide.levels[1].size == Size(100, 60)
    scale = tile_scale("s1", (1.0, 4.0), native=0.5, asked=2.0, size=16)
    last = tile_pixels(slide, 403 - 64, 243 - 64, scale, kernel)
    # The same place, four level-0 pixels per pixel, on a level that has the missing pixels.
    padded = np.pad(level, ((0, 9), (0, 9), (0, 0)), mode="edge")
    filled = ArraySlide(padded.repeat(4, axis=0).repeat(4, axis=1), downsamples=(1, 4))
    wanted = tile_pixels(filled, 403 - 64, 243 - 64, scale, kernel)
    assert (last.status, last.coverage) == ("ok", 1.0)
    assert np.abs(last.rgb.astype(int) - wanted.rgb).max() <= 2
