"""The input transform against torchvision's on PIL images, which networks were trained with, and on tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.preprocess import Preprocess

MEAN, STD = (0.7, 0.5, 0.6), (0.2, 0.25, 0.3)
ROUNDING = 2e-6
"""Of fp32: a grey level times a number plus a number, where torchvision divides, subtracts and divides."""

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


def reference(resize: int, crop: int, mode: str) -> v2.Compose:
    """The transform that papers state."""
    return v2.Compose(
        [
            v2.Resize((resize, resize), interpolation=InterpolationMode(mode), antialias=True),
            v2.CenterCrop(crop),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("resize", [None, 36, 41])
@pytest.mark.parametrize("size", [(48, 48), (40, 56), (33, 32), (36, 36)])
def test_a_tile_is_prepared_as_torchvision_prepares_a_pil_image(
    prepared: Prepared, mode: str, resize: int | None, size: tuple[int, int]
) -> None:
    pixels = noise(*size)
    by_torchvision = reference(resize or 32, 32, mode)
    wanted = torch.stack([by_torchvision(Image.fromarray(tile)) for tile in pixels.numpy()])
    found = prepared(pixels, interpolation=mode, resize_px=resize)
    torch.testing.assert_close(found, wanted, atol=ROUNDING, rtol=0)


@pytest.mark.parametrize(("mode", "levels"), [("bilinear", 1), ("bicubic", 2)])
def test_torchvision_s_way_with_tensors_is_within_two_grey_levels(prepared: Prepared, mode: str, levels: int) -> None:
    pixels = noise(48, 48)
    wanted = reference(32, 32, mode)(pixels.permute(0, 3, 1, 2).contiguous())
    apart = (prepared(pixels, interpolation=mode) - wanted).abs() * torch.tensor(STD).view(1, 3, 1, 1) * 255
    assert apart.max() < levels + 0.01
    assert (apart > 0.01).float().mean() < 0.02


@pytest.mark.parametrize("size", [(48, 48), (40, 56), (32, 32)])
def test_whole_numbers_in_float32_give_the_same_as_bytes(prepared: Prepared, size: tuple[int, int]) -> None:
    pixels = noise(*size)
    assert torch.equal(prepared(pixels.float(), resize_px=36), prepared(pixels, resize_px=36))


def test_a_tile_of_the_input_s_size_is_only_normalised(prepared: Prepared) -> None:
    pixels = noise(32, 32)
    expected = (pixels.numpy() / 255 - np.array(MEAN)) / np.array(STD)
    np.testing.assert_allclose(prepared(pixels).numpy(), expected.transpose(0, 3, 1, 2), atol=ROUNDING)


def test_a_tile_of_the_size_before_the_cut_is_only_cut_and_normalised(prepared: Prepared) -> None:
    pixels = noise(40, 40)
    expected = (pixels.numpy()[:, 4:36, 4:36] / 255 - np.array(MEAN)) / np.array(STD)
    found = prepared(pixels, resize_px=40)
    np.testing.assert_allclose(found.numpy(), expected.transpose(0, 3, 1, 2), atol=ROUNDING)


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
    for size in (48, 32):
        pixels = noise(size, size)
        before = pixels.clone()
        prepared(pixels)
        prepared(pixels.float())
        assert torch.equal(pixels, before)
