"""Image towers of open_clip: files of whole models, rows as open_clip's own `encode_image` computes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.open_clip import made
from wsi_features.encode.registry import card_named
from wsi_features.errors import CardError, UnknownEncoderError, WeightsError

TEXT = {"context_length": 8, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1}
SMALL = {"layers": 2, "width": 64, "head_width": 16}
TIMM = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}
CASES = {
    **dict.fromkeys(["quiltnet_b32", "quiltnet_b16", "pathgen_clip", "pathoclip_b"], SMALL),
    **dict.fromkeys(["pathgen_clip_l", "pathoclip_l"], SMALL),
    "omiclip": SMALL,
    **dict.fromkeys(["biomedclip", "quiltnet_b16_pmb"], TIMM),
}


def published(card: EncoderCard) -> tuple[torch.nn.Module, Callable[[torch.Tensor], torch.Tensor]]:
    """The whole small model of a card, and what it makes of images."""
    named = card.arguments.get("model")
    stated = open_clip.get_model_config(named) if named else {"embed_dim": 512, "vision_cfg": {}}
    vision = stated["vision_cfg"] | card.arguments["vision"]
    if named == "coca_ViT-L-14":
        coca = open_clip.CoCa(stated["embed_dim"], stated["multimodal_cfg"] | {"layers": 1}, TEXT | {"embed_cls": True, "output_tokens": True}, vision)  # fmt: skip
        return coca, lambda x: coca.encode_image(x, normalize=False)
    kind = open_clip.CLIP if named else open_clip.CustomTextCLIP
    clip = kind(stated["embed_dim"], vision, TEXT)
    return clip, clip.encode_image


@pytest.fixture
def small_card(cut_card: Callable[..., EncoderCard]) -> Callable[[str], EncoderCard]:
    return lambda name: cut_card(name, {"vision": CASES[name]}, input_px=CASES[name].get("image_size", 224))


@pytest.mark.parametrize("name", CASES)
def test_a_file_of_the_whole_model_gives_what_open_clip_computes(
    name: str,
    small_card: Callable[[str], EncoderCard],
    random_weights: Callable[..., Any],
    images: Callable[[int], torch.Tensor],
    rows_of: Callable[..., torch.Tensor],
    saved: Callable[[Any], Path],
) -> None:
    card = small_card(name)
    model, encode = published(card)
    random_weights(model)
    with torch.inference_mode():
        wanted = encode(images(card.input_px))
    assert torch.equal(rows_of(card, saved({"state_dict": model.state_dict()})), wanted)


def test_quick_gelu_is_another_network_that_no_weights_file_tells(
    cut_card: Callable[..., EncoderCard],
    saved: Callable[[Any], Path],
    rows_of: Callable[..., torch.Tensor],
    random_weights: Any,
) -> None:
    plain, quick = (cut_card("quiltnet_b32", {"vision": SMALL, "quick_gelu": q}) for q in (False, True))
    model, _ = published(plain)
    path = saved(random_weights(model).state_dict())
    assert not torch.allclose(rows_of(plain, path), rows_of(quick, path), atol=1e-3)


def test_a_file_of_another_patch_size_is_refused(
    small_card: Callable[[str], EncoderCard], saved: Callable[[Any], Path], rows_of: Callable[..., torch.Tensor]
) -> None:
    other, _ = published(small_card("quiltnet_b16"))
    with pytest.raises(WeightsError, match="the shape of '(positional_embedding|conv1.weight)'"):
        rows_of(small_card("quiltnet_b32"), saved(other.state_dict()))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"model": "hf-hub:someone/model"}, "arguments.model is 'hf-hub:someone/model'; wanted: a model of open_clip"),
        ({"pretrained": "openai"}, "arguments.pretrained is 'openai'"),
        ({"vision": {"layer": 2}}, "arguments is .*what open_clip takes .*layer"),
    ],
)
def test_arguments_that_open_clip_or_the_builder_does_not_take_are_refused(
    cut_card: Callable[..., EncoderCard], arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(CardError, match=told):
        made(cut_card("quiltnet_b32", arguments), "meta")


def test_an_output_of_tokens_is_refused(cut_card: Callable[..., EncoderCard]) -> None:
    with pytest.raises(CardError, match="output is 'mean'; wanted: projected or projected.normalised"):
        made(cut_card("quiltnet_b32", output="mean"), "meta")


def test_a_model_by_name_has_the_normalisation_and_activation_of_the_weights_named_with_it() -> None:
    plain, siglip = card_named("open_clip:ViT-B-32"), card_named("open_clip:ViT-B-16-SigLIP/webli")
    assert (plain.dim, plain.parameters, plain.input_px) == (512, 87849216, 224)
    assert plain.mean == open_clip.OPENAI_DATASET_MEAN
    assert (siglip.dim, siglip.mean) == (768, (0.5, 0.5, 0.5))
    assert card_named("open_clip:ViT-B-32/openai").arguments["quick_gelu"] is True


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("open_clip:ViT-B-33", "open_clip .* has no such model. Did you mean open_clip:ViT-B-32"),
        ("open_clip:ViT-B-32/opena", "Did you mean open_clip:ViT-B-32/openai"),
    ],
)
def test_a_name_that_open_clip_does_not_have_is_refused_with_what_was_meant(name: str, told: str) -> None:
    with pytest.raises(UnknownEncoderError, match=told):
        card_named(name)
