from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.layers.mlp import GluMlp

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.loading import empty_network
from wsi_features.encode.networks.timm import LAYERS, _argument
from wsi_features.encode.outline import outline
from wsi_features.encode.registry import card_named
from wsi_features.errors import CardError

TinyCard = Callable[..., EncoderCard]


def with_model(tiny_card: TinyCard, model: str, **changes: Any) -> EncoderCard:
    return tiny_card(output="pooled", **changes).model_copy(update={"arguments": {"model": model}})


def test_the_network_of_a_swiglu_card_has_silu_which_no_weights_file_can_tell() -> None:
    network = empty_network(card_named("virchow2:cls"))
    assert isinstance(network.get_submodule("blocks.0.mlp"), GluMlp)
    assert isinstance(network.get_submodule("blocks.0.mlp.act"), torch.nn.SiLU)
    assert network.get_parameter("blocks.0.mlp.fc1.weight").shape == (6832, 1280)


def test_the_network_is_for_inference_and_has_no_storage_yet(tiny_card: TinyCard) -> None:
    network = empty_network(tiny_card())
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert all(p.device.type == "meta" for p in network.parameters())


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"model": "vit_nowhere"}, r"arguments.model is 'vit_nowhere'; wanted: a model of timm"),
        ({"model": "hf-hub:someone/model"}, "arguments.model is"),
        ({"model": None}, "arguments.model is None"),
        ({"pretrained": True}, "arguments.pretrained is True; wanted: nothing"),
        ({"checkpoint_path": "w.pt"}, "arguments.checkpoint_path"),
        ({"num_classes": 9}, "arguments.num_classes"),
        ({"mlp_layer": "os.system"}, r"arguments.mlp_layer is 'os.system'; wanted: one of .*timm.layers.SwiGLUPacked"),
        ({"init_values": "1e-5"}, r"arguments.init_values is '1e-5'; wanted: a number, .* write 1.0e-5"),
        ({"registers": 4}, r"arguments is .*wanted: what timm takes .*registers"),
        ({"num_heads": 7}, "arguments is .*wanted: what timm takes .*num_heads"),
        ({"img_size": 64}, r"input_px is 32; wanted: a width .*Input height \(32\)"),
    ],
)
def test_arguments_that_timm_or_the_builder_does_not_take_are_refused(
    tiny_card: TinyCard, arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(CardError, match=f"encoder card 'tiny': {told}"):
        outline(tiny_card(arguments))


@pytest.mark.parametrize(
    ("model", "output"), [("test_resnet", "cls"), ("test_resnet", "cls+mean"), ("test_vit", "descriptor")]
)
def test_an_output_that_the_network_does_not_have_is_refused(tiny_card: TinyCard, model: str, output: str) -> None:
    given = with_model(tiny_card, model, input_px=160).model_copy(update={"output": output})
    with pytest.raises(CardError, match=f"output is '{output.replace('+', '.')}'"):
        outline(given)


@pytest.mark.parametrize("model", ["efficientvit_m0", "regnety_002", "convit_tiny"])
def test_a_network_with_tables_that_no_weights_file_holds_gets_real_ones(tiny_card: TinyCard, model: str) -> None:
    given = with_model(tiny_card, model, input_px=224)
    network = empty_network(given.model_copy(update={"dim": outline(given).width}))
    assert all(tensor.device.type == "cpu" for tensor in [*network.parameters(), *network.buffers()])


@pytest.mark.parametrize(
    ("output", "level", "told"),
    [("cls", 3, r"output is 'cls'; wanted: pooled, where"), ("pooled", 9, "arguments is .*wanted: what timm takes")],
)
def test_a_network_ends_at_a_level_that_it_has_and_is_pooled_there(
    tiny_card: TinyCard, output: str, level: int, told: str
) -> None:
    given = tiny_card(output=output).model_copy(update={"arguments": {"model": "test_resnet", "feature_level": level}})
    with pytest.raises(CardError, match=told):
        outline(given)


@pytest.mark.parametrize("output", ["projected", "projected+normalised"])
def test_a_network_without_a_projection_is_not_asked_for_one(tiny_card: TinyCard, output: str) -> None:
    with pytest.raises(CardError, match="wanted: cls, mean, cls.mean, tokens or pooled"):
        outline(tiny_card(output=output))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_a_card_may_name_exists(tiny_card: TinyCard, name: str) -> None:
    assert callable(_argument(tiny_card(), "mlp_layer", name))
