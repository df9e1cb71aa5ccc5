"""The card that stands for a weights file: any of the variants that share it."""

from __future__ import annotations

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.registry import card_named, cards
from wsi_features.encode.weights_store.record import key_of


def card_of_weights(name: str) -> EncoderCard:
    """The card of an encoder or of one of its variants: `virchow2` is as good as `virchow2:cls`, the file is the same.

    Raises what `card_named` raises.
    """
    sharing = [card for card in cards() if isinstance(card, EncoderCard) and key_of(card) == name]
    return sharing[0] if sharing else card_named(name)
