"""Networks of torchvision without their classes, by card and by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.networks.torchvision import made
from wsi_features.encode.registry import card_named
from wsi_features.errors import CardError, UnknownEncoderError, WeightsError


def test_a_file_of_a_whole_resnet_gives_its_average_pool(
    random_weights: Callable[..., Any],
    saved: Callable[[Any], Path],
    rows_of: Callable[..., torch.Tensor],
    images: Callable[[int], torch.Tensor],
) -> None:
    card, whole = card_named("retccl"), random_weights(models.resnet50())
    path = saved(whole.state_dict())
    whole.fc = torch.nn.Identity()
    with torch.inference_mode():
        assert torch.equal(rows_of(card, path), whole(images(256)))


@pytest.mark.parametrize(
    ("model", "dim"), [("resnet18", 512), ("mobilenet_v3_small", 1024), ("shufflenet_v2_x0_5", 1024)]
)
def test_a_model_by_name_takes_a_file_of_torchvision(
    model: str, dim: int, saved: Callable[[Any], Path], rows_of: Callable[..., torch.Tensor]
) -> None:
    card = card_named(f"torchvision:{model}")
    assert (card.dim, card.input_px, card.std) == (dim, 224, (0.229, 0.224, 0.225))
    assert rows_of(card, saved(models.get_model(model).state_dict())).shape == (2, dim)


@pytest.mark.parametrize(
    ("model", "dim"), [("vit_b_16", 768), ("convnext_tiny", 768), ("vgg11", 4096), ("swin_t", 768)]
)
def test_only_the_last_layer_is_taken_out(model: str, dim: int) -> None:
    whole = models.get_model(model)
    assert whole(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
    card = card_named(f"torchvision:{model}")
    last = [p.numel() for p in whole.parameters()][-2:]
    assert card.dim == dim
    assert card.parameters == sum(p.numel() for p in whole.parameters()) - sum(last)


def test_the_newest_weights_of_a_model_may_be_for_larger_images() -> None:
    card = card_named("torchvision:vit_h_14")
    assert (card.input_px, card.dim) == (518, 1280)


def test_a_file_of_another_model_is_refused(saved: Callable[[Any], Path], rows_of: Callable[..., torch.Tensor]) -> None:
    with pytest.raises(WeightsError, match="does not fit the architecture"):
        rows_of(card_named("torchvision:resnet18"), saved(models.resnet34().state_dict()))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"model": "resnet51"}, "arguments.model is 'resnet51'; wanted: a model of torchvision"),
        ({"model": "squeezenet1_0"}, "wanted: a network that ends in a linear layer"),
        ({"weights": "DEFAULT"}, "arguments.weights is 'DEFAULT'; wanted: nothing"),
        ({"widths": 3}, "arguments is .*what torchvision takes .*widths"),
    ],
)
def test_arguments_that_the_builder_does_not_take_are_refused(
    cut_card: Callable[..., EncoderCard], arguments: dict[str, Any], told: str
) -> None:
    with pytest.raises(CardError, match=told):
        made(cut_card("retccl", arguments), "meta")


def test_a_name_that_torchvision_does_not_have_is_refused_with_what_was_meant() -> None:
    with pytest.raises(UnknownEncoderError, match="no such model. Did you mean torchvision:resnet18"):
        card_named("torchvision:resnet19")
