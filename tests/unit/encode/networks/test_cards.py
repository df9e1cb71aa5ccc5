"""The shipped cards of all builders but timm's: at full size, without storage, and in every precision when small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wsi_features.encode.build import build
from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.networks import network_builder
from wsi_features.encode.outline import outline
from wsi_features.encode.registry import card_named, cards
from wsi_features.tiles.grid import TileBatch

BUILT = [card.name for card in cards() if card.builder in ("transformers", "open_clip", "torchvision", "own")]
VIT = {"depth": 2, "embed_dim": 96, "num_heads": 4}
TOWER = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SMALL: dict[str, tuple[dict[str, Any], int]] = {
    "conch_v1:projected": (VIT, 512),
    "conch_v15": (VIT, 768),
    "ctranspath": ({"depths": (1, 1, 1, 1)}, 768),
    "keep": (VIT, 768),
    "genbio_pathfm": ({"width": 96, "depth": 2, "heads": 3, "hidden": 128}, 288),
    "isight:mean": (TOWER | {"intermediate_size": 96}, 48),
    "midnight_12k:cls+mean": (TOWER, 96),
    "plip": (TOWER | {"intermediate_size": 96}, 512),
    "medsiglip_448": (TOWER | {"intermediate_size": 96}, 48),
    "omiclip": ({"vision": {"layers": 2, "width": 64, "head_width": 16}}, 768),
}


@pytest.mark.parametrize("name", BUILT)
def test_a_card_gives_the_published_parameter_count_width_and_tokens(name: str) -> None:
    card = card_named(name)
    found = outline(card)
    assert (found.parameters, found.width) == (card.parameters, card.dim)
    assert found.prefix_tokens == card.prefix_tokens


@pytest.mark.parametrize("name", SMALL)
def test_a_network_computes_in_half_precision_what_it_does_in_fp32(
    name: str,
    cut_card: Callable[..., EncoderCard],
    random_weights: Callable[..., Any],
    saved: Callable[[Any], Path],
) -> None:
    arguments, dim = SMALL[name]
    card = cut_card(name, arguments, dim=dim, checkpoint={})
    builder = network_builder(card.builder)
    assert builder is not None
    path = saved(random_weights(builder.made(card, "cpu")).state_dict())
    pixels = np.random.default_rng(3).integers(0, 256, (2, card.tile_px, card.tile_px, 3), np.uint8)
    tiles = TileBatch(
        pixels // np.array([1, 3]).reshape(2, 1, 1, 1).astype(np.uint8), np.arange(2), np.ones(2, np.bool_)
    )
    rows: dict[Precision, torch.Tensor] = {}
    kinds: tuple[Precision, ...] = ("fp32", "fp16", "bf16")
    for kind in kinds:
        encoder = build(card, weights=path, precision=kind, device="cpu", workers=2)
        rows[kind] = torch.from_numpy(encoder.submit(tiles).rows())
        encoder.close()
    for half in kinds[1:]:
        assert torch.cosine_similarity(rows[half], rows["fp32"]).min() > 0.999, half
        assert not torch.equal(rows[half], rows["fp32"]), half
