"""From tile bytes to rows, against a few lines with each library's own classes and image transforms.

Weights are random; files are as the libraries write them, so the cards' key changes are part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import pytest
import timm
import torch
import transformers
from PIL import Image
from torch import nn
from torchvision import models
from torchvision.transforms import v2

from wsi_features.encode.build import build
from wsi_features.encode.card import EncoderCard
from wsi_features.encode.registry import card_named
from wsi_features.tiles.grid import TileBatch

pytestmark = pytest.mark.golden
IMAGENET = v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NUMBERS = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
SHAPE = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4}
Rows = Callable[[list[Image.Image]], torch.Tensor]


def filled(network: Any) -> Any:
    """Random numbers of the size that training leaves."""
    generator = torch.Generator().manual_seed(5)
    for name, tensor in network.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif tensor.ndim > 1:
            tensor.normal_(std=tensor[0].numel() ** -0.5, generator=generator)
        elif tensor.is_floating_point():
            tensor.normal_(std=0.2, generator=generator)
            tensor.add_(1.0 if name.endswith("weight") else 0.0)
    return network.eval().requires_grad_(requires_grad=False)


def phikon(folder: Path) -> tuple[EncoderCard, Path, Rows]:
    config = transformers.ViTConfig(intermediate_size=192, **SHAPE)
    model = filled(transformers.ViTModel(config))
    model.save_pretrained(folder)
    processor = transformers.ViTImageProcessor(size={"height": 224, "width": 224}, image_mean=IMAGENET.mean, image_std=IMAGENET.std)  # fmt: skip
    card = changed("phikon", SHAPE | {"intermediate_size": 192}, dim=96)
    return (
        card,
        folder / "model.safetensors",
        lambda tiles: model(**processor(tiles, return_tensors="pt")).last_hidden_state[:, 0],
    )


def midnight(folder: Path) -> tuple[EncoderCard, Path, Rows]:
    config = transformers.Dinov2Config(patch_size=14, image_size=518, use_swiglu_ffn=True, **SHAPE)
    model = filled(transformers.Dinov2Model(config))
    model.save_pretrained(folder)
    transform = v2.Compose([v2.Resize(224), v2.CenterCrop(224), NUMBERS, v2.Normalize((0.5,) * 3, (0.5,) * 3)])

    def rows(tiles: list[Image.Image]) -> torch.Tensor:
        tokens = model(torch.stack([transform(tile) for tile in tiles])).last_hidden_state
        return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1)

    return changed("midnight_12k:cls+mean", SHAPE, dim=192), folder / "model.safetensors", rows


def quiltnet(folder: Path) -> tuple[EncoderCard, Path, Rows]:
    vision = {"image_size": 224, "layers": 3, "width": 96, "patch_size": 32, "head_width": 24}
    model = filled(open_clip.CLIP(512, vision, {"width": 16, "heads": 2, "layers": 1, "vocab_size": 16}))
    transform = open_clip.image_transform(224, is_train=False)
    torch.save(model.state_dict(), folder / "weights.pt")
    card = changed("quiltnet_b32", {"vision": {key: vision[key] for key in ("layers", "width", "head_width")}})
    return (
        card,
        folder / "weights.pt",
        lambda tiles: model.encode_image(torch.stack([transform(tile) for tile in tiles])),
    )


def keep(folder: Path) -> tuple[EncoderCard, Path, Rows]:
    shape = {"depth": 3, "embed_dim": 96, "num_heads": 4}
    visual = filled(timm.create_model("vit_large_patch16_224", num_classes=0, init_values=1e-5, **shape))
    head = filled(nn.Sequential(nn.Linear(96, 64), nn.GELU(), nn.Linear(64, 64)))
    named = {"visual": visual.state_dict(), "visual_head": head.state_dict(), "text": {"pooler.bias": torch.zeros(3)}}
    state = {
        f"{part}.{key}".replace(".gamma", ".weight"): v for part, inside in named.items() for key, v in inside.items()
    }
    torch.save(state, folder / "weights.pt")
    transform = v2.Compose([v2.Resize(224, v2.InterpolationMode.BICUBIC), v2.CenterCrop(224), NUMBERS, IMAGENET])

    def rows(tiles: list[Image.Image]) -> torch.Tensor:
        return nn.functional.normalize(head(visual(torch.stack([transform(tile) for tile in tiles]))), dim=-1)

    return changed("keep", shape | {"width": 64}, dim=64), folder / "weights.pt", rows


def retccl(folder: Path) -> tuple[EncoderCard, Path, Rows]:
    model = filled(models.resnet50())
    torch.save(model.state_dict(), folder / "weights.pt")
    body = nn.Sequential(*list(model.children())[:-1], nn.Flatten())
    transform = v2.Compose([v2.Resize(256), NUMBERS, IMAGENET])
    return (
        card_named("retccl"),
        folder / "weights.pt",
        lambda tiles: body(torch.stack([transform(tile) for tile in tiles])),
    )


def changed(name: str, arguments: dict[str, Any], **fields: Any) -> EncoderCard:
    card = card_named(name)
    smaller = {"arguments": card.arguments | arguments, "parameters": None, "precision": "fp32"}
    return EncoderCard.model_validate(card.model_dump() | smaller | fields)


def tiles(count: int, side: int) -> npt.NDArray[np.uint8]:
    """Blobs of several sizes in the colours of stained tissue, brighter towards the right."""
    rng = np.random.default_rng(7)
    made = []
    for _ in range(count):
        layers = [
            Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((side, side), 3) for n in (5, 20, 70)
        ]
        mixed = sum(np.asarray(layer, np.float32) for layer in layers) / 3 * (0.7, 0.5, 0.65) + (60, 30, 55)
        made.append(mixed + np.linspace(0, 30, side).reshape(1, side, 1))
    return np.stack(made).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("made", [phikon, midnight, quiltnet, keep, retccl])
def test_rows_of_tile_bytes_are_those_of_an_independent_script(
    made: Callable[[Path], tuple[EncoderCard, Path, Rows]], tmp_path: Path
) -> None:
    card, weights, script = made(tmp_path)
    pixels = tiles(5, 300)
    with torch.inference_mode():
        expected = script([Image.fromarray(tile) for tile in pixels])
    encoder = build(card, weights=weights, device="cpu", workers=2)
    try:
        found = torch.from_numpy(encoder.submit(TileBatch(pixels, np.arange(5), np.ones(5, np.bool_))).rows())
    finally:
        encoder.close()
    assert torch.cosine_similarity(found, expected).min() >= 0.9999
    # Much of a row is the same for every tile, whatever was done to it: compared is what is not.
    mean = expected.mean(0)
    assert torch.cosine_similarity(found - mean, expected - mean).min() >= 0.99
