"""Tiles of slides whose colours say where they are: no tile may be shifted by half a level-0 pixel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from wsi_features.geometry import Size
from wsi_features.slides import Slide, open_slide
from wsi_features.tiles import TileScale, regular_grid, tile_scale
from wsi_features.tiles.pixels import tile_pixels

pytestmark = pytest.mark.golden

PERIOD = 96
"""Level-0 pixels after which the colours repeat: a shift shows as a turn of phase."""

EXACT_SIZES = {
    1.0: ((4001, 3001), None),
    2.0: ((4000, 3000), (2000, 1500)),
    4.0: ((4000, 3000), (1000, 750)),
    2.0005: ((4001, 8002), (2000, 4000)),
    3.999: ((3999, 7998), (1000, 2000)),
    4.001: ((4001, 8002), (1000, 2000)),
}
"""Level sizes whose ratio is the downsample exactly, along both axes."""


def wave(extent: int, downsample: float) -> np.ndarray:
    """The exact average of exp(2 pi i x / PERIOD) over each pixel of a level, complex (extent,)."""
    turn = 2j * np.pi / PERIOD
    edges = np.exp(turn * downsample * np.arange(extent + 1))
    return np.diff(edges) / (turn * downsample)


def level_pixels(size: tuple[int, int], downsample: float) -> np.ndarray:
    """Red and green hold the phase along x, blue the cosine along y; uint8 (h, w, 3)."""
    across, down = wave(size[0], downsample), wave(size[1], downsample)
    image = np.empty((size[1], size[0], 3))
    image[..., 0], image[..., 1] = across.real[None], across.imag[None]
    image[..., 2] = down.real[:, None]
    return np.rint(128 + 100 * image).astype(np.uint8)


def shift(values: np.ndarray, start: int, scale: TileScale) -> float:
    """By how many level-0 pixels a profile (size,) of the wave lies beside where it should."""
    centres = start + (np.arange(scale.size) + 0.5) * scale.span / scale.size
    expected = np.exp(2j * np.pi * centres / PERIOD)
    return float(np.angle((values * expected.conj()).sum()) * PERIOD / (2 * np.pi))


def shifts(slide: Slide, x: int, y: int, scale: TileScale) -> tuple[float, float]:
    tile = (tile_pixels(slide, x, y, scale).rgb.astype(float) - 128) / 100
    profile = tile.mean(axis=0)
    along_x = shift(profile[:, 0] + 1j * profile[:, 1], x, scale)
    cosine = tile[..., 2].mean(axis=1)
    down = np.arange(scale.size + 0.0)
    phase = 2 * np.pi * (y + (down + 0.5) * scale.span / scale.size) / PERIOD
    # Least squares of the cosine gives the phase along y without a second channel.
    (a, b), *_ = np.linalg.lstsq(np.stack([np.cos(phase), np.sin(phase)], axis=1), cosine, rcond=None)
    return along_x, float(np.arctan2(b, a) * PERIOD / (2 * np.pi))


@pytest.fixture(scope="module", params=EXACT_SIZES)
def coded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Slide, float]]:
    """An Aperio-like file whose second level has the given downsample, read by OpenSlide."""
    import tifffile

    fine, coarse = EXACT_SIZES[request.param]
    path = tmp_path_factory.mktemp("coded") / "coded.svs"
    about = f"Aperio Image Library v11.2.1\r\n{fine[0]}x{fine[1]} (256x256)|AppMag = 40|MPP = 0.2500"
    with tifffile.TiffWriter(path) as tiff:
        for level, size in enumerate([fine, *([coarse] if coarse else [])]):
            tiff.write(
                level_pixels(size, request.param if level else 1.0),
                tile=(256, 256),
                photometric="rgb",
                compression="zlib",
                description=about,
                subfiletype=int(level > 0),
                metadata=None,
            )
    with open_slide("coded", path) as slide:
        yield slide, request.param


@pytest.mark.parametrize("overlap", [0, 37])
def test_no_tile_of_the_slide_is_shifted(coded: tuple[Slide, float], overlap: int) -> None:
    slide, downsample = coded
    asked = 0.25 * max(downsample, 1.3)
    downsamples = tuple(level.downsample for level in slide.levels)
    scale = tile_scale("coded", downsamples, native=0.25, asked=asked, size=128, overlap=overlap)
    assert scale.level == len(slide.levels) - 1
    grid = regular_grid(Size(*EXACT_SIZES[downsample][0]), scale)
    found = np.array([shifts(slide, int(x), int(y), scale) for x, y in grid.origins[::7]])
    assert np.abs(found).max() < 0.25
    assert np.abs(found.mean(axis=0)).max() < 0.1
