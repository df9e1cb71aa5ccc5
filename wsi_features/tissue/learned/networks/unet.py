"""U-Net and U-Net++ over an EfficientNet-B0, with the parameter names of segmentation_models_pytorch.

Sources: U-Net (Ronneberger et al. 2015, arXiv 1505.04597), U-Net++ (Zhou et al. 2018, arXiv 1807.10165). That library
calls this encoder `timm-efficientnet-b0`, has deprecated it, and names the parameters of its successor differently, so
that published files would not load; keys, shapes and outputs are compared with it in tests/golden/test_segmenters.py.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn
from torch.nn import functional

_STEM_AND_STAGES = ((0, 2), (2, 3), (3, 5), (5, 7))
"""Blocks of the EfficientNet from one halving to the next; the stem is the first halving."""

_SKIPS = (320, 112, 40, 24, 32)
"""Channels of what the encoder gives, coarsest first."""

_OUT = (256, 128, 64, 32, 16)
"""Channels after each doubling."""


class _Convolution(nn.Sequential):
    def __init__(self, before: int, after: int) -> None:
        super().__init__(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class _Block(nn.Module):
    """Doubles the size, joins what the encoder saw there, and convolves twice."""

    def __init__(self, before: int, skip: int, after: int) -> None:
        super().__init__()
        self.conv1 = _Convolution(before + skip, after)
        self.conv2 = _Convolution(after, after)

    def forward(self, coarse: torch.Tensor, *fine: torch.Tensor) -> torch.Tensor:
        doubled = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        out: torch.Tensor = self.conv2(self.conv1(torch.cat([doubled, *fine], dim=1)))
        return out


class _UnetDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        before, skips = (_SKIPS[0], *_OUT[:-1]), (*_SKIPS[1:], 0)
        self.blocks = nn.ModuleList(_Block(*channels) for channels in zip(before, skips, _OUT, strict=True))

    def forward(self, seen: list[torch.Tensor]) -> torch.Tensor:
        out = seen[0]
        for i, block in enumerate(self.blocks):
            out = block(out, *seen[i + 1 : i + 2])
        return out


class _UnetPlusPlusDecoder(nn.Module):
    """Node (i, j) lies on the way from encoder output i, at the size of output j + 1; all nodes of a size are joined."""

    def __init__(self) -> None:
        super().__init__()
        last = len(_SKIPS) - 1
        blocks = {f"x_{i}_{j}": _node(i, j) for j in range(last) for i in range(j + 1)}
        self.blocks = nn.ModuleDict(blocks | {f"x_0_{last}": _Block(_OUT[-2], 0, _OUT[-1])})

    def forward(self, seen: list[torch.Tensor]) -> torch.Tensor:
        last = len(seen) - 1
        nodes: dict[tuple[int, int], torch.Tensor] = {}
        for j in range(last):
            for i in range(j, -1, -1):
                coarse = seen[i] if i == j else nodes[i, j - 1]
                nodes[i, j] = self.blocks[f"x_{i}_{j}"](
                    coarse, *(nodes[k, j] for k in range(i + 1, j + 1)), seen[j + 1]
                )
        out: torch.Tensor = self.blocks[f"x_0_{last}"](nodes[0, last - 1])
        return out


def _node(i: int, j: int) -> _Block:
    here = _SKIPS[j + 1]
    joined = here * (j + 1 - i)
    if i == 0:
        return _Block(_OUT[j - 1] if j else _SKIPS[0], joined, _OUT[j])
    return _Block(_SKIPS[j], joined, here)


class _Segmenter(nn.Module):
    def __init__(self, decoder: nn.Module, classes: int) -> None:
        super().__init__()
        self.encoder: Any = timm.create_model("efficientnet_b0", pretrained=False, num_classes=0)
        self.decoder = decoder
        self.segmentation_head = nn.Sequential(nn.Conv2d(_OUT[-1], classes, 3, padding=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores (b, classes, h, w) of images (b, 3, h, w)."""
        out = self.encoder.bn1(self.encoder.conv_stem(images))
        seen = [out]
        for first, end in _STEM_AND_STAGES:
            out = self.encoder.blocks[first:end](out)
            seen.append(out)
        scores: torch.Tensor = self.segmentation_head(self.decoder(seen[::-1]))
        return scores


def network(architecture: str, classes: int) -> nn.Module:
    """The network `unet` or `unetplusplus`; its encoder's last layer is in the published files and used by neither."""
    return _Segmenter(_UnetPlusPlusDecoder() if architecture == "unetplusplus" else _UnetDecoder(), classes)
