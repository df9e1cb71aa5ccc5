from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.layers.mlp import GluMlp

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.registry import card_named, card_names
from wsi_features.encode.timm_network import LAYERS, _argument, check_outline, feature_rows, outline, unfilled_network
from wsi_features.errors import CardError, WeightsError

TinyCard = Callable[..., EncoderCard]


def network_of(given: EncoderCard) -> torch.nn.Module:
    return unfilled_network(given, outline(given))


def with_model(tiny_card: TinyCard, model: str, **changes: Any) -> EncoderCard:
    return tiny_card(output="pooled", **changes).model_copy(update={"arguments": {"model": model}})


@pytest.mark.parametrize("name", [n for n in card_names() if card_named(n).needs_weights])
def test_a_shipped_card_gives_the_published_parameter_count_width_and_tokens(name: str) -> None:
    shipped = card_named(name)
    found = outline(shipped)
    assert (found.parameters, found.width) == (shipped.parameters, shipped.dim)
    assert found.prefix_tokens == shipped.prefix_tokens
    assert found.filled_by_weights


def test_the_network_of_a_swiglu_card_has_silu_which_no_weights_file_can_tell() -> None:
    network = network_of(card_named("virchow2:cls"))
    assert isinstance(network.get_submodule("blocks.0.mlp"), GluMlp)
    assert isinstance(network.get_submodule("blocks.0.mlp.act"), torch.nn.SiLU)
    assert network.get_parameter("blocks.0.mlp.fc1.weight").shape == (6832, 1280)


def test_the_network_is_for_inference_and_has_no_storage_yet(tiny_card: TinyCard) -> None:
    network = network_of(tiny_card())
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert all(p.device.type == "meta" for p in network.parameters())


@pytest.mark.parametrize(("output", "width"), [("cls", 24), ("mean", 24), ("cls+mean", 48), ("pooled", 24)])
def test_the_output_recipe_decides_the_width(tiny_card: TinyCard, output: str, width: int) -> None:
    assert outline(tiny_card(output=output, dim=width)).width == width


@pytest.mark.parametrize("pool", ["avg", "token"])
def test_a_pooled_output_is_what_the_network_pools(tiny_card: TinyCard, pool: str) -> None:
    given = tiny_card({"global_pool": pool}, output="pooled", dim=24, prefix_tokens=0)
    check_outline(given, outline(given))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"parameters": 9}, r"the parameter count is \d+, the card says 9"),
        ({"prefix_tokens": 1}, "the number of prefix tokens is 5, the card says 1"),
        ({"dim": 24}, "the output dimension is 48, the card says 24"),
    ],
)
def test_a_network_that_is_not_the_card_s_is_refused(tiny_card: TinyCard, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(WeightsError, match=told):
        check_outline(tiny_card(**changes), outline(tiny_card(**changes)))


def test_the_stated_parameter_count_is_accepted(tiny_card: TinyCard) -> None:
    found = outline(tiny_card())
    check_outline(tiny_card(parameters=found.parameters), found)


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
    network = network_of(with_model(tiny_card, model, input_px=224))
    assert all(tensor.device.type == "cpu" for tensor in [*network.parameters(), *network.buffers()])


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_a_card_may_name_exists(tiny_card: TinyCard, name: str) -> None:
    assert callable(_argument(tiny_card(), "mlp_layer", name))


def tokens(prefix: int = 5, patches: int = 6, width: int = 3) -> torch.Tensor:
    return torch.randn(2, prefix + patches, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("output", ["cls", "mean", "cls+mean"])
def test_register_tokens_have_no_part_in_the_features(tiny_card: TinyCard, output: str) -> None:
    given, before = tiny_card(output=output), tokens()
    changed = before.clone()
    changed[:, 1:5] += 9
    assert torch.equal(feature_rows(given, before), feature_rows(given, changed))


@pytest.mark.parametrize(("output", "token"), [("cls", 0), ("mean", 5), ("mean", 10), ("cls+mean", 0), ("cls+mean", 5)])
def test_every_other_token_has_its_part(tiny_card: TinyCard, output: str, token: int) -> None:
    given, before = tiny_card(output=output), tokens()
    changed = before.clone()
    changed[:, token] += 9
    assert not torch.equal(feature_rows(given, before), feature_rows(given, changed))


def test_the_class_token_stands_before_the_mean_of_the_patches(tiny_card: TinyCard) -> None:
    given = tokens()
    expected = torch.cat([given[:, 0], given[:, 5:].mean(1)], dim=1)
    torch.testing.assert_close(feature_rows(tiny_card(), given), expected)


def test_the_mean_of_half_precision_tokens_is_taken_in_float32(tiny_card: TinyCard) -> None:
    large = torch.full((1, 5 + 300, 3), 60000, dtype=torch.float16)
    rows = feature_rows(tiny_card(output="mean"), large)
    assert rows.dtype == torch.float32
    assert rows.tolist() == [[60000] * 3]
