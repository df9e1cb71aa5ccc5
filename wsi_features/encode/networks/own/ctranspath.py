"""CTransPath: a Swin-T whose patches come from three convolutions instead of one.

Source: Transformer-based Unsupervised Contrastive Learning for Histopathological Image
Classification (Wang et al., 2022). CHIEF's tile encoder is the same network with other weights.
Windows of 7 patches fit 224 px only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
from timm.layers.helpers import to_2tuple
from torch import nn

_PATCH = 4


class ConvStem(nn.Module):
    """Patch embedding (b, 3, h, w) to (b, h / 4, w / 4, width), with the attributes that timm's Swin asks of one."""

    def __init__(
        self, *, img_size: int | tuple[int, int], embed_dim: int, norm_layer: Callable[[int], nn.Module], **ignored: Any
    ) -> None:
        super().__init__()
        del ignored  # what timm passes for its own patch embedding: patch size 4, NHWC, strict image size
        high, wide = to_2tuple(img_size)
        self.grid_size = (high // _PATCH, wide // _PATCH)
        self.proj = nn.Sequential(
            *_halved(3, embed_dim // 8),
            *_halved(embed_dim // 8, embed_dim // 4),
            nn.Conv2d(embed_dim // 4, embed_dim, 1),
        )
        self.norm = norm_layer(embed_dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Patches with the channels last."""
        patches: torch.Tensor = self.norm(self.proj(images).permute(0, 2, 3, 1))
        return patches


def _halved(channels: int, width: int) -> tuple[nn.Module, ...]:
    """A convolution that halves height and width, with what follows it."""
    return nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()


def network(output: str, **arguments: Any) -> nn.Module:  # noqa: ARG001 - it has one output
    """The network; rows (b, 768) are the mean of the last 7 x 7 patches after the last norm."""
    made: nn.Module = timm.create_model(
        "swin_tiny_patch4_window7_224", pretrained=False, num_classes=0, embed_layer=ConvStem, **arguments
    )
    return made
