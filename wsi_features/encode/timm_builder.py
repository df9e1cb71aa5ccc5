"""Encoders that timm builds: the architecture from the card, the weights from a local file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.device import Stage, Work, choose_device, stage_for
from wsi_features.encode.encoder import Pending, Ready
from wsi_features.encode.preprocess import Preprocess
from wsi_features.encode.timm_network import check_outline, feature_rows, outline, unfilled_network
from wsi_features.encode.weights import check_state, load_state, without_classifier
from wsi_features.tiles.grid import TileBatch

if TYPE_CHECKING:
    import torch
    from torch import nn


class TimmEncoder:
    """A loaded network on its device."""

    def __init__(
        self, card: EncoderCard, *, weights_digest: str, precision: Precision, device: torch.device, stage: Stage
    ) -> None:
        self.card = card
        self.weights_digest = weights_digest
        self.precision: Precision = precision
        self.device: Literal["cpu", "cuda"] = "cuda" if device.type == "cuda" else "cpu"
        self._stage = stage

    def submit(self, batch: TileBatch) -> Pending:
        """Start one batch and return at once; the pixels are copied before that."""
        if not len(batch.pixels):
            return Ready(np.empty((0, self.card.dim), np.float32))
        return self._stage.submit(batch.pixels)

    def close(self) -> None:
        """Wait for what is running; release threads and memory."""
        self._stage.close()


def build_timm(card: EncoderCard, weights: Path, *, precision: Precision, device: str, workers: int) -> TimmEncoder:
    """The encoder of `card` with the weights of a local file; `workers` is the number of threads on a CPU.

    fp16 and bf16 also run on a CPU, since the precision belongs to the features and may not
    depend on the machine; there bf16 is about twice as fast as fp32 and fp16 five times slower
    (ViT-S, AVX512_BF16). Raises CardError, WeightsError and, for an absent GPU, EncoderError.
    """
    place = choose_device(device)
    known = outline(card)
    check_outline(card, known)
    network = unfilled_network(card, known)
    digest = _fill(card, network, weights)
    stage = stage_for(place, _work(card, network, precision, place), threads=workers)
    return TimmEncoder(card, weights_digest=digest, precision=precision, device=place, stage=stage)


def _fill(card: EncoderCard, network: nn.Module, weights: Path) -> str:
    """Give the network the tensors of the file, without a second copy of them; returns the file's SHA-256."""
    wanted = network.state_dict()
    state, digest = load_state(card.name, weights, wanted_sha256=card.weights_sha256)
    state = without_classifier(state, wanted, _classifier(network))
    check_state(card.name, weights, state, wanted)
    network.load_state_dict(state, assign=True)
    return digest


def _work(card: EncoderCard, network: nn.Module, precision: Precision, device: torch.device) -> Work:
    """Pixels to features on `device`; fp16 and bf16 by autocast, over weights that stay fp32."""
    import torch

    preprocess = Preprocess.of(card, device)
    placed = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stub
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16

    def rows(pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            image = preprocess(pixels)
            with torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32"):
                out = placed(image)
            return feature_rows(card, out)

    return rows


def _classifier(network: nn.Module) -> Collection[str]:
    """Names of the classification layers, which published files hold and no encoder uses."""
    named = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)
