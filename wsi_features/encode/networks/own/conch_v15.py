"""The image tower of CONCH v1.5: a ViT-L/16 pooled by one learned query.

Source: Multimodal Whole Slide Foundation Model for Pathology (Ding et al., 2024), in which it is
the tile encoder of TITAN. The position embeddings are those of 224 px and are enlarged for 448 px
in the way of DINO: bicubic, not antialiased, by a factor that is 0.1 of a patch too large. timm's
own enlargement changes the rows by 1e-3.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional

_HEADS = 8
_GRID = 14  # of the position embeddings: 224 px in patches of 16
_EXCESS = 0.1


class QueryPool(nn.Module):
    """Attention of one learned query over tokens (b, t, context), all layers without bias: rows (b, width)."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.zeros(1, width))
        self.ln_k = nn.LayerNorm(context)
        self.ln_q = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(context, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (b, t, context) to rows (b, width)."""
        queries = self.to_q(self.ln_q(self.query)).expand(len(tokens), 1, -1)
        keys, values = self.to_kv(self.ln_k(tokens)).chunk(2, dim=-1)
        heads = (part.unflatten(-1, (_HEADS, -1)).transpose(1, 2) for part in (queries, keys, values))
        pooled = functional.scaled_dot_product_attention(*heads)
        rows: torch.Tensor = self.to_out(pooled.transpose(1, 2).flatten(1))
        return rows


class ConchV15(nn.Module):
    """Images (b, 3, h, w) in whole patches of 16 px to rows (b, 768)."""

    def __init__(self, *, width: int = 768, **changes: Any) -> None:
        super().__init__()
        shape: dict[str, Any] = {
            "init_values": 1.0,
            "num_classes": 0,
            "global_pool": "",
            "dynamic_img_size": True,
        } | changes
        vit: Any = timm.create_model("vit_large_patch16_224", pretrained=False, **shape)
        self.trunk: Any = vit
        self.attn_pool_contrast = QueryPool(width, vit.num_features)
        self.ln_contrast = nn.LayerNorm(width)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Rows, not normalised."""
        patches = self.trunk.patch_embed(images)  # (b, rows, columns, width)
        first = self.trunk.cls_token.expand(len(images), -1, -1)
        tokens = torch.cat([first, patches.flatten(1, 2)], dim=1) + self._positions(*patches.shape[1:3])
        rows: torch.Tensor = self.ln_contrast(self.attn_pool_contrast(self.trunk.norm(self.trunk.blocks(tokens))))
        return rows

    def _positions(self, high: int, wide: int) -> torch.Tensor:
        """Position embeddings (1, 1 + high * wide, width) of the class token and a grid of patches."""
        table: torch.Tensor = self.trunk.pos_embed
        if high == wide == _GRID:
            return table
        grid = table[:, 1:].reshape(1, _GRID, _GRID, -1).permute(0, 3, 1, 2)
        factors = ((high + _EXCESS) / _GRID, (wide + _EXCESS) / _GRID)
        larger = functional.interpolate(grid, scale_factor=factors, mode="bicubic")
        return torch.cat([table[:, :1], larger.flatten(2).transpose(1, 2)], dim=1)


def network(output: str, **arguments: Any) -> nn.Module:  # noqa: ARG001 - it has one output
    """The tower."""
    return ConchV15(**arguments)


def converted(name: str, state: dict[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:  # noqa: ARG001 - the form of all converters
    """A state whose position embeddings are those of 224 px: others are resized as upstream does, bilinearly."""
    from timm.layers.pos_embed import resample_abs_pos_embed

    key = "trunk.pos_embed"
    if key not in state or state[key].shape[1] == 1 + _GRID * _GRID:
        return state
    resized = resample_abs_pos_embed(state[key], [_GRID, _GRID], interpolation="bilinear", antialias=False)
    return state | {key: resized}
