"""The contract of encoders as `wsi-features encoders check` tries it: good ones pass, and each fault is found by its trial."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.encode.build import build
from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.contract import BETWEEN_DEVICES, agreement, findings, made_tiles
from wsi_features.encode.encoder import Encoder, Pending, Ready
from wsi_features.encode.networks import network_builder
from wsi_features.encode.registry import card_named
from wsi_features.stain.transform import StainTransform
from wsi_features.tiles.grid import TileBatch

Features = npt.NDArray[np.float32]
Faulty = Callable[[npt.NDArray[np.uint8]], Features]

SMALL_NETWORKS = ("resnet10t", "vit_tiny_patch16_224", "convnext_atto")
"""Of timm: a residual network, a transformer, and one in which channels are computed apart."""


OTHERS = {
    "open_clip": {
        "arguments": {
            "embed_dim": 16,
            "vision": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
        },
        "output": "projected+normalised",
        "dim": 16,
    },
    "transformers": {
        "arguments": {
            "model": "Dinov2WithRegistersModel",
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 3,
            "image_size": 32,
            "patch_size": 8,
            "num_register_tokens": 4,
        },
        "output": "cls+mean",
        "dim": 48,
        "prefix_tokens": 5,
    },
}
"""Small encoders of other builders: fields of their cards."""

Network = Callable[[str], tuple[EncoderCard, Path]]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """The card of one of timm's networks, and a file of random weights for it."""
    return cache(partial(made_network, tmp_path_factory.mktemp("weights")))


def made_network(folder: Path, model: str) -> tuple[EncoderCard, Path]:
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    path = folder / f"{model}.safetensors"
    made = timm.create_model(model, num_classes=0)
    for parameter in made.parameters():  # as they come, the last layers of some networks are zero
        parameter.data += 0.02 * torch.randn_like(parameter)
    save_file(made.state_dict(), path)
    return card_named(f"timm:{model}"), path


def faults(encoder: Encoder, size: int) -> dict[str, str]:
    return {finding.subject: finding.text for finding in findings(encoder, made_tiles(size)) if not finding.ok}


@pytest.mark.parametrize(
    ("model", "precision"), [*product(SMALL_NETWORKS, ["fp32"]), *product(["vit_tiny_patch16_224"], ["bf16", "fp16"])]
)
def test_networks_keep_the_contract(network: Network, model: str, precision: Precision) -> None:
    card, weights = network(model)
    encoder = build(card, weights=weights, precision=precision, device="cpu", workers=2)
    try:
        assert not faults(encoder, card.tile_px)
    finally:
        encoder.close()


@pytest.mark.parametrize("builder", OTHERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_small_networks_of_other_builders_keep_the_contract(
    tiny_card: Callable[..., EncoderCard], tmp_path: Path, builder: str, precision: Precision
) -> None:
    import torch
    from safetensors.torch import save_file

    fields = {"builder": builder, "prefix_tokens": 0, "tile_px": 40} | OTHERS[builder]
    card = EncoderCard.model_validate(tiny_card().model_dump() | fields)
    network = network_builder(builder).made(card, "cpu")
    torch.manual_seed(2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    save_file(network.state_dict(), tmp_path / "random.safetensors")
    encoder = build(card, weights=tmp_path / "random.safetensors", precision=precision, device="cpu", workers=2)
    try:
        assert not faults(encoder, card.tile_px)
    finally:
        encoder.close()


def test_histo_texture_keeps_the_contract() -> None:
    encoder = build(card_named("histo-texture"), workers=2)
    try:
        assert not faults(encoder, 128)
    finally:
        encoder.close()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_gives_the_features_of_the_cpu(network: Network, precision: Precision) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here, so it is not compared with the CPU")
    for card, weights in map(network, SMALL_NETWORKS):
        tiles, found = made_tiles(card.tile_px + 32), []
        for device in ("cpu", "cuda"):
            encoder = build(card, weights=weights, precision=precision, device=device, workers=2)
            found.append(encoder.submit(tiles).rows())
            encoder.close()
        finding = agreement("", found[1], found[0], BETWEEN_DEVICES[precision])
        assert finding.ok, finding.text


class MeanColour:
    """An encoder of three numbers, and whatever is done to them."""

    weights_digest, notes = "", ()
    precision: Precision = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"

    def __init__(self, card: EncoderCard, done: Faulty) -> None:
        self.card, self.done = card, done

    def submit(self, batch: TileBatch, _stain: StainTransform | None = None) -> Pending:
        return Ready(self.done(batch.pixels))

    def close(self) -> None:
        pass


def colour(pixels: npt.NDArray[np.uint8]) -> Features:
    return pixels.astype(np.float32).mean((1, 2)).reshape(len(pixels), 3)


def changing(pixels: npt.NDArray[np.uint8]) -> Features:
    pixels[:, :1] = 0
    return colour(pixels)


def forgetful() -> Faulty:
    """The first call is remembered for ever."""
    seen: list[Features] = []

    def done(pixels: npt.NDArray[np.uint8]) -> Features:
        seen.append(colour(pixels))
        return np.resize(seen[0], (len(pixels), 3))

    return done


FAULTS: dict[str, tuple[Faulty, set[str]]] = {
    "none": (colour, set()),
    "another width": (lambda pixels: colour(pixels)[:, :2], {"output"}),
    "another type": (lambda pixels: colour(pixels).astype(np.float64), {"output"}),
    "not a number": (lambda pixels: colour(pixels) * np.float32(np.nan), {"output"}),
    "statistics of the batch": (lambda pixels: colour(pixels) - (colour(pixels).mean(0) if len(pixels) else 0), {"batch size", "two at once"}),
    "rows in an order of their own": (lambda pixels: np.sort(colour(pixels), axis=0), {"order", "two at once"}),
    "the place in the batch": (lambda pixels: colour(pixels) + np.arange(len(pixels), dtype=np.float32)[:, None], {"batch size", "order"}),
    "a constant": (lambda pixels: np.ones((len(pixels), 3), np.float32), {"difference", "colours"}),
    "gray": (lambda pixels: colour(pixels).mean(1, keepdims=True).repeat(3, 1), {"colours"}),
    "chance": (lambda pixels: colour(pixels) + np.random.default_rng().random((len(pixels), 1), np.float32), {"repetition", "batch size", "order", "two at once"}),
    "division by the light": (lambda pixels: colour(pixels) / np.float32(colour(pixels).max(1, keepdims=True)), {"blank tiles"}),
    "the tiles are changed": (changing, {"input"}),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_each_fault_is_found(fault: str, tiny_card: Callable[..., EncoderCard]) -> None:
    done, subjects = FAULTS[fault]
    found = faults(MeanColour(tiny_card(dim=3), done), 40)
    assert subjects == set() or set(found) & subjects == subjects
    assert fault != "none" or not found


def test_a_batch_that_gets_the_rows_of_an_earlier_one_is_found(tiny_card: Callable[..., EncoderCard]) -> None:
    assert {"batch size", "order", "colours"} <= faults(MeanColour(tiny_card(dim=3), forgetful()), 40).keys()


def test_made_tiles_are_the_same_each_time_and_all_different() -> None:
    tiles = made_tiles(40)
    assert np.array_equal(tiles.pixels, made_tiles(40).pixels)
    assert len(np.unique(tiles.pixels.reshape(len(tiles.pixels), -1), axis=0)) == len(tiles.pixels)
    assert tiles.pixels.mean() > 100


@pytest.fixture
def checked(tiny_card: Callable[..., EncoderCard], tmp_path: Path) -> Path:
    import yaml

    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tiny_card(name="mine").model_dump(mode="json")))
    return path


def test_a_card_of_a_user_is_checked_by_the_command_line(
    checked: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from wsi_features.cli.main import run_command

    assert run_command(["encoders", "check", str(checked), "--weights", str(tiny_weights), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "mine: 48 px at 0.5 um/px, 48 features, fp32" in lines[0]
    assert [line[:3] for line in lines[1:]] == ["ok "] * (len(lines) - 1)
    assert len(lines) > 12
