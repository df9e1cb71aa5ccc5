"""KimiaNet: the convolutions of a DenseNet-121, averaged.

Source: Fine-Tuning and Training of DenseNet for Histopathology Image Representation Using TCGA
Diagnostic Slides (Riasatian et al., 2021). torchvision's DenseNet applies a ReLU before it
averages; the published extractor does not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torchvision.models import densenet121


class KimiaNet(nn.Module):
    """Images (b, 3, h, w) to rows (b, 1024)."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        features = densenet121(weights=None, **arguments).features
        self.model = nn.Sequential(features, nn.AdaptiveAvgPool2d(1))  # named as in the published file

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Averages over the whole image."""
        rows: torch.Tensor = self.model(images).flatten(1)
        return rows


def network(output: str, **arguments: Any) -> nn.Module:  # noqa: ARG001 - it has one output
    """The network without its 30 classes."""
    return KimiaNet(**arguments)
