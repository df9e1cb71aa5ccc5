"""How a network computes in fp32, fp16 or bf16, on a CPU and on a GPU.

The precision belongs to the features and may not depend on the machine: it is that of the
operands and results of matrix products and convolutions. Their sums, the residual stream,
normalisation layers and pooling are fp32 everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsi_features.encode.card import Precision
from wsi_features.encode.device.choice import has_bf16_units
from wsi_features.encode.device.packed import pack, plain_attention
from wsi_features.encode.notes import Notes

if TYPE_CHECKING:
    import torch
    from torch import nn


def prepared(network: nn.Module, precision: Precision, device: torch.device, notes: Notes) -> torch.dtype | None:
    """Make `network`, which lies on `device`, ready for `precision`; weights are rounded once.

    Returns the dtype under whose autocast it is to run, or None for none.
    """
    import torch

    half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision)
    if device.type == "cpu":
        return _on_cpu(network, half, notes)
    if half is not None:
        round_weights(network, half)
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        notes.add(f"{device} has no bf16 units, so bf16 is slower than fp32 on it; fp16 is faster")
    return half


def round_weights(network: nn.Module, half: torch.dtype) -> None:
    """Weights of plain linear and convolution layers in `half`: autocast would convert them for every batch."""
    from torch import nn

    for module in network.modules():
        if type(module) in (nn.Linear, nn.Conv2d):
            module.to(half)


def _on_cpu(network: nn.Module, half: torch.dtype | None, notes: Notes) -> torch.dtype | None:
    import torch

    if half is None:
        pack(network, torch.float32, torch.float32)
        return None
    if half is torch.bfloat16 and has_bf16_units():
        pack(network, half, half)
        plain_attention(network)
        return half
    if pack(network, half, torch.float32):
        if half is torch.bfloat16:
            notes.add("this CPU has no bf16 units, so bf16 is no faster than fp32 on it")
        return None
    name = str(half).removeprefix("torch.")
    notes.add(f"this CPU computes {name} slower than fp32, several times for some networks")
    return half
