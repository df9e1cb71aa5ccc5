"""Cards and weights files that do not belong together: each is refused, with its reason, before a feature is made."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers.mlp import SwiGLUPacked

from wsi_features.encode.build import build
from wsi_features.encode.card import EncoderCard
from wsi_features.errors import CardError, EncoderError, WeightsError

GATED = {"mlp_layer": "timm.layers.SwiGLUPacked", "act_layer": "torch.nn.SiLU", "mlp_ratio": 5.34, "init_values": 1e-5}
"""What makes a small sister of Virchow2 out of the tiny network."""

Card = Callable[..., EncoderCard]


@pytest.fixture(scope="module")
def state(tiny_card: Card) -> dict[str, torch.Tensor]:
    """Published weights: of two blocks with gates, LayerScale, one class token and four registers."""
    arguments = tiny_card().arguments | GATED | {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU}
    torch.manual_seed(1)
    return dict(timm.create_model(arguments.pop("model"), num_classes=0, **arguments).state_dict())


@pytest.fixture
def weights(state: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    save_file(state, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def embedded(card: EncoderCard, weights: Path) -> None:
    build(card, weights=weights, device="cpu").close()


def without(card: Card, key: str) -> EncoderCard:
    full = card(GATED)
    return full.model_copy(update={"arguments": {k: v for k, v in full.arguments.items() if k != key}})


def test_the_right_card_takes_the_right_file(tiny_card: Card, weights: Path) -> None:
    embedded(tiny_card(GATED), weights)


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("act_layer", "arguments.act_layer is None; wanted: torch.nn.SiLU, the activation of timm.layers.SwiGLUPacked"),
        ("mlp_layer", r"the shape of 'blocks.0.mlp.fc2.weight' is \(24, 64\), the card says \(24, 128\)"),
        ("mlp_ratio", "the shape of 'blocks.0.mlp.fc1.weight'"),
        ("init_values", r"4 unexpected \(first: blocks.0.ls1.gamma\)"),
        ("reg_tokens", "the number of prefix tokens is 1, the card says 5"),
        ("depth", r"missing \(first: blocks.10.attn.proj.bias\)"),
        ("img_size", "input_px is 32; wanted: a width of images that the network takes"),
    ],
)
def test_a_card_that_leaves_an_argument_out_is_refused(tiny_card: Card, weights: Path, missing: str, told: str) -> None:
    with pytest.raises(EncoderError, match=told):
        embedded(without(tiny_card, missing), weights)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"act_layer": "torch.nn.GELU"}, "arguments.act_layer is 'torch.nn.GELU'; wanted: torch.nn.SiLU"),
        ({"depth": 1}, r"unexpected \(first: blocks.1.attn.proj.bias\)"),
        ({"depth": 3}, r"missing \(first: blocks.2.attn.proj.bias\)"),
        ({"reg_tokens": 8}, "the number of prefix tokens is 9, the card says 5"),
        ({"no_embed_class": True}, r"the shape of 'pos_embed' is \(1, 9, 24\), the card says \(1, 4, 24\)"),
        ({"global_pool": "avg"}, r"output is 'cls\+mean'; wanted: a recipe for what this network returns \(\(1, 24\)"),
        ({"patch_size": 8}, "the shape of 'patch_embed.proj.weight'|the shape of 'pos_embed'"),
    ],
)
def test_a_card_with_a_wrong_argument_is_refused(
    tiny_card: Card, weights: Path, wrong: dict[str, Any], told: str
) -> None:
    with pytest.raises(EncoderError, match=told):
        embedded(tiny_card(GATED | wrong), weights)


def test_registers_that_the_card_counts_wrongly_are_found_in_the_weights(tiny_card: Card, weights: Path) -> None:
    with pytest.raises(WeightsError, match=r"the shape of '(pos_embed|reg_token)' is .* the card says"):
        embedded(tiny_card(GATED | {"reg_tokens": 8}, prefix_tokens=9), weights)


def test_another_file_of_the_same_name_is_refused_by_its_digest(tiny_card: Card, weights: Path) -> None:
    with pytest.raises(WeightsError, match="the SHA-256 of .*model.safetensors' is .*, the card says 00"):
        embedded(tiny_card(GATED, weights_sha256="0" * 64), weights)


def test_the_other_publication_of_a_model_under_the_same_name_is_refused(
    tiny_card: Card, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    """As of GPFM.pth: one is a bare state dict, the other a training checkpoint."""
    bare, training = tmp_path / "bare.pth", tmp_path / "training.pth"
    torch.save(state, bare)
    torch.save({"teacher": {f"backbone.{k}": v for k, v in state.items()}, "student": {"a": torch.ones(1)}}, training)
    rules = {"unwrap": ["teacher"], "keep": "backbone."}
    embedded(tiny_card(GATED), bare)
    embedded(tiny_card(GATED, checkpoint=rules), training)
    with pytest.raises(WeightsError, match="entry 'teacher' is a dict, not a tensor"):
        embedded(tiny_card(GATED), training)
    with pytest.raises(WeightsError, match=r"holds 35 entries \(first: blocks.0.attn.* but no 'teacher'"):
        embedded(tiny_card(GATED, checkpoint=rules), bare)


@pytest.mark.parametrize("save", [save_file, torch.save], ids=["safetensors", "pickle"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(
    tiny_card: Card, state: dict[str, torch.Tensor], tmp_path: Path, save: Any, share: float
) -> None:
    path = tmp_path / "cut"
    save(state, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(WeightsError, match=r"cut' is not a safetensors file or a plain state dict"):
        embedded(tiny_card(GATED), path)


class Code:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_does_not_run_even_where_the_card_takes_another_entry(
    tiny_card: Card, state: dict[str, torch.Tensor], tmp_path: Path, zipped: bool
) -> None:
    content = {"teacher": state, "optimizer": Code(tmp_path / "made")}
    torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError, match="it would import .*mkdir"):
        embedded(tiny_card(GATED, checkpoint={"unwrap": ["teacher"]}), tmp_path / "w.pth")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(
    tiny_card: Card, state: dict[str, torch.Tensor], tmp_path: Path, value: float
) -> None:
    damaged = state["blocks.1.ls1.gamma"].clone()
    damaged[7] = value
    save_file(state | {"blocks.1.ls1.gamma": damaged}, tmp_path / "w")
    with pytest.raises(WeightsError, match="holds NaN or infinity in 'blocks.1.ls1.gamma'"):
        embedded(tiny_card(GATED), tmp_path / "w")


def test_a_student_is_not_loaded_in_the_place_of_its_teacher_under_the_same_fingerprint(tiny_card: Card) -> None:
    card = partial(tiny_card, GATED)
    teacher, student = card(checkpoint={"unwrap": ["teacher"]}), card(checkpoint={"unwrap": ["student"]})
    assert teacher.canonical() != student.canonical()


def test_a_card_is_told_that_its_network_cannot_be_built_before_any_file_is_read(tiny_card: Card) -> None:
    with pytest.raises(CardError, match="act_layer"):
        embedded(without(tiny_card, "act_layer"), Path("nowhere.pt"))
