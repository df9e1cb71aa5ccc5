"""The whole descriptor: names, bounds, repeatability, and what it notices or ignores."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.encode.histo_texture import DIM, FEATURE_NAMES, tile_descriptor
from wsi_features.encode.histo_texture.descriptor import BOUND

Tile = npt.NDArray[np.uint8]
LAYOUT = np.array([name.startswith("layout") for name in FEATURE_NAMES])


def textured(seed: int, height: int = 192, width: int = 256) -> Tile:
    """Purple dots of about 12 px on a pink ground, with the grain of a camera."""
    rng = np.random.default_rng(seed)
    dots = cv2.GaussianBlur(rng.integers(0, 256, (height, width), dtype=np.uint8), (0, 0), 4) > 131
    colours = np.array([[225, 160, 190], [110, 70, 150]])
    grain = rng.integers(-15, 16, (height, width, 3))
    return np.asarray(np.clip(colours[dots.astype(int)] + grain, 0, 255), dtype=np.uint8)


def centred_cosine(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Cosine after taking away the mean of twelve other textured tiles and of plain glass."""
    others = [tile_descriptor(textured(seed)) for seed in range(100, 112)]
    mean = np.mean([*others, tile_descriptor(np.full((192, 256, 3), 245, np.uint8))], axis=0)
    return float((a - mean) @ (b - mean) / np.linalg.norm(a - mean) / np.linalg.norm(b - mean))


def test_every_dimension_has_its_own_name() -> None:
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES) == DIM == len(tile_descriptor(textured(1)))
    assert DIM <= 256


PLAIN = {"white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0), "purple": (90, 40, 140)}


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_tile_has_finite_bounded_features(name: str) -> None:
    features = tile_descriptor(np.full((96, 160, 3), PLAIN[name], np.uint8))
    assert np.isfinite(features).all()
    assert np.abs(features).max() <= BOUND


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(64, 131),
    width=st.integers(64, 131),
    block=st.sampled_from([1, 2, 7, 32]),
    top=st.sampled_from([1, 2, 256]),
)
def test_any_pixels_give_finite_bounded_features(seed: int, height: int, width: int, block: int, top: int) -> None:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, top, (-(-height // block), -(-width // block), 3), dtype=np.uint16)
    tile = (np.kron(coarse, np.ones((block, block, 1)))[:height, :width] * (255 / max(top - 1, 1))).astype(np.uint8)
    features = tile_descriptor(tile)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert np.abs(features).max() <= BOUND


@pytest.mark.parametrize("size", [64, 65, 224, 512])
def test_tiles_of_any_size_from_64_px_are_described(size: int) -> None:
    assert np.isfinite(tile_descriptor(textured(1, size, size))).all()


def test_equal_pixels_give_equal_bytes() -> None:
    tile = textured(2)
    inside_a_larger_one = np.zeros((256, 300, 3), np.uint8)
    inside_a_larger_one[10:202, 20:276] = tile
    view = inside_a_larger_one[10:202, 20:276]
    assert tile_descriptor(tile).tobytes() == tile_descriptor(view).tobytes() == tile_descriptor(tile).tobytes()


def test_the_tile_is_left_as_it_was() -> None:
    tile = textured(2)
    before = tile.copy()
    tile_descriptor(tile)
    assert np.array_equal(tile, before)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_only_the_layout_depends_on_quarter_turns(turns: int) -> None:
    upright, turned = (tile_descriptor(tile) for tile in (textured(3), np.rot90(textured(3), turns)))
    assert np.abs(upright - turned)[~LAYOUT].max() < 1e-4
    grids = [features[LAYOUT].reshape(2, 4, 4) for features in (upright, turned)]
    np.testing.assert_allclose(np.rot90(grids[0], turns, axes=(1, 2)), grids[1], atol=1e-3)


def test_the_layout_tells_a_tile_from_its_mirror_image() -> None:
    mirrored = tile_descriptor(textured(3)[:, ::-1])
    assert np.abs(tile_descriptor(textured(3)) - mirrored)[LAYOUT].max() > 0.1


def test_swapped_colour_channels_are_seen() -> None:
    assert centred_cosine(tile_descriptor(textured(4)), tile_descriptor(textured(4)[..., ::-1])) < 0.9


@pytest.mark.parametrize(("down", "right"), [(0, 1), (1, 0)])
def test_a_shift_by_one_pixel_is_seen(down: int, right: int) -> None:
    large = textured(5, 257, 257)
    first, second = large[:256, :256], large[down : down + 256, right : right + 256]
    assert centred_cosine(tile_descriptor(first), tile_descriptor(second)) < 0.998


def test_neither_importing_nor_describing_loads_torch() -> None:
    code = (
        "import sys; import wsi_features.encode.histo_texture as h; assert 'cv2' not in sys.modules; import numpy as np;"
        "h.tile_descriptor(np.zeros((64, 80, 3), np.uint8)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
