"""GenBio-PathFM: one ViT-g that sees the three colours of a tile as three images of one channel.

Source: GenBio-PathFM (GenBio AI, 2026). The transformer is that of DINOv3: class and storage tokens,
SwiGLU, LayerScale, rotary positions. Its positions are computed and applied in bf16 whatever the
precision, as they were in training; in fp32 rows differ by 6e-3 (cosine 1.0000).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional

_PATCH = 16
_STORAGE = 4
_BASE = 100.0
_EPS = 1e-6


class Rotary(nn.Module):
    """Angles of patch positions; the published file holds their periods."""

    def __init__(self, head_width: int) -> None:
        super().__init__()
        steps = torch.arange(head_width // 4, dtype=torch.bfloat16)
        self.register_buffer("periods", (_BASE ** (2 * steps / (head_width // 2))).float())

    def forward(self, high: int, wide: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Sine and cosine (high * wide, head width), bf16."""
        periods = self.get_buffer("periods").bfloat16()
        options: dict[str, Any] = {"dtype": periods.dtype, "device": periods.device}
        places = torch.empty(high, wide, 2, 1, **options)
        places[:, :, 0] = (torch.arange(0.5, high, **options) / high).view(high, 1, 1)
        places[:, :, 1] = (torch.arange(0.5, wide, **options) / wide).view(wide, 1)
        angles = 2 * math.pi * (2.0 * places - 1.0) / periods
        both = angles.flatten(0, 1).flatten(1).tile(2)
        return both.sin(), both.cos()


def _turned(tokens: torch.Tensor, sine: torch.Tensor, cosine: torch.Tensor) -> torch.Tensor:
    """Queries or keys (b, heads, t, d), rounded to bf16, with the patches, the last ones, turned by their positions.

    The halves are written into place, as the positions are: autocast to fp16 refuses to join bf16 tensors.
    """
    turned = tokens.to(sine.dtype, copy=True)
    patches = turned[:, :, tokens.shape[-2] - sine.shape[-2] :]
    (first, second), (sine, _), (cosine, _) = (part.chunk(2, dim=-1) for part in (patches, sine, cosine))
    halves = first * cosine - second * sine, second * cosine + first * sine
    for place, half in zip((first, second), halves, strict=True):
        place.copy_(half)
    return turned.to(tokens.dtype)


class Attention(nn.Module):
    """Self-attention with rotary positions."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Tokens (b, t, width) to the same shape."""
        parts = self.qkv(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts.unbind(0)
        mixed = functional.scaled_dot_product_attention(_turned(queries, *rotary), _turned(keys, *rotary), values)
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class SwiGLU(nn.Module):
    """The gated layers of a block; `hidden` is two thirds of what an ungated layer would have."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(width, hidden)
        self.w2 = nn.Linear(width, hidden)
        self.w3 = nn.Linear(hidden, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (b, t, width) to the same shape."""
        out: torch.Tensor = self.w3(functional.silu(self.w1(tokens)) * self.w2(tokens))
        return out


class Scale(nn.Module):
    """LayerScale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Each value times its factor."""
        return tokens * self.gamma


class Block(nn.Module):
    """One layer of the transformer."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = Attention(width, heads)
        self.ls1 = Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = SwiGLU(width, hidden)
        self.ls2 = Scale(width)

    def forward(self, tokens: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Tokens (b, t, width) to the same shape."""
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens), rotary))
        out: torch.Tensor = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return out


class GenBioPathFM(nn.Module):
    """Images (b, 3, h, w) to rows (b, 3 * width): the class tokens of red, green and blue."""

    def __init__(self, *, width: int = 1536, depth: int = 40, heads: int = 24, hidden: int = 4096) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, width, _PATCH, stride=_PATCH)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.storage_tokens = nn.Parameter(torch.zeros(1, _STORAGE, width))
        self.rope_embed = Rotary(width // heads)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The three colours go through as a batch three times as large."""
        patches = self.patch_embed["proj"](images.flatten(0, 1).unsqueeze(1))
        rotary = self.rope_embed(*patches.shape[-2:])
        first = (token.expand(len(patches), -1, -1) for token in (self.cls_token, self.storage_tokens))
        tokens = torch.cat([*first, patches.flatten(2).transpose(1, 2)], dim=1)
        for block in self.blocks:
            tokens = block(tokens, rotary)
        rows: torch.Tensor = self.norm(tokens)[:, 0]
        return rows.reshape(len(images), -1)


def network(output: str, **arguments: Any) -> nn.Module:  # noqa: ARG001 - it has one output
    """The network."""
    return GenBioPathFM(**arguments)
