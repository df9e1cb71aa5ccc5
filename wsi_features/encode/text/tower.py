"""A loaded text tower: prompts to vectors. Always fp32 on the CPU: prompts are few, and equal everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_features.encode.checkpoint import Checkpoint
from wsi_features.encode.text.card import TextCard
from wsi_features.encode.text.networks import text_network
from wsi_features.encode.text.tokens import TextTokens, tokenizer_of
from wsi_features.encode.weights import check_state, load_state

if TYPE_CHECKING:
    from torch import nn

_PIECE = 16


@dataclass(frozen=True, slots=True, eq=False)
class TextTower:
    """A text tower with its weights. `scale` is the factor of cosines before a softmax, 1 where the file has none."""

    card: TextCard
    network: nn.Module
    tokens: TextTokens
    weights_digest: str
    scale: float

    def rows(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """float32 (n, dim), each of length 1. Raises PromptError for a text that is too long."""
        import torch
        from torch.nn import functional

        ids, mask = self.tokens(texts)
        with torch.inference_mode():
            pieces = [
                self.network(
                    torch.from_numpy(ids[start : start + _PIECE]), torch.from_numpy(mask[start : start + _PIECE])
                )
                for start in range(0, len(ids), _PIECE)
            ]
        out: npt.NDArray[np.float32] = functional.normalize(torch.cat(pieces).float(), dim=-1).numpy()
        return out


def text_tower(card: TextCard, weights: Path, tokenizer: Path | None = None) -> TextTower:
    """The tower of `card` with the weights of a local file, loaded strictly.

    `tokenizer` is a file or folder, for cards that need one. Raises CardError, WeightsError and PromptError.
    """
    tokens = tokenizer_of(card, weights, tokenizer)
    network = text_network(card)
    state, digest = load_state(card.name, weights, rules=card.checkpoint)
    check_state(card.name, weights, state, network.state_dict())
    network.load_state_dict(state)
    return TextTower(card, network, tokens, digest, _scale(card, weights))


def _scale(card: TextCard, weights: Path) -> float:
    """E to the power of what the file holds under the card's key."""
    entry = Checkpoint(unwrap=card.checkpoint.unwrap, keep=card.scale_key)
    state, _ = load_state(card.name, weights, rules=entry)
    return math.exp(float(state[""])) if "" in state else 1.0
