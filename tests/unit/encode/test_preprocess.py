from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode, v2

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.preprocess import Preprocess

MEAN, STD = (0.7, 0.5, 0.6), (0.2, 0.25, 0.3)

Prepared = Callable[..., torch.Tensor]


@pytest.fixture
def prepared(tiny_card: Callable[..., EncoderCard]) -> Prepared:
    """Pixels as the card with these changes has them, on the CPU."""

    def made(pixels: torch.Tensor, **changes: Any) -> torch.Tensor:
        given = tiny_card(**{"mean": MEAN, "std": STD} | changes)
        return Preprocess.of(given, torch.device("cpu"))(pixels)

    return made


def noise(height: int, width: int, count: int = 3) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(48, 48), (40, 56), (33, 32)])
def test_a_larger_tile_is_resized_as_torchvision_does_with_antialiasing(
    prepared: Prepared, mode: str, size: tuple[int, int]
) -> None:
    pixels = noise(*size)
    reference = v2.functional.resize(
        pixels.permute(0, 3, 1, 2).float() / 255, [32, 32], interpolation=InterpolationMode(mode), antialias=True
    )
    reference = v2.functional.normalize(reference.clamp(0, 1), list(MEAN), list(STD))
    torch.testing.assert_close(prepared(pixels, interpolation=mode), reference, atol=1e-5, rtol=0)


def test_a_tile_of_the_input_s_size_is_only_normalised(prepared: Prepared) -> None:
    pixels = noise(32, 32)
    expected = (pixels.numpy() / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(prepared(pixels).numpy(), expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_columns_stay_columns(prepared: Prepared) -> None:
    pixels = torch.zeros(1, 48, 48, 3, dtype=torch.uint8)
    pixels[:, :, 24:, 1] = 255  # the right half is green
    out = prepared(pixels)[0] * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    assert out[1, :, 31].min() == pytest.approx(1, abs=1e-5)
    assert out[1, :, 0].max() == pytest.approx(0, abs=1e-5)
    assert out[[0, 2]].abs().max() == pytest.approx(0, abs=1e-5)


def test_bicubic_overshoot_does_not_leave_the_range_of_an_image(prepared: Prepared) -> None:
    pixels = torch.zeros(1, 48, 48, 3, dtype=torch.uint8)
    pixels[:, 20:] = 255
    out = prepared(pixels, interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1))
    assert (out.min().item(), out.max().item()) == (0.0, 1.0)


def test_the_pixels_given_are_left_as_they_are(prepared: Prepared) -> None:
    pixels = noise(48, 48)
    before = pixels.clone()
    prepared(pixels)
    assert torch.equal(pixels, before)
