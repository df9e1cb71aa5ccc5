from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn

from wsi_features.encode.checkpoint import Checkpoint, converted, opened, renamed
from wsi_features.errors import WeightsError

FILE = Path("w.pth")


def rules(**fields: Any) -> Checkpoint:
    return Checkpoint.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "key", "new"),
    [
        ({}, "norm.bias", "norm.bias"),
        ({"keep": "visual."}, "visual.norm.bias", "norm.bias"),
        ({"strip": ["module.", "backbone."]}, "module.backbone.norm.bias", "norm.bias"),
        ({"strip": ["module.", "backbone."]}, "backbone.norm.bias", "norm.bias"),
        ({"strip": ["module.", "backbone."]}, "norm.bias", "norm.bias"),
        ({"strip": ["module.", "backbone."]}, "backbone.module.norm.bias", "module.norm.bias"),
        ({"rename": [[r"\.ls1\.weight$", ".ls1.gamma"]]}, "blocks.3.ls1.weight", "blocks.3.ls1.gamma"),
        ({"rename": [["2", "3"], ["1", "2"]]}, "layers.1.norm.2", "layers.2.norm.3"),
        ({"keep": "a.", "strip": ["b."], "rename": [["^c", "d"]]}, "a.b.c.weight", "d.weight"),
    ],
)
def test_a_key_becomes_what_the_rules_say(fields: dict[str, Any], key: str, new: str) -> None:
    assert renamed("e", FILE, {key: 1}, rules(**fields)) == {new: 1}


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"keep": "visual."}, "text.norm.bias"),
        ({"drop": ["head.*"]}, "head.mlp.0.bias"),
        ({"drop": ["mask_token"]}, "mask_token"),
        ({"drop": ["*.attn_mask"]}, "layers.0.blocks.1.attn_mask"),
        ({"strip": ["module."], "drop": ["head.*"]}, "module.head.bias"),
    ],
)
def test_what_the_encoder_does_not_use_is_left_out(fields: dict[str, Any], key: str) -> None:
    assert renamed("e", FILE, {key: 1, "visual.a": 2}, rules(keep="")).keys() == {key, "visual.a"}
    assert not renamed("e", FILE, {key: 1}, rules(**fields))


def test_two_keys_may_not_become_one() -> None:
    with pytest.raises(WeightsError, match=r"'w.pth' holds two tensors that the card's `checkpoint` both names 'a'"):
        renamed("e", FILE, {"module.a": 1, "a": 2}, rules(strip=["module."]))


@pytest.mark.parametrize(
    ("content", "unwrap"),
    [
        ({"a": 1}, []),
        ({"state_dict": {"a": 1}}, []),
        ({"model": {"state_dict": {"a": 1}}}, []),
        ({"teacher": {"a": 1}, "epoch": 3}, ["teacher"]),
        ({"model": {"teacher": {"state_dict": {"a": 1}}, "student": {}}}, ["teacher"]),
        ({"state_dict": {"a": 1}}, ["state_dict"]),
        ({"x": {"y": {"a": 1}, "z": 1}, "w": 2}, ["x", "y"]),
    ],
)
def test_the_weights_are_taken_from_where_the_card_says(content: Any, unwrap: list[str]) -> None:
    assert opened("e", FILE, content, rules(unwrap=unwrap)) == {"a": 1}


@pytest.mark.parametrize(
    ("content", "unwrap"),
    [
        ({"student": {"a": 1}, "epoch": 3}, ["teacher"]),
        ({"teacher": {"a": 1}}, ["teacher", "weights"]),
        ({"teacher": 1, "a": {}}, ["teacher", "weights"]),
        ([1, 2], ["teacher"]),
        (torch.ones(2), ["teacher"]),
    ],
)
def test_a_file_without_the_entry_is_refused_with_what_it_holds(content: Any, unwrap: list[str]) -> None:
    with pytest.raises(WeightsError, match=rf"'w.pth' holds \d entries \(first: .*but no '{unwrap[-1]}'"):
        opened("e", FILE, content, rules(unwrap=unwrap))


def reduced(model: str, **changes: Any) -> torch.nn.Module:
    made: torch.nn.Module = timm.create_model(
        model, num_classes=0, img_size=56, depth=2, embed_dim=48, num_heads=3, init_values=1e-5, **changes
    )
    return made


def native_state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Random tensors under the keys that DINOv2's own code would give them."""
    generator = torch.Generator().manual_seed(4)
    state = {k: torch.randn(t.shape, generator=generator) for k, t in network.state_dict().items()}
    if "reg_token" in state:
        state["register_tokens"] = state.pop("reg_token")
        state["pos_embed"] = torch.randn(1, state["pos_embed"].shape[1] + 1, 48, generator=generator)
    gated = type(network.get_submodule("blocks.0.mlp")).__name__ == "GluMlp"
    pairs = ((".mlp.fc1.", ".mlp.w12."), (".mlp.fc2.", ".mlp.w3.")) if gated else ()
    for old, new in pairs:
        state = {key.replace(old, new): tensor for key, tensor in state.items()}
    return state | {"mask_token": torch.randn(1, 48, generator=generator)}


MODELS = ["vit_small_patch14_dinov2", "vit_giant_patch14_dinov2", "vit_giant_patch14_reg4_dinov2"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("convert", ["dinov2", "timm"])
def test_weights_of_dinov2_s_own_code_are_converted_as_timm_converts_them(model: str, convert: str) -> None:
    network = reduced(model)
    native = native_state(network)
    expected = checkpoint_filter_fn(dict(native), network)
    found = converted("e", dict(native), network, rules(convert=convert))
    assert found.keys() == expected.keys() == network.state_dict().keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("model", MODELS)
def test_chunked_blocks_and_a_file_without_the_mask_token_are_converted_too(model: str) -> None:
    network = reduced(model)
    native = native_state(network)
    chunked = {key.replace("blocks.", "blocks.1."): tensor for key, tensor in native.items() if key != "mask_token"}
    plain = converted("e", native, network, rules(convert="dinov2"))
    found = converted("e", chunked, network, rules(convert="dinov2"))
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[key], plain[key]) for key in plain)


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("pos_embed", lambda t: torch.cat([t, t[:, 1:], t[:, 1:], t[:, 1:]], 1)),
        ("patch_embed.proj.weight", lambda t: t.repeat(1, 1, 2, 2)),
    ],
)
def test_timm_s_own_conversion_may_not_resize_in_silence(key: str, change: Callable[[Any], Any]) -> None:
    network = reduced("vit_small_patch14_dinov2")
    state = dict(network.state_dict())
    state[key] = change(state[key])
    with pytest.raises(WeightsError, match=f"the shape of '{key}' is .*, the card says"):
        converted("e", state, network, rules(convert="timm"))
