"""The networks of text towers: token numbers in, one vector a text out.

Each takes `ids` int64 (b, context), padded on the right, and `mask` of that shape, 1 where a
token is one of the text, and returns (b, dim), not normalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsi_features.encode.text.card import TextCard
from wsi_features.errors import CardError, one_line

if TYPE_CHECKING:
    from torch import nn

_REFUSALS = (AssertionError, AttributeError, LookupError, TypeError, ValueError, RuntimeError)


def text_network(card: TextCard) -> nn.Module:
    """The card's network on the CPU in evaluation mode, to be given its weights. Raises CardError."""
    make = {"open_clip": _open_clip, "transformers": _transformers, "bert": _bert}[card.builder]
    try:
        network = make(card)
    except _REFUSALS as error:
        wanted = f"what {card.builder} takes ({one_line(error) or type(error).__name__})"
        raise CardError.invalid(card.name, "arguments", card.arguments, wanted) from error
    return network.eval().requires_grad_(requires_grad=False)


def _open_clip(card: TextCard) -> nn.Module:
    """The transformer of CLIP and CoCa, in the key names that open_clip publishes."""
    from open_clip.transformer import QuickGELU, TextTransformer
    from torch import nn

    arguments = dict(card.arguments)
    quick = arguments.pop("quick_gelu", False)
    tower: nn.Module = TextTransformer(output_dim=card.dim, act_layer=QuickGELU if quick else nn.GELU, **arguments)
    tower.register_forward_pre_hook(lambda _, given: given[:1])  # it knows by the padding where a text ends
    return tower


def _transformers(card: TextCard) -> nn.Module:
    """The text half of CLIP in the key names of transformers."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    config = CLIPTextConfig(projection_dim=card.dim, **card.arguments)
    network: nn.Module = CLIPTextModelWithProjection(config)
    network.register_forward_hook(lambda _network, _given, out: out.text_embeds)
    return network


def _bert(card: TextCard) -> nn.Module:
    """BERT with its own pooler, or its first token behind a projection of two layers."""
    from wsi_features.encode.networks.bert import BertTower

    return BertTower(dim=card.dim, **card.arguments)
