"""What the builders of networks share: the attempt itself, and what becomes of its failure."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.outline import refusals
from wsi_features.errors import CardError, one_line

if TYPE_CHECKING:
    from torch import nn


def constructed(
    card: EncoderCard,
    device: str,
    library: str,
    make: Callable[[], nn.Module],
    also: tuple[type[Exception], ...] = (),
) -> nn.Module:
    """What `make` makes on `device`, in evaluation mode and without gradients. Raises CardError.

    `also` are errors of the library itself about its arguments. On meta a RuntimeError passes: it
    may only mean that numbers are missing.
    """
    from wsi_features.encode.networks.blank import placed

    try:
        with placed(device):
            network = make()
    except (*refusals(device), *also) as error:
        wanted = f"what {library} takes ({one_line(error) or type(error).__name__})"
        raise CardError.invalid(card.name, "arguments", card.arguments, wanted) from error
    return network.eval().requires_grad_(requires_grad=False)


def chosen(card: EncoderCard, known: Collection[str], library: str) -> tuple[str, dict[str, Any]]:
    """The card's `model`, found to be one of `known`, and its other arguments. Raises CardError."""
    arguments = dict(card.arguments)
    model = arguments.pop("model", None)
    if not isinstance(model, str) or model not in known:
        listed = f"one of {', '.join(sorted(known))}" if len(known) < 20 else f"a model of {library}"
        raise CardError.invalid(card.name, "arguments.model", model, listed)
    return model, arguments
