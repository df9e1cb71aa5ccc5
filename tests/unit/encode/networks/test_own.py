"""Networks of our own: from a file in its published form to rows that are those of the network that wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks import own
from wsi_features.encode.outline import feature_rows
from wsi_features.encode.registry import card_named
from wsi_features.errors import CardError, WeightsError

State = dict[str, torch.Tensor]
X = torch.zeros(1)


def conch_v1(state: State) -> Any:
    rest = {"text.token_embedding.weight": X, "text_decoder.ln.weight": X, "logit_scale": X}
    caption = {"visual.attn_pool_caption.query": X, "visual.ln_caption.weight": X}
    return {f"visual.{key}": tensor for key, tensor in state.items()} | caption | rest


def ctranspath(state: State) -> Any:
    """Reductions at the end of the stage before, and the tables that old timm saved."""

    def older(found: re.Match[str]) -> str:
        return f"layers.{int(found[1]) - 1}.downsample"

    moved = {re.sub(r"^layers\.(\d)\.downsample", older, key): tensor for key, tensor in state.items()}
    tables = {"layers.0.blocks.0.attn.relative_position_index": X.long(), "layers.0.blocks.1.attn_mask": X}
    return {"model": moved | tables | {"head.weight": X, "head.bias": X}}


def kimianet(state: State) -> Any:
    return {f"module.{key}": tensor for key, tensor in state.items()} | {"module.fc_4.weight": X, "module.fc_4.bias": X}


def keep(state: State) -> Any:
    return {re.sub(r"\.gamma$", ".weight", key): tensor for key, tensor in state.items()} | {
        "text.embeddings.weight": X,
        "logit_scale": X,
    }


def isight(state: State) -> Any:
    clip = {"patch_encoder.logit_scale": X, "patch_encoder.text_model.final_layer_norm.weight": X}
    clip |= {"patch_encoder.visual_projection.weight": X, "patch_encoder.text_projection.weight": X}
    heads = {"attention_net.attention_c.weight": X, "classifiers.0.bias": X, "text_projection_to_visual_dim.bias": X}
    return {"epoch": 3, "model_state_dict": state | clip | heads, "optimizer_state_dict": {"state": {}}}


def genbio_pathfm(state: State) -> Any:
    return state | {"rope_embed.periods": state["rope_embed.periods"].bfloat16()}


SMALL_VIT = {"depth": 2, "embed_dim": 96, "num_heads": 4}
CASES: dict[str, tuple[Callable[[State], Any], dict[str, Any], dict[str, Any]]] = {
    "conch_v1:raw": (conch_v1, SMALL_VIT | {"width": 64}, {"dim": 64}),
    "conch_v1:projected": (conch_v1, SMALL_VIT | {"width": 64}, {"dim": 64}),
    "conch_v1:projected+normalised": (conch_v1, SMALL_VIT | {"width": 64}, {"dim": 64}),
    "conch_v15": (dict, SMALL_VIT | {"width": 64}, {"dim": 64}),
    "ctranspath": (ctranspath, {}, {}),
    "chief_ctranspath": (ctranspath, {"depths": (1, 1, 1, 1)}, {}),
    "kimianet": (kimianet, {}, {"input_px": 96}),
    "keep": (keep, SMALL_VIT | {"width": 64}, {"dim": 64}),
    "isight:mean": (isight, {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}, {"dim": 64}),
    "isight:cls": (isight, {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4}, {"dim": 64}),
    "genbio_pathfm": (genbio_pathfm, {"width": 96, "depth": 2, "heads": 3, "hidden": 128}, {"dim": 288}),
}
"""Of each encoder: its published form, what makes its network small, and the fields that change with it."""


@pytest.fixture
def made(cut_card: Callable[..., EncoderCard], random_weights: Callable[..., torch.nn.Module]) -> Callable[..., Any]:
    """Small card, filled network and the file content of one of CASES."""

    def make(name: str) -> tuple[EncoderCard, torch.nn.Module, Any]:
        published, arguments, changes = CASES[name]
        card = cut_card(name, arguments, **changes)
        network = random_weights(own.made(card, "cpu"))
        return card, network, published(network.state_dict())

    return make


@pytest.mark.parametrize("name", CASES)
def test_a_published_file_gives_the_rows_of_the_network_that_wrote_it(
    made: Callable[..., Any],
    name: str,
    saved: Callable[[Any], Path],
    images: Callable[[int], torch.Tensor],
    rows_of: Callable[..., torch.Tensor],
) -> None:
    card, network, content = made(name)
    with torch.inference_mode():
        expected = feature_rows(card, network(images(card.input_px)))
    found = rows_of(card, saved(content))
    assert found.shape == (2, card.dim)
    assert torch.equal(found, expected)
    assert not torch.allclose(found[0], found[1], atol=1e-3)


@pytest.mark.parametrize("name", ["conch_v15", "ctranspath", "keep", "genbio_pathfm"])
def test_a_file_that_lacks_one_tensor_is_refused_by_its_name(
    made: Callable[..., Any], name: str, saved: Callable[[Any], Path], rows_of: Callable[..., torch.Tensor]
) -> None:
    card, _, content = made(name)
    state = content.get("model", content)
    lost = next(key for key in state if key.endswith("norm1.weight"))
    del state[lost]
    with pytest.raises(WeightsError, match=re.escape(f"1 missing (first: {lost})")):
        rows_of(card, saved(content))


def test_the_three_outputs_of_conch_are_three_vectors(
    made: Callable[..., Any], saved: Callable[[Any], Path], rows_of: Callable[..., torch.Tensor]
) -> None:
    names = ("conch_v1:raw", "conch_v1:projected", "conch_v1:projected+normalised")
    raw, projected, unit = (rows_of(card, saved(content)) for card, _, content in map(made, names))
    torch.testing.assert_close(unit, projected / projected.norm(dim=1, keepdim=True))
    assert torch.cosine_similarity(raw, projected).abs().max() < 0.9
    assert not torch.allclose(unit, projected, atol=1e-2)


def test_keep_without_its_renaming_is_refused_instead_of_left_at_the_initial_layerscale(
    made: Callable[..., Any], saved: Callable[[Any], Path], rows_of: Callable[..., torch.Tensor]
) -> None:
    card, _, content = made("keep")
    without = card.model_copy(update={"checkpoint": card.checkpoint.model_copy(update={"rename": ()})})
    with pytest.raises(WeightsError, match=r"4 missing \(first: visual.blocks.0.ls1.gamma\)"):
        rows_of(without, saved(content))


def test_position_embeddings_of_conch_v15_for_448_px_are_brought_to_224_as_upstream_does(
    made: Callable[..., Any], saved: Callable[[Any], Path], rows_of: Callable[..., torch.Tensor]
) -> None:
    card, _, content = made("conch_v15")
    table = content["trunk.pos_embed"]
    flat = table[:, :1].expand(1, 1 + 28 * 28, -1).clone()  # every position alike: resizing changes nothing
    small, large = (rows_of(card, saved(content | {"trunk.pos_embed": t})) for t in (flat[:, :197], flat))
    torch.testing.assert_close(small, large)


def test_every_token_counts_in_the_mean_of_isight_and_one_in_its_class_token(
    made: Callable[..., Any], images: Callable[[int], torch.Tensor]
) -> None:
    card, network, _ = made("isight:mean")
    with torch.inference_mode():
        tokens = network(images(336))
        assert tokens.shape == (2, 577, 64)
        torch.testing.assert_close(feature_rows(card, tokens), tokens.mean(1))


def test_genbio_sees_the_colours_as_images_of_their_own(
    made: Callable[..., Any], images: Callable[[int], torch.Tensor]
) -> None:
    _, network, _ = made("genbio_pathfm")
    one = images(224)
    turned = one[:, [1, 2, 0]]
    with torch.inference_mode():
        red, green, blue = network(one).chunk(3, dim=1)
        torch.testing.assert_close(network(turned), torch.cat([green, blue, red], dim=1), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(red, green, atol=1e-2)


def test_kimianet_averages_without_a_relu(made: Callable[..., Any], images: Callable[[int], torch.Tensor]) -> None:
    _, network, _ = made("kimianet")
    with torch.inference_mode():
        assert (network(images(96)) < 0).any()


def test_a_network_that_is_not_known_or_an_argument_that_it_does_not_take_is_refused(
    cut_card: Callable[..., EncoderCard],
) -> None:
    with pytest.raises(CardError, match="arguments.model is 'conch'; wanted: one of conch_v1, conch_v15, ctranspath"):
        own.made(cut_card("keep", {"model": "conch"}), "meta")
    with pytest.raises(CardError, match="arguments is .*what the network keep takes .*registers"):
        own.made(cut_card("keep", {"registers": 4}), "meta")


@pytest.mark.parametrize("name", own.NETWORKS)
def test_every_network_has_a_card(name: str) -> None:
    variants = {"conch_v1": "conch_v1:raw", "isight": "isight:mean"}
    assert card_named(variants.get(name, name)).arguments["model"] == name
