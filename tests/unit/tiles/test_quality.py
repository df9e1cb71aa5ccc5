"""Quality columns against plain slow twins, and the same for every batch, thread and size of tile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import SlidePx
from wsi_features.tiles import TileScale
from wsi_features.tiles.quality import COLUMNS, TileOptics, colour, focus, measured_columns, spots, tile_optics

NATIVE = TileOptics(0.5, one_to_one=True)


def tiles(count: int = 3, height: int = 96, width: int = 128, seed: int = 5) -> np.ndarray:
    """Stained-looking noise at several scales, uint8 (count, height, width, 3)."""
    rng = np.random.default_rng(seed)
    density = sum(
        np.kron(rng.random((count, height // k, width // k, 2)), np.ones((1, k, k, 1))) for k in (1, 4, 16)
    ) * (0.9, 0.5)  # fmt: skip
    return np.rint(250 * np.exp(-density @ np.array([colour.HAEMATOXYLIN, colour.EOSIN]))).astype(np.uint8)


def column(name: str, pixels: np.ndarray, optics: TileOptics = NATIVE) -> np.ndarray:
    return measured_columns(pixels, optics)[:, COLUMNS.index(name)]


def slow_halved(pixels: np.ndarray) -> np.ndarray:
    height, width = (length // 2 * 2 for length in pixels.shape[:2])
    wide = pixels[:height, :width].astype(int)
    return (wide[::2, ::2] + wide[1::2, ::2] + wide[::2, 1::2] + wide[1::2, 1::2] + 2) // 4


@pytest.mark.parametrize("shape", [(10, 16, 3), (11, 17, 3), (9, 14)])
def test_halving_is_the_rounded_mean_of_four(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    both = np.stack([pixels, pixels[::-1]])
    for tile, found in zip(both, focus.halved(both, 2), strict=True):
        assert np.array_equal(found, slow_halved(slow_halved(tile)))


@pytest.mark.parametrize("height", [96, 95, 94, 93, 87, 4, 3])
def test_the_laplacian_is_that_of_its_definition(height: int) -> None:
    grey = tiles()[:, :height, :, 1]
    found = focus.laplacian_variance(focus.laplacian_sums(grey))
    for tile, variance in zip(grey.astype(float), found, strict=True):
        beside, over = tile[1:-1, :-2] + tile[1:-1, 2:], tile[:-2, 1:-1] + tile[2:, 1:-1]
        assert variance == pytest.approx((beside + over - 4 * tile[1:-1, 1:-1])[::7].var(), rel=1e-9)


def slow_contrast(grey: np.ndarray, lag: int) -> float:
    wide = grey.astype(float)
    across, down = wide[:, lag:] - wide[:, :-lag], wide[lag:] - wide[:-lag]
    return float(((across**2).sum() + (down**2).sum()) / (across.size + down.size))


@pytest.mark.parametrize(("mpp", "times"), [(0.25, 1), (0.5, 0), (0.2431, 1), (1.0, 0)])
def test_sharpness_is_that_of_its_definition(mpp: float, times: int) -> None:
    grey = tiles()[:, :, :, 1]
    for tile, found in zip(grey, focus.sharpness(focus.contrasts(grey, mpp)), strict=True):
        small = slow_halved(tile) if times else tile
        assert found == pytest.approx(slow_contrast(small, 1) / slow_contrast(small, 8), rel=1e-12)


def slow_blockiness(grey: np.ndarray) -> float:
    ratios = []
    for lines in (grey[::2].astype(int), grey.T.astype(int)):
        steps = np.abs(np.diff(lines, axis=1)).sum(axis=0)
        phases = np.array([steps[: len(steps) // 8 * 8][phase::8].sum() for phase in range(8)])
        ratios.append(phases.max() / np.delete(phases, phases.argmax()).mean())
    return float(np.mean(ratios))


@pytest.mark.parametrize(("height", "width"), [(96, 128), (91, 128), (96, 125), (33, 32)])
def test_blockiness_is_that_of_its_definition(height: int, width: int) -> None:
    grey = tiles()[:, :height, :width, 0]
    for tile, found in zip(grey, focus.blockiness(*focus.block_steps(grey)), strict=True):
        assert found == pytest.approx(slow_blockiness(tile), rel=1e-12)


def slow_spots(red: np.ndarray) -> np.ndarray:
    """Inside the border, where OpenCV invents no pixels."""
    nine = np.zeros(red.shape, int)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            nine += np.roll(red.astype(int), (down, right), (0, 1))
    found = np.zeros(red.shape, np.bool_)
    for y in range(4, red.shape[0] - 4):
        for x in range(4, red.shape[1] - 4):
            here, near = nine[y, x], nine[y - 1 : y + 2, x - 1 : x + 2]
            bright = nine[y - 3 : y + 4, x - 3 : x + 4].max()
            found[y, x] = here == near.min() and here <= 9 * 178 and here <= 0.8 * bright
    return found


def test_spots_are_those_of_their_definition() -> None:
    pixels = tiles(2, 32, 48)
    found = np.zeros(pixels.shape[:3], np.bool_)
    found.reshape(-1)[spots.spots(pixels)] = True
    for tile, places in zip(pixels, found, strict=True):
        inside = np.s_[4:-4, 4:-4]
        assert places[inside].sum() > 3
        assert np.array_equal(places[inside], slow_spots(tile[..., 0])[inside])


def test_shares_count_the_kinds_of_every_pixel() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 20, 30, 3), np.uint8)
    shares = colour.kind_shares(colour.colour_kinds(pixels))
    for tile, found in zip(pixels, shares, strict=True):
        kinds = colour.kinds_of(colour.densities((tile >> 2) * 4 + 2))
        inks = kinds["blue"] | kinds["green"] | kinds["red"] | kinds["black"]
        assert found.tolist() == [*(kinds[name].mean() for name in colour.KINDS), inks.mean()]


def test_densities_of_known_concentrations_are_found() -> None:
    vectors = np.array([colour.HAEMATOXYLIN, colour.EOSIN])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    wanted = np.array([(0.2, 0.1), (0.8, 0.3), (1.5, 0.9), (0.1, 1.2)])
    flat = np.rint(240 * np.exp(-wanted @ vectors)).astype(np.uint8)
    pixels = np.broadcast_to(flat[:, None, None], (4, 64, 96, 3)).copy()
    np.testing.assert_allclose(column("haematoxylin_od", pixels), wanted[:, 0], atol=0.02)
    np.testing.assert_allclose(column("eosin_od", pixels), wanted[:, 1], atol=0.02)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(16, 70), width=st.integers(16, 70), mpp=st.floats(0.05, 20), one=st.booleans(), seed=st.integers(0, 9)
)  # fmt: skip
def test_a_tile_gives_the_same_numbers_in_every_batch(
    height: int, width: int, mpp: float, one: bool, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (3, height, width, 3), np.uint8)
    together = measured_columns(pixels, TileOptics(mpp, one))
    alone = [measured_columns(pixels[i : i + 1].copy(), TileOptics(mpp, one)) for i in range(3)]
    assert together.shape == (3, len(COLUMNS))
    assert np.array_equal(together, np.concatenate(alone), equal_nan=True)


def test_more_tiles_than_are_judged_at_once_give_the_same_numbers() -> None:
    pixels = tiles(150, 32, 48)
    assert len(pixels) > spots.MOST_TILES
    few = [measured_columns(pixels[i : i + 7], NATIVE) for i in range(0, 150, 7)]
    assert np.array_equal(measured_columns(pixels, NATIVE), np.concatenate(few), equal_nan=True)


def test_threads_give_the_same_numbers() -> None:
    pixels = tiles(24)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda i: measured_columns(pixels[i : i + 3], NATIVE), range(0, 24, 3)))
    assert np.array_equal(np.concatenate(found), measured_columns(pixels, NATIVE), equal_nan=True)


def test_what_cannot_be_told_is_nan_and_nothing_else_is() -> None:
    resampled = measured_columns(tiles(), TileOptics(0.5, one_to_one=False))
    assert [name for name, values in zip(COLUMNS, resampled.T, strict=True) if np.isnan(values).any()] == ["blockiness"]
    coarse = measured_columns(tiles(), TileOptics(4.0, one_to_one=False))
    assert np.isnan(coarse[:, COLUMNS.index("nuclei_per_mm2")]).all()
    flat = np.full((1, 64, 96, 3), 200, np.uint8)
    assert np.isnan(column("sharpness", flat)).all()
    assert measured_columns(tiles()[:0], NATIVE).shape == (0, len(COLUMNS))


def test_only_tiles_read_one_to_one_keep_the_blocks_of_jpeg() -> None:
    span = SlidePx(256)
    assert tile_optics(TileScale(0.5, 0.5, 256, span, span, 0, 1.0, 1.0)) == NATIVE
    assert not tile_optics(TileScale(0.25, 0.5, 256, SlidePx(512), SlidePx(512), 0, 1.0, 1.0)).one_to_one
