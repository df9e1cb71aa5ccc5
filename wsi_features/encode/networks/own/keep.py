"""The image tower of KEEP: a ViT-L/16 and a projection of two layers.

Source: A Knowledge-enhanced Pathology Vision-language Foundation Model for Cancer Diagnosis
(Zhou et al., 2024). The text tower is not part of it.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn


class Keep(nn.Module):
    """Images (b, 3, 224, 224) to rows (b, 768), not normalised."""

    def __init__(self, *, width: int = 768, **changes: Any) -> None:
        super().__init__()
        shape: dict[str, Any] = {"img_size": 224, "patch_size": 16, "init_values": 1e-5, "num_classes": 0} | changes
        visual: Any = timm.create_model("vit_large_patch16_224", pretrained=False, **shape)
        self.visual = visual
        self.visual_head = nn.Sequential(nn.Linear(visual.num_features, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The projected class token."""
        rows: torch.Tensor = self.visual_head(self.visual(images))
        return rows


def network(output: str, **arguments: Any) -> nn.Module:  # noqa: ARG001 - it has one output
    """The tower."""
    return Keep(**arguments)
