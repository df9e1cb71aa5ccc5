"""Networks whose architecture is in none of the libraries: one small module each.

Each module has `network(output, **arguments)`, which makes it for an output recipe. Parameters
are named as in the published file, so that a card needs few key changes. The modules are written
from what is published about the networks and define classes of torch, so each is imported only
when its network is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.construct import chosen, constructed

if TYPE_CHECKING:
    from torch import nn

NETWORKS = ("conch_v1", "conch_v15", "ctranspath", "genbio_pathfm", "isight", "keep", "kimianet")
"""What a card's `arguments.model` may name."""


def made(card: EncoderCard, device: str) -> nn.Module:
    """The card's network on `device`. Raises CardError."""
    model, arguments = chosen(card, NETWORKS, "this program")
    module = import_module(f"{__name__}.{model}")
    return constructed(card, device, f"the network {model}", lambda: module.network(card.output, **arguments))
