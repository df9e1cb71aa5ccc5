"""Stain normalisation on the device that holds the tiles.

The same numbers as `StainTransform.apply`, at most one grey level apart: float32
arithmetic rounds some values the other way. Reinhard stays on the host: OpenCV's
8-bit LAB colours are made of integer tables, and no formula comes within one level of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsi_features.stain.transform import LOG_WHITE, WHITE, Identity, StainMatrix, StainTransform

if TYPE_CHECKING:
    import torch


def runs_on_device(stain: StainTransform) -> bool:
    """Whether `stained` takes this transform."""
    return isinstance(stain, Identity | StainMatrix)


def stained(pixels: torch.Tensor, stain: StainTransform) -> torch.Tensor:
    """uint8 (b, h, w, 3) to normalised grey levels of that shape: uint8 as they are, or whole numbers in float32."""
    return _remixed(pixels, stain) if isinstance(stain, StainMatrix) else pixels


def _remixed(pixels: torch.Tensor, stain: StainMatrix) -> torch.Tensor:
    """Plane by plane with plain numbers: a matrix would have to be copied to the device first."""
    import torch

    density = pixels.permute(0, 3, 1, 2).contiguous().float().clamp_(min=1).log_().sub_(LOG_WHITE)  # times -1
    out = torch.empty_like(density)
    for channel, gains in enumerate(stain.matrix.T.tolist()):
        plane = out[:, channel]
        torch.mul(density[:, 0], gains[0], out=plane)
        plane.add_(density[:, 1], alpha=gains[1]).add_(density[:, 2], alpha=gains[2])
    return out.add_(LOG_WHITE).exp_().round_().clamp_(max=WHITE).permute(0, 2, 3, 1)
