"""The image tower of CONCH v1: a ViT-B/16 at 448 px, pooled by one learned query.

Source: A Visual-Language Foundation Model for Computational Pathology (Lu et al., 2024). The
caption pooler and the text tower are not part of it.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

_HEADS = 8


class QueryPool(nn.Module):
    """Attention of learned queries (n, width) over tokens (b, t, context): rows (b, n, width)."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(1, width))
        self.attn = nn.MultiheadAttention(width, _HEADS, kdim=context, vdim=context, batch_first=True)
        self.ln_q = nn.LayerNorm(width)
        self.ln_k = nn.LayerNorm(context)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (b, t, context) to rows (b, n, width)."""
        keys = self.ln_k(tokens)
        queries = self.ln_q(self.query).unsqueeze(0).expand(len(tokens), -1, -1)
        pooled: torch.Tensor = self.attn(queries, keys, keys, need_weights=False)[0]
        return pooled


class ConchV1(nn.Module):
    """Images (b, 3, 448, 448) to rows (b, 512): before the contrastive projection, or after it."""

    def __init__(self, *, projected: bool, width: int = 512, **changes: Any) -> None:
        super().__init__()
        shape: dict[str, Any] = {"img_size": 448, "num_classes": 0, "global_pool": ""} | changes
        vit: Any = timm.create_model("vit_base_patch16_224", pretrained=False, **shape)
        self.trunk: Any = vit
        self.attn_pool_contrast = QueryPool(width, vit.num_features)
        self.ln_contrast = nn.LayerNorm(width)
        self.proj_contrast = nn.Parameter(torch.zeros(width, width))
        self._projected = projected

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Rows, not normalised."""
        rows: torch.Tensor = self.ln_contrast(self.attn_pool_contrast(self.trunk(images))[:, 0])
        return rows @ self.proj_contrast if self._projected else rows


def network(output: str, **arguments: Any) -> nn.Module:
    """The tower for an output recipe: `pooled` rows are those before the projection."""
    return ConchV1(projected=output.startswith("projected"), **arguments)
