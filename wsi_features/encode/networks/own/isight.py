"""The tile encoder of iSight: the vision tower of CLIP ViT-L/14 at 336 px, and a projection of its tokens.

Source: iSight (Huang et al., 2026). Tokens are those before the tower's last norm: that norm and
CLIP's own projection were never trained here, and the published file holds them as CLIP has them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import CLIPVisionConfig, CLIPVisionModel

_SHAPE: dict[str, Any] = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 336,
    "hidden_act": "quick_gelu",
}


class ISight(nn.Module):
    """Images (b, 3, 336, 336) to tokens (b, 577, 1024), the class token first.

    Its published mean is over all tokens, the class token among them, so it has no prefix to leave out.
    """

    num_prefix_tokens = 0

    def __init__(self, **shape: Any) -> None:
        super().__init__()
        config = CLIPVisionConfig(**(_SHAPE | shape))
        self.patch_encoder = nn.ModuleDict({"vision_model": CLIPVisionModel(config)})
        self.visual_token_projection = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Projected tokens."""
        tokens = self.patch_encoder["vision_model"](pixel_values=images).last_hidden_state
        projected: torch.Tensor = self.visual_token_projection(tokens)
        return projected


def network(output: str, **arguments: Any) -> nn.Module:  # noqa: ARG001 - the recipe picks from the tokens
    """The tower and its projection."""
    return ISight(**arguments)
