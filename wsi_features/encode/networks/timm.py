"""The networks of timm, made as a card says and without weights.

timm is never asked for pretrained weights, and no name from a card is imported: layer
classes come from a list. A card's arguments are those of `timm.create_model`, and one more:
`feature_level: k` ends a convolutional network after its k-th level and takes the mean over the image.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from wsi_features.encode.card import TOKEN_OUTPUTS, EncoderCard
from wsi_features.encode.outline import outline, refusals
from wsi_features.encode.registry import close
from wsi_features.errors import CardError, UnknownEncoderError, WeightsError, one_line

if TYPE_CHECKING:
    from timm.models import PretrainedCfg
    from torch import nn

    from wsi_features.encode.checkpoint import State

LAYERS = (
    "timm.layers.LayerNorm",
    "timm.layers.Mlp",
    "timm.layers.SwiGLU",
    "timm.layers.SwiGLUPacked",
    "torch.nn.GELU",
    "torch.nn.LayerNorm",
    "torch.nn.SiLU",
)
"""The layer classes that a card's arguments may name."""

_GATED = ("timm.layers.SwiGLU", "timm.layers.SwiGLUPacked")
_LEVEL = "feature_level"
_PREFIX = "timm:"
# Set by the builder, or they would make timm read other files or return something else than features.
_PRETRAINED = ("cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay")
_RESERVED = {*_PRETRAINED, "features_only", "out_indices", "in_chans", "num_classes"}


def made(card: EncoderCard, device: str) -> nn.Module:
    """The card's network on `device`. Raises CardError."""
    import timm

    from wsi_features.encode.networks.blank import placed

    model, arguments = _constructor(card)
    level = arguments.pop(_LEVEL, None)
    levels = {"num_classes": 0} if level is None else {"features_only": True, "out_indices": (level,)}
    try:
        with placed(device):
            network: nn.Module = timm.create_model(model, pretrained=False, **levels, **arguments)
    except refusals(device) as error:
        wanted = f"what timm takes ({one_line(error) or type(error).__name__})"
        raise CardError.invalid(card.name, "arguments", card.arguments, wanted) from error
    _check_gates(card, network)
    network = network if level is None else _pooled_level(card, network)
    return network.eval().requires_grad_(requires_grad=False)


def converted(name: str, state: State, network: nn.Module) -> State:
    """The state as timm itself would change a published file of this model, but never resized.

    Raises CardError where timm has no rule, and WeightsError for weights of another image or patch size.
    """
    rule = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if rule is None:
        wanted = "nothing: timm has no rule for this model"
        raise CardError.invalid(name, "checkpoint.convert", "timm", wanted)
    found: State = rule(dict(state), network)
    for part in ("pos_embed", "patch_embed.proj.weight"):
        given = next((tensor for key, tensor in state.items() if key.endswith(part)), None)
        if given is None or part not in found:
            continue
        # The position of a class token may have been added to the token.
        if found[part].numel() not in (given.numel(), given.numel() - given.shape[-1]):
            raise WeightsError.differs(name, f"the shape of {part!r}", tuple(given.shape), tuple(found[part].shape))
    return found


def named_card(name: str) -> EncoderCard:
    """A card from what timm states of the model; width and parameters are counted on an empty network."""
    import timm

    model = name.removeprefix(_PREFIX)
    stated = _stated(name, model)
    draft = EncoderCard(
        name=name,
        builder="timm",
        arguments={"model": model},
        tile_px=stated.input_size[-1],
        tile_mpp=0.5,
        mpp_range=(0.1, 10.0),
        input_px=stated.input_size[-1],
        interpolation=stated.interpolation,
        mean=stated.mean,
        std=stated.std,
        output="pooled",
        dim=1,
        licence="unknown: given by the user",
        source="timm",
        notes=f"Read from timm {timm.__version__}. A model of natural images has no physical scale: any is accepted.",
    )
    known = outline(draft)
    return draft.model_copy(update={"dim": known.width, "parameters": known.parameters})


def _stated(name: str, model: str) -> PretrainedCfg:
    """What timm states of a model, refused where a card cannot say it."""
    import timm

    if not timm.is_model(model):
        meant = close(model, timm.list_models())
        raise UnknownEncoderError.not_in_library(name, f"timm {timm.__version__}", [_PREFIX + c for c in meant])
    try:
        stated = timm.get_pretrained_cfg(model)
    except RuntimeError as error:  # the architecture exists, the tag behind the dot does not
        tagged = timm.list_models(f"{model.partition('.')[0]}.*", pretrained=True)
        meant = close(model, tagged) or tagged
        raise UnknownEncoderError.not_in_library(
            name, f"timm {timm.__version__}", [_PREFIX + c for c in meant]
        ) from error
    if stated is None:
        raise CardError.unreadable(name, "timm does not state how its images are prepared")
    if stated.input_size[0] != 3 or stated.input_size[1] != stated.input_size[2]:
        raise CardError.invalid(name, "`input_size`", stated.input_size, "three channels and a square")
    if stated.interpolation not in ("bilinear", "bicubic"):
        raise CardError.invalid(name, "`interpolation`", stated.interpolation, "bilinear or bicubic")
    return stated


def _constructor(card: EncoderCard) -> tuple[str, dict[str, Any]]:
    """Model name and arguments for timm. Token outputs need all tokens, so the network may not pool."""
    import timm

    arguments = dict(card.arguments)
    model = arguments.pop("model", None)
    if not isinstance(model, str) or not timm.is_model(model):
        raise CardError.invalid(card.name, "arguments.model", model, f"a model of timm {timm.__version__}")
    if card.output not in (*TOKEN_OUTPUTS, "pooled"):
        raise CardError.invalid(card.name, "output", card.output, "cls, mean, cls+mean, tokens or pooled")
    for key in sorted(_RESERVED & arguments.keys()):
        raise CardError.invalid(card.name, f"arguments.{key}", arguments[key], "nothing, the builder sets it")
    pool = {} if card.output == "pooled" else {"global_pool": ""}
    return model, pool | {key: _argument(card, key, value) for key, value in arguments.items()}


def _argument(card: EncoderCard, key: str, value: Any) -> Any:
    """A value of the card; a dotted name stands for a layer class."""
    import timm.layers
    import torch

    if value in LAYERS:
        home, _, layer = value.rpartition(".")
        return getattr(timm.layers if home == "timm.layers" else torch.nn, layer)
    if isinstance(value, str) and _is_number(value):
        wanted = "a number, and YAML takes 1e-5 for a text: write 1.0e-5"
        raise CardError.invalid(card.name, f"arguments.{key}", value, wanted)
    if isinstance(value, str) and "." in value:
        raise CardError.invalid(card.name, f"arguments.{key}", value, f"one of {', '.join(LAYERS)}")
    return value


def _check_gates(card: EncoderCard, network: nn.Module) -> None:
    """Refuse a SwiGLU without its SiLU, which timm builds when `act_layer` is left out.

    No weights file could tell: the keys are the same, and the features only a little wrong
    (cosine 0.93 to the right ones in a network of 12 blocks).
    """
    import torch
    from timm.layers.mlp import GluMlp, SwiGLU

    if card.arguments.get("mlp_layer") not in _GATED:
        return
    for module in network.modules():
        if isinstance(module, (GluMlp, SwiGLU)) and not isinstance(module.act, torch.nn.SiLU):
            stated = card.arguments.get("act_layer")
            wanted = f"torch.nn.SiLU, the activation of {card.arguments['mlp_layer']}"
            raise CardError.invalid(card.name, "arguments.act_layer", stated, wanted)


def _pooled_level(card: EncoderCard, levels: nn.Module) -> nn.Module:
    """The layers up to one feature level, under the names that they have in the whole network, then the mean."""
    from torch import nn

    if card.output != "pooled":
        raise CardError.invalid(card.name, "output", card.output, f"pooled, where arguments.{_LEVEL} is given")
    ends = (("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()))
    return nn.Sequential(OrderedDict([*levels.named_children(), *ends]))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
