"""DeepLabV3 with a ResNet-50 (Chen et al. 2017, arXiv 1706.05587), as torchvision has it, without its auxiliary head."""

from __future__ import annotations

from torch import nn
from torchvision.models.segmentation import deeplabv3_resnet50


def network(architecture: str, classes: int) -> nn.Module:  # noqa: ARG001 - there is one here
    """Images (b, 3, h, w) to a dict with scores (b, classes, h, w) as `out`."""
    made: nn.Module = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=classes)
    return made
