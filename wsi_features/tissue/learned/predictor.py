"""From windows to classes: a network with its weights on one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TissueModelError
from wsi_features.tissue.learned.card import SegmenterCard
from wsi_features.tissue.learned.networks import made

if TYPE_CHECKING:
    import torch
    from torch import nn

U8 = npt.NDArray[np.uint8]

Classify = Callable[[U8], U8]
"""Windows uint8 RGB (b, px, px, 3) to the number of each pixel's class, uint8 (b, px, px)."""

UNDEFINED = 255
"""What a pixel is classified as where the network returned NaN or infinity."""

_WHITE = 255


def predictor(card: SegmenterCard, state: Mapping[str, torch.Tensor], source: str, device: str) -> Classify:
    """The card's network with the tensors of `state`, which must be exactly its own. Raises TissueModelError.

    The class of a pixel is that with the greatest output, of equal ones the first. `source` names the weights file.
    """
    import torch

    place = torch.device(device)
    network = filled(card, state, source).to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean, std = (torch.tensor(v, device=place).view(1, 3, 1, 1) for v in (card.mean, card.std))
    half = card.precision == "fp16" and place.type == "cuda"  # on a CPU convolutions in fp16 take 90 times as long

    def classify(pixels: U8) -> U8:
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(place).permute(0, 3, 1, 2)
        with torch.inference_mode(), torch.autocast(place.type, dtype=torch.float16, enabled=half):
            out = network((images.float() / _WHITE - mean) / std)
            scores = (out["out"] if isinstance(out, dict) else out).float()
            labels = scores.argmax(dim=1)
            labels[~torch.isfinite(scores).all(dim=1)] = UNDEFINED
        return np.asarray(labels.to(torch.uint8).cpu().numpy(), np.uint8)

    return classify


def filled(card: SegmenterCard, state: Mapping[str, torch.Tensor], source: str) -> nn.Module:
    """The card's network, strictly filled, ready to predict. Raises TissueModelError."""
    check_state(card, state, source)
    network = made(card)
    network.load_state_dict(dict(state), assign=True)
    return network.eval().requires_grad_(requires_grad=False)


def check_state(card: SegmenterCard, state: Mapping[str, torch.Tensor], source: str) -> None:
    """Refuse tensors that are not exactly those of the card's network. Raises TissueModelError."""
    wanted = made(card).state_dict()
    missing, unexpected = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or unexpected:
        raise TissueModelError.keys_differ(card.name, source, missing, unexpected)
    for key, tensor in wanted.items():
        if state[key].shape != tensor.shape:
            raise TissueModelError.shape_differs(card.name, source, key, state[key].shape, tensor.shape)
