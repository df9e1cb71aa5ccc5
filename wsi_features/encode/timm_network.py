"""The networks of timm, made as a card says and without weights.

A network is first made without storage (torch's meta device), so that a model of a
billion parameters costs nothing until its weights are there. timm is never asked for
pretrained weights, and no name from a card is imported: layer classes come from a list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsi_features.encode.card import EncoderCard
from wsi_features.errors import CardError, WeightsError, one_line

if TYPE_CHECKING:
    import torch
    from torch import nn

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

# Set by the builder, or they would make timm read other files or return something else than features.
_PRETRAINED = ("cache_dir", "checkpoint_path", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay")
_RESERVED = {*_PRETRAINED, "features_only", "in_chans", "num_classes"}
# What the constructors and networks of timm raise on arguments and images that they do not take.
_REFUSALS: tuple[type[Exception], ...] = (AssertionError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Outline:
    """What can be told of a network without its weights.

    `filled_by_weights` says that a state dict holds all its numbers; other networks compute
    tables of their own while they are made.
    """

    parameters: int
    prefix_tokens: int
    width: int
    filled_by_weights: bool


def outline(card: EncoderCard) -> Outline:
    """Make the card's network, look, and throw it away. Raises CardError.

    It is not the one to be used: some networks keep tables from the first image they see,
    made of weights that they do not have yet.
    """
    try:
        probe = _made(card, "meta")
        width = _width(card, probe)
    except RuntimeError:  # some networks cannot be made or run without numbers
        probe = _made(card, "cpu")
        width = _width(card, probe)
    return Outline(
        parameters=sum(p.numel() for p in probe.parameters()),
        prefix_tokens=getattr(probe, "num_prefix_tokens", 0),
        width=width,
        filled_by_weights=next(probe.parameters()).device.type == "meta" and not _own_tensors(probe),
    )


def unfilled_network(card: EncoderCard, known: Outline) -> nn.Module:
    """The card's network in evaluation mode, to be given its weights: without storage where they fill it all."""
    return _made(card, "meta" if known.filled_by_weights else "cpu")


def check_outline(card: EncoderCard, found: Outline) -> None:
    """Compare an architecture with its card: parameters, prefix tokens, output width. Raises WeightsError."""
    if card.parameters not in (None, found.parameters):
        raise WeightsError.differs(card.name, "the parameter count", found.parameters, card.parameters)
    if card.output != "pooled" and found.prefix_tokens != card.prefix_tokens:
        raise WeightsError.differs(card.name, "the number of prefix tokens", found.prefix_tokens, card.prefix_tokens)
    if found.width != card.dim:
        raise WeightsError.differs(card.name, "the output dimension", found.width, card.dim)


def feature_rows(card: EncoderCard, out: torch.Tensor) -> torch.Tensor:
    """The card's output recipe: tokens (b, n, d), or rows that are pooled already, to float32 (b, dim).

    Token 0 is the class token. Patch tokens start after `prefix_tokens`, which leaves the
    registers out of the mean.
    """
    import torch

    out = out.float()  # before the mean: a sum over patches may leave the range of fp16
    if card.output == "cls":
        return out[:, 0]
    if card.output == "mean":
        return out[:, card.prefix_tokens :].mean(1)
    if card.output == "cls+mean":
        return torch.cat([out[:, 0], out[:, card.prefix_tokens :].mean(1)], dim=-1)
    return out


def _width(card: EncoderCard, network: nn.Module) -> int:
    """Width of the card's output, from one black image."""
    import torch

    device = next(network.parameters()).device
    try:
        with torch.inference_mode():
            rows = feature_rows(card, network(torch.zeros(1, 3, card.input_px, card.input_px, device=device)))
    except _refusals(device.type) as error:
        wanted = f"a width of images that the network takes ({_words(error)})"
        raise CardError.invalid(card.name, "input_px", card.input_px, wanted) from error
    if rows.ndim != 2 or rows.shape[1] == 0:
        wanted = f"a recipe that makes one row an image of what this network returns (it makes {tuple(rows.shape)})"
        raise CardError.invalid(card.name, "output", card.output, wanted)
    return rows.shape[1]


def _own_tensors(network: nn.Module) -> bool:
    """Whether a network holds tensors that its state dict does not: unsaved buffers, plain attributes."""
    import torch

    saved = network.state_dict().keys()
    attributes = (value for module in network.modules() for value in vars(module).values())
    return any(key not in saved for key, _ in network.named_buffers()) or any(
        isinstance(value, torch.Tensor) for value in attributes
    )


def _made(card: EncoderCard, device: str) -> nn.Module:
    """Construct on a device. On meta a RuntimeError passes through: it may only mean that numbers are missing."""
    import timm
    import torch

    model, arguments = _constructor(card)
    try:
        with torch.device(device):
            network: nn.Module = timm.create_model(model, pretrained=False, num_classes=0, **arguments)
    except _refusals(device) as error:
        wanted = f"what timm takes ({_words(error)})"
        raise CardError.invalid(card.name, "arguments", card.arguments, wanted) from error
    return network.eval().requires_grad_(requires_grad=False)


def _refusals(device: str) -> tuple[type[Exception], ...]:
    return _REFUSALS if device == "meta" else (*_REFUSALS, RuntimeError)


def _constructor(card: EncoderCard) -> tuple[str, dict[str, Any]]:
    """Model name and arguments for timm. Token outputs need all tokens, so the network may not pool."""
    import timm

    arguments = dict(card.arguments)
    model = arguments.pop("model", None)
    if not isinstance(model, str) or not timm.is_model(model):
        raise CardError.invalid(card.name, "arguments.model", model, f"a model of timm {timm.__version__}")
    if card.output == "descriptor":
        raise CardError.invalid(card.name, "output", card.output, "cls, cls+mean, mean or pooled")
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _words(error: Exception) -> str:
    return one_line(error) or type(error).__name__
