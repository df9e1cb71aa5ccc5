"""What can be told of a network before it has its weights, compared with the card.

A network is first made without storage (torch's meta device), so that a model of a
billion parameters costs nothing until its weights are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsi_features.encode.card import TOKEN_OUTPUTS, EncoderCard
from wsi_features.encode.networks import network_builder
from wsi_features.errors import CardError, WeightsError, one_line

if TYPE_CHECKING:
    import torch
    from torch import nn

# What constructors and networks of the libraries raise on arguments and images that they do not take.
REFUSALS: tuple[type[Exception], ...] = (AssertionError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Outline:
    """What can be told of a network without its weights.

    `parameters` is 0 for a program that does not show them. `filled_by_weights` says that a
    state dict holds all its numbers; other networks compute tables of their own while they are made.
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
    builder = network_builder(card.builder)
    try:
        return outline_of(card, builder.made(card, "meta"), "meta")
    except RuntimeError:  # some networks cannot be made or run without numbers
        return outline_of(card, builder.made(card, "cpu"))


def outline_of(card: EncoderCard, network: nn.Module, device: torch.device | str = "cpu") -> Outline:
    """The outline of a network on `device`, from one black image. Raises CardError."""
    parameters = list(network.parameters())
    return Outline(
        parameters=sum(p.numel() for p in parameters),
        prefix_tokens=getattr(network, "num_prefix_tokens", 0),
        width=_width(card, network, device),
        filled_by_weights=device == "meta" and not _own_tensors(network),
    )


def check_outline(card: EncoderCard, found: Outline) -> None:
    """Compare an architecture with its card: parameters, prefix tokens, output width. Raises WeightsError."""
    if found.parameters and card.parameters not in (None, found.parameters):
        raise WeightsError.differs(card.name, "the parameter count", found.parameters, card.parameters)
    if card.output in TOKEN_OUTPUTS and found.prefix_tokens != card.prefix_tokens:
        raise WeightsError.differs(card.name, "the number of prefix tokens", found.prefix_tokens, card.prefix_tokens)
    if found.width != card.dim:
        raise WeightsError.differs(card.name, "the output dimension", found.width, card.dim)


def feature_rows(card: EncoderCard, out: torch.Tensor) -> torch.Tensor:
    """The card's output recipe: tokens (b, n, d), or rows that are pooled already, to float32 (b, dim).

    Token 0 is the class token. Patch tokens start after `prefix_tokens`, which leaves the
    registers out of the mean; as dense tokens they follow one another row by row of the image.
    """
    import torch
    from torch.nn import functional

    out = out.float()  # before the mean: a sum over patches may leave the range of fp16
    patches = out[:, card.prefix_tokens :] if card.output in TOKEN_OUTPUTS else out
    match card.output:
        case "cls":
            return out[:, 0]
        case "mean":
            return patches.mean(1)
        case "cls+mean":
            return torch.cat([out[:, 0], patches.mean(1)], dim=-1)
        case "tokens":
            return patches.flatten(1)
        case "projected+normalised":
            return functional.normalize(out, dim=-1)
        case _:
            return out


def refusals(device: str) -> tuple[type[Exception], ...]:
    """What a network may raise on `device`. On meta a RuntimeError passes: it may only mean that numbers are missing."""
    return REFUSALS if device == "meta" else (*REFUSALS, RuntimeError)


def _width(card: EncoderCard, network: nn.Module, device: torch.device | str) -> int:
    """Width of the card's output, from one black image."""
    import torch

    try:
        with torch.inference_mode():
            out = network(torch.zeros(1, 3, card.input_px, card.input_px, device=device))
            _check_kind(card, out)
            rows = feature_rows(card, out)
    except refusals(str(device)) as error:
        wanted = f"a width of images that the network takes ({one_line(error) or type(error).__name__})"
        raise CardError.invalid(card.name, "input_px", card.input_px, wanted) from error
    return rows.shape[1]


def _check_kind(card: EncoderCard, out: torch.Tensor) -> None:
    """Refuse a recipe for tokens of a network that makes rows, and the other way round."""
    wanted = 3 if card.output in TOKEN_OUTPUTS else 2
    if out.ndim != wanted or 0 in out.shape:
        needs = f"a recipe for what this network returns ({tuple(out.shape)} of one image)"
        raise CardError.invalid(card.name, "output", card.output, needs)


def _own_tensors(network: nn.Module) -> bool:
    """Whether a network holds tensors that its state dict does not: unsaved buffers, plain attributes."""
    import torch

    saved = network.state_dict().keys()
    attributes = (value for module in network.modules() for value in vars(module).values())
    return any(key not in saved for key, _ in network.named_buffers()) or any(
        isinstance(value, torch.Tensor) for value in attributes
    )
