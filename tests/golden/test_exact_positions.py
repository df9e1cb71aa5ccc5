"""Tiles of slides whose colours say where they are: no tile may be shifted by half a level-0 pixel."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pytest

from wsi_features.geometry import Region, Size
from wsi_features.slides import Slide
from wsi_features.slides.openslide_reader import OpenSlideReader
from wsi_features.slides.registration import registered
from wsi_features.slides.slide import Level, Pixels, SlideBase
from wsi_features.tiles import TileScale, regular_grid, tile_scale
from wsi_features.tiles.kernels import Interpolation
from wsi_features.tiles.pixels import tile_pixels

pytestmark = pytest.mark.golden

PERIOD = 96
"""Level-0 pixels after which red and green repeat: a shift shows as a turn of phase."""

Style = Literal["cut", "stretched"]


class Sizes(NamedTuple):
    """Of level 0 and one coarser level; `factor` is the whole number that a writer that cuts would shrink by."""

    fine: Size
    coarse: Size | None
    factor: int


ALIKE = {
    "1": Sizes(Size(2001, 1501), None, 1),
    "2": Sizes(Size(2000, 1500), Size(1000, 750), 2),
    "4": Sizes(Size(2800, 1600), Size(700, 400), 4),
}
"""Where a level that was cut and one that was stretched are the same."""

EITHER = {
    "2.001": Sizes(Size(2001, 1501), Size(1000, 750), 2),
    "4.004": Sizes(Size(2803, 2001), Size(700, 500), 4),
    "3.996": Sizes(Size(2797, 2002), Size(700, 501), 4),
}
"""Where the sizes allow both, and only the pixels tell."""

LARGE = {
    "2.0005": Sizes(Size(4001, 3001), Size(2000, 1500), 2),
    "2.0005 a row too many": Sizes(Size(4001, 8002), Size(2000, 4000), 2),
    "3.9997": Sizes(Size(13331, 9998), Size(3333, 2500), 4),
    "4.00009": Sizes(Size(32915, 20003), Size(8228, 5000), 4),
    "16.0003": Sizes(Size(100015, 60011), Size(6250, 3750), 16),
}
"""Larger than is nice as a file."""


def steps(sizes: Sizes, style: Style) -> tuple[float, float]:
    """Level-0 pixels per pixel of the coarser level, along x and y."""
    assert sizes.coarse is not None
    if style == "cut":
        return float(sizes.factor), float(sizes.factor)
    return sizes.fine.width / sizes.coarse.width, sizes.fine.height / sizes.coarse.height


def wave(first: int, count: int, step: float) -> np.ndarray:
    """The exact average of cos(2 pi x / PERIOD) over each of `count` pixels from `first` on."""
    turn = 2 * np.pi / PERIOD
    return np.diff(np.sin(turn * step * np.arange(first, first + count + 1))) / (turn * step)


def coded(region: Region, step: tuple[float, float], whole: Size) -> np.ndarray:
    """Red holds the phase along x, green along y, and blue rises with x + y; uint8 (h, w, 3)."""
    image = np.empty((region.height, region.width, 3))
    image[..., 0] = 128 + 100 * wave(region.x, region.width, step[0])
    image[..., 1] = (128 + 100 * wave(region.y, region.height, step[1]))[:, None]
    x = (region.x + np.arange(region.width) + 0.5) * step[0]
    y = (region.y + np.arange(region.height) + 0.5) * step[1]
    image[..., 2] = 255 * (x + y[:, None]) / (whole.width + whole.height)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


class CodedSlide(SlideBase):
    """Any size, made when it is read; it states the mean ratio of its sizes, as OpenSlide does."""

    reader = "coded"

    def __init__(self, sizes: Sizes, style: Style) -> None:
        self.levels = (Level(sizes.fine, 1.0),)
        self._steps = [(1.0, 1.0)]
        if sizes.coarse is not None:
            mean = (sizes.fine.width / sizes.coarse.width + sizes.fine.height / sizes.coarse.height) / 2
            self.levels += (Level(sizes.coarse, mean),)
            self._steps.append(steps(sizes, style))

    def read(self, region: Region, level: int) -> Pixels:
        assert region.inside(self.levels[level].size)
        return Pixels(coded(region, self._steps[level], self.levels[0].size), 1.0, "ok")

    def reopened(self) -> Slide:
        return self


@pytest.fixture(scope="module")
def coded_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sizes, Style], OpenSlideReader]:
    """Writes an Aperio-like file of lossless tiles, once, and opens it with OpenSlide."""

    @cache
    def written(sizes: Sizes, style: Style) -> Path:
        path = tmp_path_factory.mktemp("coded") / "coded.svs"
        write_coded(path, sizes, style)
        return path

    return lambda sizes, style: OpenSlideReader("coded", str(written(sizes, style)))


def write_coded(path: Path, sizes: Sizes, style: Style) -> None:
    import tifffile

    about = f"Aperio Image Library v11.2.1\r\n{sizes.fine.width}x{sizes.fine.height} (256x256)|AppMag = 40|MPP = 0.2500"
    slide = CodedSlide(sizes, style)
    with tifffile.TiffWriter(path) as tiff:
        for number, level in enumerate(slide.levels):
            tiff.write(
                slide.read(Region(0, 0, level.size.width, level.size.height), number).rgb,
                tile=(256, 256),
                photometric="rgb",
                compression="zlib",
                description=about,
                subfiletype=int(number > 0),
                metadata=None,
            )


def scale_of(slide: Slide, factor: int, *, overlap: int = 0) -> TileScale:
    """Tiles of 128 pixels, reduced a little from the coarsest level, with the downsamples that were measured."""
    fits = registered(slide)
    found = [(fit.downsample_x, fit.downsample_y) for fit in fits]
    scale = tile_scale("coded", found, native=0.25, asked=0.25 * factor * 1.3, size=128, overlap=overlap)
    assert scale.level == len(slide.levels) - 1
    return scale


def shift(values: np.ndarray, start: int, scale: TileScale) -> float:
    """By how many level-0 pixels a profile (size,) of the wave lies beside where it should."""
    phase = 2 * np.pi * (start + (np.arange(scale.size) + 0.5) * scale.span / scale.size) / PERIOD
    basis = np.stack([np.cos(phase), np.sin(phase), np.ones(scale.size)], axis=1)
    (a, b, _), *_ = np.linalg.lstsq(basis, values, rcond=None)
    return float(np.arctan2(b, a) * PERIOD / (2 * np.pi))


def worst_shift(slide: Slide, scale: TileScale, bounds: Region | None = None, kernel: Interpolation = "area") -> float:
    """Over tiles of the whole grid, at most 30 of them, with its first and last."""
    whole = slide.levels[0].size
    grid = regular_grid(whole, scale, bounds)
    rows = np.unique(np.linspace(0, len(grid) - 1, 30).astype(int))
    found = []
    for x, y in grid.origins[rows].tolist():
        tile = tile_pixels(slide, x, y, scale, kernel).rgb.astype(float)
        sum_of_both = tile[..., 2].mean() / 255 * (whole.width + whole.height)
        assert abs(sum_of_both - (x + y + scale.span)) < PERIOD / 4  # not a whole period beside
        found += [shift(tile[..., 0].mean(axis=0), x, scale), shift(tile[..., 1].mean(axis=1), y, scale)]
    return float(np.abs(found).max())


@pytest.mark.parametrize("overlap", [0, 37])
@pytest.mark.parametrize("name", ALIKE)
def test_no_tile_of_a_file_is_shifted(
    name: str, overlap: int, coded_file: Callable[[Sizes, Style], OpenSlideReader]
) -> None:
    with coded_file(ALIKE[name], "cut") as slide:
        assert worst_shift(slide, scale_of(slide, ALIKE[name].factor, overlap=overlap)) < 0.1


@pytest.mark.parametrize("style", ["cut", "stretched"])
@pytest.mark.parametrize("name", EITHER)
def test_no_tile_of_a_file_is_shifted_whichever_way_its_level_was_made(
    name: str, style: Style, coded_file: Callable[[Sizes, Style], OpenSlideReader]
) -> None:
    with coded_file(EITHER[name], style) as slide:
        assert worst_shift(slide, scale_of(slide, EITHER[name].factor, overlap=37)) < 0.1


@pytest.mark.parametrize("overlap", [0, 37])
@pytest.mark.parametrize("style", ["cut", "stretched"])
@pytest.mark.parametrize("name", LARGE)
def test_no_tile_is_shifted_by_a_reader_of_whole_pixels(name: str, style: Style, overlap: int) -> None:
    sizes = LARGE[name]
    slide = CodedSlide(sizes, style)
    assert worst_shift(slide, scale_of(slide, sizes.factor, overlap=overlap)) < 0.1


@pytest.mark.parametrize("style", ["cut", "stretched"])
@pytest.mark.parametrize("name", ["4.004", "3.996"])
def test_no_tile_is_shifted_where_the_grid_starts_at_the_bounds(
    name: str, style: Style, coded_file: Callable[[Sizes, Style], OpenSlideReader]
) -> None:
    bounds = Region(517, 301, 2111, 1555)
    with coded_file(EITHER[name], style) as slide:
        scale = scale_of(slide, 4)
        assert regular_grid(slide.levels[0].size, scale, bounds).origins[0].tolist() == [517, 301]
        assert worst_shift(slide, scale, bounds) < 0.1


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("style", ["cut", "stretched"])
def test_no_kernel_shifts_a_tile(
    kernel: Interpolation, style: Style, coded_file: Callable[[Sizes, Style], OpenSlideReader]
) -> None:
    with coded_file(EITHER["4.004"], style) as slide:
        assert worst_shift(slide, scale_of(slide, 4, overlap=37), kernel=kernel) < 0.1


@pytest.mark.parametrize("kernel", ["area", "bilinear", "bicubic", "lanczos"])
def test_no_kernel_shifts_an_enlarged_tile(kernel: Interpolation) -> None:
    slide = CodedSlide(ALIKE["1"], "cut")
    scale = tile_scale("coded", (1.0,), native=0.5, asked=0.37, size=128, upsample=True)
    assert scale.span < 128
    assert worst_shift(slide, scale, kernel=kernel) < 0.1


def test_the_ratio_that_openslide_states_would_shift_tiles() -> None:
    slide = CodedSlide(LARGE["4.00009"], "cut")
    stated = tile_scale("coded", [level.downsample for level in slide.levels], native=0.25, asked=1.3, size=128)
    assert worst_shift(slide, stated) > 0.5
