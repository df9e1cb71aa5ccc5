"""The resize against Pillow itself, to the bit, and the two ways to it against each other."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from wsi_features.encode.resize import Interpolation, device_taps, middle_start, pillow_resampled, resampled, taps

CPU = torch.device("cpu")
PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
KERNELS = st.sampled_from(get_args(Interpolation))


def noise(height: int, width: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    """Grey levels of which many are black or white, where kernels overshoot."""
    values = np.random.default_rng(seed).normal(128, 140, (2, height, width, 3))
    return values.clip(0, 255).astype(np.uint8)


def ours(tiles: npt.NDArray[np.uint8], wanted: tuple[int, int], kernel: Interpolation) -> npt.NDArray[np.uint8]:
    """To `wanted` height and width by whole numbers."""
    (height, width), (down, across) = tiles.shape[1:3], wanted
    planes = torch.from_numpy(tiles).permute(0, 3, 1, 2).contiguous()
    lines = device_taps(width, across, across, kernel, CPU), device_taps(height, down, down, kernel, CPU)
    return resampled(planes, *lines).permute(0, 2, 3, 1).numpy()


def pillow(tiles: npt.NDArray[np.uint8], wanted: tuple[int, int], kernel: Interpolation) -> npt.NDArray[np.uint8]:
    return np.stack([np.asarray(Image.fromarray(tile).resize(wanted[::-1], PILLOW[kernel])) for tile in tiles])


@pytest.mark.parametrize("kernel", get_args(Interpolation))
@pytest.mark.parametrize("sizes", [(256, 224), (512, 448), (512, 224), (224, 248), (300, 224), (1000, 256)])
def test_the_sizes_of_real_encoders_are_resized_as_by_pillow_to_the_bit(
    sizes: tuple[int, int], kernel: Interpolation
) -> None:
    before, after = sizes
    tiles = noise(before, before)
    assert np.array_equal(ours(tiles, (after, after), kernel), pillow(tiles, (after, after), kernel))


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), KERNELS, st.integers(0, 9))
def test_any_size_becomes_any_other_as_by_pillow(
    height: int, width: int, down: int, across: int, kernel: Interpolation, seed: int
) -> None:
    tiles = noise(height, width, seed)
    assert np.array_equal(ours(tiles, (down, across), kernel), pillow(tiles, (down, across), kernel))


@pytest.mark.parametrize("kernel", get_args(Interpolation))
def test_only_the_middle_is_computed_and_it_is_the_same(kernel: Interpolation) -> None:
    tiles = noise(60, 52)
    planes = torch.from_numpy(tiles).permute(0, 3, 1, 2).contiguous()
    middle = resampled(planes, device_taps(52, 40, 31, kernel, CPU), device_taps(60, 40, 31, kernel, CPU))
    whole = pillow(tiles, (40, 40), kernel)
    assert np.array_equal(middle.permute(0, 2, 3, 1).numpy(), whole[:, 4:35, 4:35])
    assert np.array_equal(pillow_resampled(tiles, 40, 31, kernel), whole[:, 4:35, 4:35])


@pytest.mark.parametrize(("length", "middle"), [(248, 224), (256, 224), (41, 32), (39, 32), (32, 32), (43, 32)])
def test_the_middle_begins_where_torchvision_s_does(length: int, middle: int) -> None:
    from torchvision.transforms import v2

    line = torch.arange(length).expand(1, length, length)
    assert v2.functional.center_crop(line, [middle, middle])[0, 0, 0] == middle_start(length, middle)


@given(st.integers(1, 600), st.integers(1, 600), KERNELS)
def test_weights_of_a_pixel_sum_to_one_and_name_pixels_that_exist(
    length: int, wanted: int, kernel: Interpolation
) -> None:
    pixels, weights = taps(length, wanted, kernel)
    assert np.abs(weights.sum(0) / 2**22 - 1).max() < len(weights) / 2**22
    assert pixels.min() >= 0
    assert pixels.max() < length


def test_the_sums_stay_within_32_bits() -> None:
    _, weights = taps(1000, 224, "bicubic")
    assert 255 * np.abs(weights.astype(np.int64)).sum(0).max() + 2**21 < 2**31
