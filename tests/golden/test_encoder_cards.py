"""From the tile's bytes to the stored row by shipped cards, against a few lines of OpenSlide, Pillow and timm.

The networks have two blocks and random weights; everything else is as the card says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import timm
import torch
import yaml
from PIL import Image
from timm.layers.mlp import SwiGLUPacked
from timm.models.vision_transformer import checkpoint_filter_fn

import wsi_features
from wsi_features.encode.registry import card_named
from wsi_features.slides.synthetic import SlideSpec, write_slide

pytestmark = pytest.mark.golden

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LUNIT = ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))


@dataclass(frozen=True)
class Script:
    """What the authors of an encoder say of it, in plain words for timm, Pillow and torch."""

    model: str
    arguments: dict[str, Any]
    tile_px: int
    filter: Image.Resampling
    statistics: tuple[tuple[float, ...], tuple[float, ...]]
    recipe: str
    px: int = 224
    native: bool = False


VIT = {"depth": 2, "init_values": 1.0, "img_size": 224}
SCRIPTS = {
    "uni": Script("vit_large_patch16_224", VIT, 256, Image.Resampling.BILINEAR, IMAGENET, "class token"),
    "virchow2:cls+mean": Script(
        "vit_huge_patch14_224",
        VIT | {"reg_tokens": 4, "mlp_ratio": 5.3375, "mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU},
        *(224, Image.Resampling.BICUBIC, IMAGENET, "class token, mean from the sixth token on"),
    ),
    "lunit_resnet50_bt": Script("resnet50", {}, 224, Image.Resampling.BICUBIC, LUNIT, "what the network returns"),
    "openmidnight": Script(
        "vit_giant_patch14_reg4_dinov2",
        {"depth": 2, "img_size": 224},
        *(224, Image.Resampling.BILINEAR, IMAGENET, "class token"),
        native=True,
    ),
    "dinov3_vits16:mean": Script(
        "vit_small_patch16_dinov3",
        {"depth": 2},
        *(256, Image.Resampling.BICUBIC, IMAGENET, "mean from the sixth token on"),
        px=256,
    ),
}


SLOW = ("openmidnight",)
"""A network of DINOv2's own code, whose conversion other tests compare to the bit: 11 s."""


@pytest.fixture(scope="module")
def slide_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "s.svs"
    write_slide(path, SlideSpec(width=960, height=600, seed=8, mpp=0.5, objective=20, levels=(1, 4)))
    return path


def network_of(script: Script) -> torch.nn.Module:
    torch.manual_seed(6)
    network: torch.nn.Module = timm.create_model(script.model, num_classes=0, **script.arguments).eval()
    convolutional = isinstance(network, timm.models.ResNet)  # whose signal would fade with small weights
    for tensor in network.state_dict().values():
        if convolutional and tensor.ndim == 1:
            tensor.uniform_(0.5, 1.0)
        elif not convolutional and tensor.is_floating_point():
            tensor.normal_(std=0.08)
    return network


def published(script: Script, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights as the file holds them: for DINOv2's own code with a position for the class token."""
    state = dict(network.state_dict())
    if not script.native:
        return state
    first = torch.full_like(state["cls_token"], 0.5)
    state |= {"pos_embed": torch.cat([first, state["pos_embed"]], 1), "mask_token": torch.ones(1, first.shape[-1])}
    state["register_tokens"] = state.pop("reg_token")
    return {key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): tensor for key, tensor in state.items()}


def plain_rows(script: Script, network: torch.nn.Module, weights: Path, slide: Path, corners: np.ndarray) -> np.ndarray:
    """The features of the tiles at `corners`, level-0 x and y, without anything of the package."""
    state = torch.load(weights, weights_only=True)
    network.load_state_dict(checkpoint_filter_fn(state, network) if script.native else state)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in script.statistics)
    rows = []
    with openslide.OpenSlide(slide) as opened, torch.inference_mode():
        for x, y in corners:
            tile = opened.read_region((int(x), int(y)), 0, (script.tile_px, script.tile_px)).convert("RGB")
            image = np.asarray(tile.resize((script.px, script.px), script.filter), np.float32)
            pixels = (torch.from_numpy(image).permute(2, 0, 1) / 255 - mean) / std
            if script.recipe == "what the network returns":
                rows.append(network(pixels[None])[0])
                continue
            assert isinstance(network, (timm.models.VisionTransformer, timm.models.Eva))
            tokens = network.forward_features(pixels[None])[0]
            parts = {"class token": tokens[0], "mean from the sixth token on": tokens[5:].mean(0)}
            rows.append(torch.cat([parts[part] for part in script.recipe.split(", ")]))
    return torch.stack(rows).numpy()


def cosines(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    a, b = one.astype(np.float64), two.astype(np.float64)
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.full if name in SLOW else ()) for name in SCRIPTS]
)
def test_a_stored_row_is_what_a_plain_script_makes_of_the_tile(name: str, slide_path: Path, tmp_path: Path) -> None:
    script, card = SCRIPTS[name], card_named(name)
    network = network_of(script)
    torch.save(published(script, network), tmp_path / "w.pt")
    arguments = card.arguments | ({"depth": 2} if "depth" in script.arguments else {})
    cut = card.model_copy(update={"arguments": arguments, "parameters": None, "precision": "fp32"})
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(cut.model_dump(mode="json")))
    store = wsi_features.embed(slide_path, str(tmp_path / "card.yaml"), weights=tmp_path / "w.pt", out=tmp_path / "out")
    assert len(store) >= 4
    stored = store.features[:]
    expected = plain_rows(script, network, tmp_path / "w.pt", slide_path, store.coords)
    assert cosines(stored, expected).min() >= 0.9999
    # Tiles of one slide have much in common; what tells them apart must agree as well.
    assert cosines(stored - stored.mean(0), expected - stored.mean(0)).min() >= 0.999
    (tmp_path / "w.pt").unlink()  # pytest would keep hundreds of megabytes
