"""A user's own encoder, found by the name of its function."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.python import made
from wsi_features.encode.registry import card_named
from wsi_features.errors import CardError, WeightsError
from wsi_features.stages.encoder_check import checked_encoder

README = Path(__file__).parents[4] / "README.md"

MODULE = """
from torch import nn

def encoder(card):
    return nn.Sequential(nn.AvgPool2d(card.input_px // 2), nn.Flatten(), nn.Linear(12, card.arguments["width"]))

def number(card):
    return 3

value = 3
"""


@pytest.fixture
def card(
    tiny_card: Callable[..., EncoderCard], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[object], EncoderCard]:
    (tmp_path / "our_lab_encoder.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)

    def make(entry: object, dim: int = 5) -> EncoderCard:
        given = tiny_card(builder="python", output="pooled", dim=dim, prefix_tokens=0)
        return given.model_copy(update={"arguments": {"entry": entry, "width": 5}})

    return make


def test_a_function_of_a_module_makes_the_network_which_is_loaded_strictly(
    card: Callable[..., EncoderCard],
    saved: Callable[..., Path],
    rows_of: Callable[..., torch.Tensor],
    images: Callable[[int], torch.Tensor],
) -> None:
    given = card("our_lab_encoder:encoder")
    network = made(given, "cpu")
    assert not network.training
    with torch.inference_mode():
        assert torch.equal(rows_of(given, saved(network.state_dict())), network(images(32)))
    with pytest.raises(WeightsError, match=r"1 missing \(first: 2.bias\)"):
        rows_of(given, saved({"2.weight": torch.zeros(5, 12)}))


def test_a_width_that_is_not_the_card_s_is_refused(
    card: Callable[..., EncoderCard], saved: Callable[..., Path], rows_of: Callable[..., torch.Tensor]
) -> None:
    with pytest.raises(WeightsError, match="the output dimension is 5, the card says 6"):
        rows_of(card("our_lab_encoder:encoder", dim=6), saved({}))


def test_the_example_of_the_readme_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```(?:python|yaml)\n# (our_\S+)\n(.*?)```", README.read_text(), re.DOTALL)
    assert [name for name, _ in blocks] == ["our_lab/encoder.py", "our_encoder.yaml"]
    (tmp_path / "our_lab").mkdir()
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    network = import_module("our_lab.encoder").encoder(card_named(str(tmp_path / "our_encoder.yaml")))
    torch.save({f"module.{key}": tensor for key, tensor in network.state_dict().items()}, tmp_path / "weights.pt")
    lines = list(checked_encoder(str(tmp_path / "our_encoder.yaml"), tmp_path / "weights.pt", "cpu"))
    assert any("96 finite float32 values a tile" in line for line in lines)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (None, "arguments.entry is None; wanted: package.module:function"),
        ("our_lab_encoder.encoder", "wanted: package.module:function"),
        ("nowhere_to_be_found:encoder", "wanted: a module that Python finds here .*PYTHONPATH"),
        ("our_lab_encoder:decoder", "wanted: a function of our_lab_encoder"),
        ("our_lab_encoder:value", "wanted: a function of our_lab_encoder"),
        ("our_lab_encoder:number", "it returned a int, not a torch.nn.Module"),
    ],
)
def test_an_entry_that_is_no_function_is_refused(card: Callable[..., EncoderCard], entry: object, told: str) -> None:
    with pytest.raises(CardError, match=told):
        made(card(entry), "cpu")
