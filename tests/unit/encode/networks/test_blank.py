"""Networks on the meta device: everything of a real one but its numbers, and no time for those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.layers import trunc_normal_
from torch.overrides import TorchFunctionMode

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.blank import placed
from wsi_features.encode.networks.timm import made


class Seen(TorchFunctionMode):
    """The functions of torch that are reached."""

    def __init__(self) -> None:
        super().__init__()
        self.functions: set[Any] = set()

    def __torch_function__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.functions.add(function)
        return function(*args, **(kwargs or {}))


def test_a_network_without_storage_has_the_tensors_of_a_real_one(tiny_card: Callable[..., EncoderCard]) -> None:
    blank, real = (made(tiny_card(), device).state_dict() for device in ("meta", "cpu"))
    assert all(tensor.is_meta for tensor in blank.values())
    facts = [{key: (t.shape, t.dtype) for key, t in state.items()} for state in (blank, real)]
    assert facts[0] == facts[1]
    assert real["blocks.1.mlp.fc2.weight"].std() > 0


@pytest.mark.parametrize(("device", "filled"), [("meta", False), ("cpu", True)])
def test_only_what_has_storage_is_given_initial_numbers(device: str, filled: bool) -> None:
    with Seen() as seen, placed(device):
        weight = trunc_normal_(torch.empty(3, 2), std=0.02)
    assert weight.device.type == device
    fills = {torch.Tensor.uniform_, torch.Tensor.erfinv_, torch.Tensor.clamp_}
    assert fills & seen.functions == (fills if filled else set())


def test_tensors_that_do_not_fit_are_refused_on_meta_too() -> None:
    with placed("meta"), pytest.raises(RuntimeError, match="Size"):
        torch.empty(3, 2).add_(torch.empty(5, 7))
