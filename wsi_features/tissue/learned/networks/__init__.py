"""Networks of learned segmenters, without weights.

Their modules define classes of torch, so each is imported only when its network is made.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from wsi_features.tissue.learned.card import SegmenterCard

if TYPE_CHECKING:
    from torch import nn

_MODULES = {"unet": "unet", "unetplusplus": "unet", "deeplabv3_resnet50": "deeplab"}


def made(card: SegmenterCard) -> nn.Module:
    """The card's network without storage: images (b, 3, h, w) to scores (b, classes, h, w), or to a dict with them as `out`.

    Height and width are multiples of 32. Its state dict has the keys of the published files.
    """
    import torch

    module = import_module(f"{__name__}.{_MODULES[card.architecture]}")
    with torch.device("meta"):
        network: nn.Module = module.network(card.architecture, len(card.classes))
    return network
