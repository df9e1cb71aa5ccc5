"""Every shipped card of a timm network: its numbers, and a file in its published form loaded to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import timm.layers
import torch
from safetensors.torch import save_file

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.loading import loaded_network
from wsi_features.encode.networks import network_builder
from wsi_features.encode.outline import check_outline, feature_rows, outline_of
from wsi_features.encode.registry import cards

State = dict[str, torch.Tensor]

GELU, SILU, RELU = "GELU", "SiLU", "ReLU"
FACTS = {
    # parameters, class and register tokens, attention heads, activation, width of each output
    "dinobloom_b": (85724928, 1, 12, GELU, [768]),
    "dinobloom_g": (1134769664, 1, 24, SILU, [1536]),
    "dinobloom_l": (303227904, 1, 16, GELU, [1024]),
    "dinobloom_s": (21628800, 1, 6, GELU, [384]),
    "dinov2_vitb14": (86579712, 1, 12, GELU, [768]),
    "dinov2_vitg14": (1136479232, 1, 24, SILU, [1536]),
    "dinov2_vitl14": (304367616, 1, 16, GELU, [1024]),
    "dinov2_vits14": (22056192, 1, 6, GELU, [384]),
    "dinov3_vitb16": (85641216, 5, 12, GELU, [768, 768]),
    "dinov3_vith16plus": (840509440, 5, 20, SILU, [1280, 1280]),
    "dinov3_vitl16": (303079424, 5, 16, GELU, [1024, 1024]),
    "dinov3_vits16": (21586944, 5, 6, GELU, [384, 384]),
    "exaonepath_1_0": (85798656, 1, 12, GELU, [768]),
    "gpfm": (303227904, 1, 16, GELU, [1024]),
    "h0_mini": (85739520, 5, 12, SILU, [768, 1536]),
    "h_optimus_0": (1134774272, 5, 24, SILU, [1536]),
    "h_optimus_1": (1134774272, 5, 24, SILU, [1536]),
    "hipt_vit256": (21665664, 1, 6, GELU, [384]),
    "kaiko_vitb16": (85798656, 1, 12, GELU, [768]),
    "kaiko_vitb8": (85807872, 1, 12, GELU, [768]),
    "kaiko_vitl14": (304370688, 5, 16, GELU, [1024]),
    "kaiko_vits16": (21665664, 1, 6, GELU, [384]),
    "kaiko_vits8": (21670272, 1, 6, GELU, [384]),
    "lunit_resnet50_bt": (23508032, 0, 0, RELU, [2048]),
    "lunit_resnet50_mocov2": (23508032, 0, 0, RELU, [2048]),
    "lunit_resnet50_swav": (23508032, 0, 0, RELU, [2048]),
    "lunit_vits16": (21665664, 1, 6, GELU, [384]),
    "lunit_vits8": (21670272, 1, 6, GELU, [384]),
    "mstar": (303350784, 1, 16, GELU, [1024]),
    "openmidnight": (1134774272, 5, 24, SILU, [1536]),
    "pathdino": (9562368, 1, 6, GELU, [384]),
    "pathorchestra": (303350784, 1, 16, GELU, [1024]),
    "prov_gigapath": (1134953984, 1, 24, SILU, [1536]),
    "resnet50_imagenet:layer3": (8543296, 0, 0, RELU, [1024]),
    "resnet50_imagenet:layer4": (23508032, 0, 0, RELU, [2048]),
    "sp22m": (21665664, 1, 6, GELU, [384]),
    "sp85m": (85798656, 1, 12, GELU, [768]),
    "uni": (303350784, 1, 16, GELU, [1024]),
    "uni2_h": (681394176, 9, 24, SILU, [1536]),
    "virchow": (631229184, 1, 16, SILU, [1280, 2560]),
    "virchow2": (631239424, 5, 16, SILU, [1280, 2560]),
}
"""What is published or was counted elsewhere, apart from the cards."""

TIMM = {card.name: card for card in cards() if isinstance(card, EncoderCard) and card.builder == "timm"}
SMALL = 25_000_000
"""Parameters of a network that is built whole; of a larger one, two blocks."""


def variants(key: str) -> list[EncoderCard]:
    return [card for name, card in TIMM.items() if key in (name, name.partition(":")[0])]


def test_every_timm_card_is_checked_here() -> None:
    assert {card.name for key in FACTS for card in variants(key)} == TIMM.keys()


@pytest.mark.parametrize("key", FACTS)
def test_a_card_gives_the_known_parameters_tokens_heads_activation_and_widths(key: str) -> None:
    parameters, prefix, heads, activation, widths = FACTS[key]
    card, *others = variants(key)
    network = network_builder("timm").made(card, "meta")
    found = outline_of(card, network, "meta")
    assert (found.parameters, found.parameters) == (parameters, card.parameters)
    assert [card.dim, *(other.dim for other in others)] == widths
    check_outline(card, found)
    for other in others:
        check_outline(other, outline_of(other, network, "meta"))
    for each in (card, *others):
        assert each.arguments == card.arguments
    if heads:
        assert network.num_prefix_tokens == prefix
        assert {module.num_heads for module in network.modules() if hasattr(module, "num_heads")} == {heads}
    activations = {type(module).__name__ for module in network.modules() if module_is_activation(module)}
    assert activations == {activation}


def module_is_activation(module: torch.nn.Module) -> bool:
    return isinstance(module, (torch.nn.GELU, torch.nn.SiLU, torch.nn.ReLU, torch.nn.Sigmoid))


def plain_network(card: EncoderCard, depth: int | None) -> torch.nn.Module:
    """The network as timm makes it, without any code of the package, with random weights."""
    arguments = dict(card.arguments)
    model, level = arguments.pop("model"), arguments.pop("feature_level", None)
    for key in {"mlp_layer", "act_layer"} & arguments.keys():
        home, _, name = arguments[key].rpartition(".")
        arguments[key] = getattr({"timm.layers": timm.layers, "torch.nn": torch.nn}[home], name)
    if depth:
        arguments["depth"] = depth
    torch.manual_seed(5)
    rotary = "dinov3" in model  # whose tables of angles no state dict holds
    with torch.device("cpu" if rotary else "meta"):  # the initial numbers of the others would take half of the time
        network: torch.nn.Module = timm.create_model(model, num_classes=10 if level else 0, **arguments).eval()
    network = network if rotary else network.to_empty(device="cpu")
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                tensor.zero_()
            else:
                tensor.uniform_(0.5, 1.5) if name.endswith("running_var") else tensor.normal_(std=0.05)
    return network


def plain_rows(card: EncoderCard, network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """What the card's authors take of the network's output."""
    assert isinstance(network, (timm.models.VisionTransformer, timm.models.Eva, timm.models.ResNet))
    if isinstance(network, timm.models.ResNet):
        if "feature_level" not in card.arguments:
            return network(images)
        stem = network.maxpool(network.act1(network.bn1(network.conv1(images))))
        return network.layer3(network.layer2(network.layer1(stem))).mean((2, 3))
    tokens = network.forward_features(images)
    cls, mean = tokens[:, 0], tokens[:, FACTS[card.name.partition(":")[0]][1] :].mean(1)
    return {"cls": cls, "mean": mean, "cls+mean": torch.cat([cls, mean], 1)}[card.output]


def native_dinov2(network: torch.nn.Module, chunked: bool = False) -> State:
    """The network's weights under the keys of DINOv2's own code, which has a position for the class token too."""
    state = dict(network.state_dict())
    if "reg_token" in state:
        first = torch.full_like(state["cls_token"], 0.25)
        state["pos_embed"] = torch.cat([first, state["pos_embed"]], 1)
        own = state["cls_token"].clone()
        network.cls_token.data = own + first  # so that the sum is the same float in both
        state["cls_token"] = own
        state["register_tokens"] = state.pop("reg_token")
    state["mask_token"] = torch.ones(1, own_width(state))
    if network.blocks[0].mlp.fc1.out_features != network.blocks[0].mlp.fc2.in_features:  # gated
        names = {".mlp.fc1.": ".mlp.w12.", ".mlp.fc2.": ".mlp.w3."}
        state = {replaced(key, names): tensor for key, tensor in state.items()}
    return {replaced(key, {"blocks.": "blocks.0."}): t for key, t in state.items()} if chunked else state


def own_width(state: State) -> int:
    return state["norm.weight"].shape[0]


def replaced(key: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        key = key.replace(old, new)
    return key


def behind(prefix: str, state: State) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}


def bloom(network: torch.nn.Module) -> Any:
    head = {"dino_head.last_layer.weight": torch.ones(3, 2)}
    return {"teacher": behind("backbone.", native_dinov2(network, chunked=True)) | head}


def with_head(prefix: str, network: torch.nn.Module) -> State:
    return behind(prefix, network.state_dict()) | {"head.weight": torch.ones(3, 2), "head.mlp.0.bias": torch.ones(3)}


FORMS: dict[str, Callable[[torch.nn.Module], Any]] = {
    "openmidnight": native_dinov2,
    **dict.fromkeys(("dinobloom_s", "dinobloom_b", "dinobloom_l", "dinobloom_g"), bloom),
    "exaonepath_1_0": lambda n: {"epoch": 3, "state_dict": n.state_dict(), "loops": {"fit": [1]}},
    "sp22m": lambda n: with_head("module.backbone.", n),
    "sp85m": lambda n: with_head("backbone.", n),
    "hipt_vit256": lambda n: {"student": {"a": torch.ones(2)}, "teacher": with_head("backbone.", n), "epoch": 9},
    "pathdino": lambda n: behind("backbone.", n.state_dict()),
    "lunit_resnet50_bt": lambda n: n.state_dict() | {"fc.weight": torch.ones(5, 2048), "fc.bias": torch.ones(5)},
    "mstar": lambda n: {"model": n.state_dict()},
}
"""How the file of a model is published where that is not a bare state dict."""


def saved(folder: Path, card: EncoderCard, network: torch.nn.Module) -> Path:
    key = card.name.partition(":")[0]
    content = FORMS[key](network) if key in FORMS else network.state_dict()
    if card.source.endswith("safetensors"):
        save_file(content, folder / "w.safetensors")
        return folder / "w.safetensors"
    torch.save(content, folder / "w.pt")
    return folder / "w.pt"


def round_trip(key: str, folder: Path, depth: int | None) -> None:
    card, *others = variants(key)
    plain = plain_network(card, depth)
    path = saved(folder, card, plain)
    changes: dict[str, Any] = {"weights_sha256": None}
    if depth:
        changes |= {"arguments": card.arguments | {"depth": depth}, "parameters": None}
    network, _ = loaded_network(card.model_copy(update=changes), path, torch.device("cpu"))
    path.unlink()  # pytest would keep gigabytes of them
    images = torch.randn(1, 3, card.input_px, card.input_px, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        out = network(images)
        for each in (card, *others):
            expected, found = plain_rows(each, plain, images), feature_rows(each, out)
            assert found.shape == (1, each.dim)
            assert expected.std() > 0.01
            assert (found - expected).abs().max() == 0.0


@pytest.mark.parametrize(
    "key", [pytest.param(key, marks=pytest.mark.ci) if k % 6 else key for k, key in enumerate(FACTS)]
)
def test_random_weights_in_the_published_form_give_the_features_of_plain_timm(key: str, tmp_path: Path) -> None:
    round_trip(key, tmp_path, None if FACTS[key][0] <= SMALL else 2)


@pytest.mark.full
@pytest.mark.parametrize("key", [key for key, facts in FACTS.items() if SMALL < facts[0] < 4e8])
def test_larger_networks_do_so_at_full_size(key: str, tmp_path: Path) -> None:
    round_trip(key, tmp_path, None)
