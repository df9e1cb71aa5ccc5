"""Vision towers of transformers: files as transformers itself writes them, rows as its own classes compute them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.transformers import made
from wsi_features.errors import CardError, WeightsError

SMALL = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
CASES = {
    "phikon": (transformers.ViTModel, SMALL | {"intermediate_size": 96}, {"dim": 48}),
    "phikon_v2": (transformers.Dinov2Model, SMALL, {"dim": 48}),
    "midnight_12k:cls+mean": (transformers.Dinov2Model, SMALL, {"dim": 96}),
    "midnight_12k:cls": (transformers.Dinov2Model, SMALL, {"dim": 48}),
    "hibou_b": (transformers.Dinov2WithRegistersModel, SMALL, {"dim": 48}),
    "hibou_l": (transformers.Dinov2WithRegistersModel, SMALL, {"dim": 48}),
    "plip": (transformers.CLIPModel, SMALL | {"intermediate_size": 96, "projection_dim": 32}, {"dim": 32}),
    "medsiglip_448": (transformers.SiglipModel, SMALL | {"intermediate_size": 96}, {"dim": 48}),
}
"""The class that the published file is of, what makes the tower small, and the fields that change with it."""
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 9}
TEXT |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def published(kind: Any, card: EncoderCard) -> Any:
    """The whole model that the tower was published in, with its text tower where it has one."""
    shape = {key: value for key, value in card.arguments.items() if key != "model"}
    if kind is transformers.CLIPModel:
        text = TEXT | {"projection_dim": shape["projection_dim"]}
        return kind(
            transformers.CLIPConfig(text_config=text, vision_config=shape, projection_dim=shape["projection_dim"])
        )
    if kind is transformers.SiglipModel:
        text = TEXT | {"projection_size": shape["hidden_size"]}
        return kind(transformers.SiglipConfig(text_config=text, vision_config=shape))
    return kind(kind.config_class(**shape))


def expected(model: Any, card: EncoderCard, images: torch.Tensor) -> torch.Tensor:
    if isinstance(model, transformers.CLIPModel):
        return model.visual_projection(model.vision_model(images).pooler_output)
    if isinstance(model, transformers.SiglipModel):
        return model.vision_model(images).pooler_output
    tokens = model(images).last_hidden_state
    if card.output == "cls":
        return tokens[:, 0]
    return torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], dim=1)


@pytest.mark.parametrize("name", CASES)
def test_a_file_that_transformers_writes_gives_what_transformers_computes(
    name: str,
    cut_card: Callable[..., EncoderCard],
    random_weights: Callable[..., Any],
    images: Callable[[int], torch.Tensor],
    rows_of: Callable[..., torch.Tensor],
    tmp_path: Path,
) -> None:
    kind, arguments, changes = CASES[name]
    card = cut_card(name, arguments, **changes)
    model = random_weights(published(kind, card))
    model.save_pretrained(tmp_path)
    with torch.inference_mode():
        wanted = expected(model, card, images(card.input_px))
    assert torch.equal(rows_of(card, tmp_path / "model.safetensors"), wanted)


def test_the_class_token_of_a_tower_with_registers_stands_before_five_prefix_tokens(
    cut_card: Callable[..., EncoderCard], images: Callable[[int], torch.Tensor]
) -> None:
    network = made(cut_card("hibou_b", SMALL, dim=48), "cpu")
    assert network.num_prefix_tokens == 5
    assert network(images(224)).shape == (2, 5 + 16 * 16, 48)


def test_dinov3_of_transformers_can_be_built(cut_card: Callable[..., EncoderCard], images: Any) -> None:
    shape = SMALL | {"model": "DINOv3ViTModel", "intermediate_size": 96, "patch_size": 16, "num_register_tokens": 4}
    card = cut_card("phikon_v2", dim=48).model_copy(update={"arguments": shape})
    network = made(card, "cpu")
    assert network.num_prefix_tokens == 5
    assert network(images(224)).shape == (2, 5 + 14 * 14, 48)


def test_the_activation_of_plip_is_the_one_that_clip_was_trained_with(cut_card: Callable[..., EncoderCard]) -> None:
    network = made(cut_card("plip"), "meta")
    kinds = {type(layer.activation_fn).__name__ for name, layer in network.named_modules() if name.endswith("mlp")}
    assert kinds == {"QuickGELUActivation"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"model": "BertModel"}, "arguments.model is 'BertModel'; wanted: one of CLIPVisionModelWithProjection"),
        ({"hiden_size": 48}, "arguments.hiden_size is 48; wanted: a field of Dinov2Config"),
        ({"num_attention_heads": 7}, "arguments is .*what transformers takes"),
        ({"hidden_size": "1.0e3"}, "arguments is .*what transformers takes"),
    ],
)
def test_arguments_that_the_configuration_does_not_have_are_refused(
    cut_card: Callable[..., EncoderCard], arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(CardError, match=told):
        made(cut_card("phikon_v2", arguments), "meta")


@pytest.mark.parametrize(("name", "output"), [("phikon", "pooled"), ("plip", "cls"), ("medsiglip_448", "mean")])
def test_an_output_that_the_tower_does_not_have_is_refused(
    cut_card: Callable[..., EncoderCard], name: str, output: str
) -> None:
    with pytest.raises(CardError, match=f"output is '{output}'"):
        made(cut_card(name, output=output), "meta")


def test_a_file_of_another_depth_is_refused(
    cut_card: Callable[..., EncoderCard], rows_of: Callable[..., torch.Tensor], saved: Callable[[Any], Path]
) -> None:
    deeper = made(cut_card("phikon_v2", SMALL | {"num_hidden_layers": 3}, dim=48), "cpu")
    with pytest.raises(WeightsError, match=r"18 unexpected \(first: encoder.layer.2"):
        rows_of(cut_card("phikon_v2", SMALL, dim=48), saved(deeper.state_dict()))
