"""Fixtures for all tests: small slides and a tiny network with its weights, made once for a test run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from wsi_features.encode.card import EncoderCard
from wsi_features.slides.synthetic import SlideSpec, write_slide

if TYPE_CHECKING:
    import torch

# Snakemake runs and torch otherwise use all cores in each of several test processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SMALL = SlideSpec(width=3072, height=2304, seed=3, mpp=0.5, objective=20, levels=(1, 4))
"""A slide with tissue at 0.5 um/px: its tiles are read one to one."""

FINE = SlideSpec(width=4352, height=3072, seed=4, mpp=0.2431, objective=40)
"""A slide at an odd finer resolution: its tiles are downsampled."""

GLASS = SlideSpec(width=2560, height=1792, seed=5, mpp=0.5, objective=20, tissue=False)
"""A slide without tissue."""

TINY_VIT = {
    "model": "vit_tiny_patch16_224",
    "img_size": 32,
    "depth": 2,
    "embed_dim": 24,
    "num_heads": 3,
    "reg_tokens": 4,
}
"""What timm makes a network of in milliseconds, with one class token and four registers."""


@pytest.fixture(scope="session")
def slide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small.svs`, `fine.svs` and `glass.svs`; tests must not change them."""
    folder = tmp_path_factory.mktemp("slides")
    for name, spec in (("small", SMALL), ("fine", FINE), ("glass", GLASS)):
        write_slide(folder / f"{name}.svs", spec)
    return folder


@pytest.fixture
def broken_slides(tmp_path: Path, slide_folder: Path) -> dict[str, Path]:
    """Files that no feature may come from, by what is wrong with them."""
    folder = tmp_path / "broken"
    folder.mkdir()
    whole = (slide_folder / "small.svs").read_bytes()
    (folder / "truncated.svs").write_bytes(whole[: len(whole) // 2])
    (folder / "zero.svs").touch()
    (folder / "text.svs").write_text("not a slide\n")
    write_slide(folder / "nompp.tif", SlideSpec(width=1536, height=1280, seed=6, mpp=None, objective=None))
    return {path.stem: path for path in sorted(folder.iterdir())}


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded random numbers."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def tiny_card() -> Callable[..., EncoderCard]:
    """Makes cards of a tiny vision transformer: `arguments` adds to what timm is given, other keywords are fields."""

    def card(arguments: dict[str, Any] | None = None, **changes: Any) -> EncoderCard:
        fields = {
            "name": "tiny",
            "builder": "timm",
            "arguments": TINY_VIT | (arguments or {}),
            "tile_px": 48,
            "tile_mpp": 0.5,
            "mpp_range": (0.4, 0.6),
            "input_px": 32,
            "output": "cls+mean",
            "dim": 48,
            "prefix_tokens": 5,
            "licence": "-",
            "source": "-",
        }
        return EncoderCard.model_validate(fields | changes)

    return card


@pytest.fixture(scope="session")
def tiny_network(tiny_card: Callable[..., EncoderCard]) -> torch.nn.Module:
    """The network of `tiny_card`, made by timm itself, with weights large enough that every token matters."""
    import timm
    import torch

    torch.manual_seed(3)
    arguments = dict(tiny_card().arguments)
    made: torch.nn.Module = timm.create_model(arguments.pop("model"), num_classes=0, **arguments)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="session")
def tiny_weights(tiny_network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of `tiny_network` in a file; tests must not change it."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(tiny_network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def overflowing_weights(tiny_network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the tiny network with which bright tiles leave the range of fp16 inside the first block, and dark ones do not.

    Channel 0 is the brightness, which the first layer of the block's perceptron multiplies by 20,000.
    """
    import torch
    from safetensors.torch import save_file

    state = {key: tensor.clone() for key, tensor in tiny_network.state_dict().items()}
    state["patch_embed.proj.weight"] *= 0.02
    state["patch_embed.proj.weight"][0] = 67 / (3 * 16 * 16)
    state["patch_embed.proj.bias"][0] = -16.0
    state["blocks.0.attn.proj.weight"] *= 0.05
    state["blocks.0.norm2.weight"], state["blocks.0.norm2.bias"] = torch.ones(24), torch.zeros(24)
    state["blocks.0.mlp.fc1.weight"][0] = torch.zeros(24)
    state["blocks.0.mlp.fc1.weight"][0, 0] = 20_000.0
    path = tmp_path_factory.mktemp("weights") / "overflowing.safetensors"
    save_file(state, path)
    return path
