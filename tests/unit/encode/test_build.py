from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from wsi_features.encode.build import build, encoder_recipe
from wsi_features.encode.device import choose_device
from wsi_features.encode.registry import card_named
from wsi_features.errors import EncoderError, UsageError, WeightsError
from wsi_features.recipe import canonical_json, digest

UNI = card_named("uni")


def test_an_encoder_with_weights_asks_for_them() -> None:
    with pytest.raises(WeightsError, match=r"encoder 'uni' needs a local weights file. .*--weights FILE"):
        build(UNI)


def test_an_absent_weights_file_is_refused_by_its_path() -> None:
    with pytest.raises(WeightsError, match=r"no weights file at 'nowhere.pt'"):
        build(UNI, weights=Path("nowhere.pt"), device="cpu")


def test_weights_for_an_encoder_that_has_none_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"encoder 'histo-texture' has no weights, but 'uni.pt' was given"):
        build(card_named("histo-texture"), weights=Path("uni.pt"))


def test_an_encoder_of_one_precision_takes_no_other() -> None:
    with pytest.raises(EncoderError, match=r"'histo-texture' computes in fp32 only, fp16 was asked for"):
        build(card_named("histo-texture"), precision="fp16")


def test_an_encoder_without_weights_is_built_from_its_card_alone() -> None:
    encoder = build(card_named("histo-texture"), precision="fp32", device="auto", workers=2)
    assert (encoder.card.name, encoder.weights_digest, encoder.precision) == ("histo-texture", "", "fp32")
    encoder.close()


@pytest.mark.parametrize("wanted", ["gpu", "cuda:", "cuda:x", "CPU", "cuda:-1", "mps", ""])
def test_a_device_that_is_spelled_wrongly_is_refused(wanted: str) -> None:
    with pytest.raises(EncoderError, match=r"no device .*Give auto, cpu, cuda or cuda:N"):
        choose_device(wanted)


@pytest.mark.parametrize("wanted", ["cuda:99", "cuda:1000"])
def test_a_gpu_that_is_not_there_is_refused_with_the_remedy(wanted: str) -> None:
    with pytest.raises(UsageError, match=rf"device '{wanted}' .*Set `device` to auto or cpu"):
        choose_device(wanted)


@pytest.mark.parametrize(
    ("present", "wanted", "chosen"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (2, "auto", "cuda:0"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_the_device_chosen_is_one_that_is_there(
    monkeypatch: pytest.MonkeyPatch, present: int, wanted: str, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: present > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: present)
    assert str(choose_device(wanted)) == chosen


def test_cuda_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(UsageError, match=r"'cuda' was asked for, but torch sees 0 CUDA"):
        choose_device("cuda")


def test_the_recipe_is_plain_json_with_card_weights_and_precision() -> None:
    recipe = encoder_recipe(UNI, "ab" * 32, "bf16")
    assert json.loads(canonical_json(recipe)) == recipe
    assert (recipe["weights"], recipe["precision"], recipe["card"]["name"]) == ("ab" * 32, "bf16", "uni")


@pytest.mark.parametrize(
    "changed",
    [
        encoder_recipe(UNI, "cd" * 32, "fp16"),
        encoder_recipe(UNI, "ab" * 32, "fp32"),
        encoder_recipe(UNI.model_copy(update={"std": (0.2, 0.2, 0.3)}), "ab" * 32, "fp16"),
    ],
)
def test_other_weights_precision_or_card_give_another_fingerprint(changed: dict[str, Any]) -> None:
    assert digest(changed) != digest(encoder_recipe(UNI, "ab" * 32, "fp16"))
    assert digest(encoder_recipe(card_named("uni"), "ab" * 32, "fp16")) == digest(
        encoder_recipe(UNI, "ab" * 32, "fp16")
    )


def test_the_second_precision_is_hashed_only_where_it_is_asked_for() -> None:
    recipe = encoder_recipe(UNI, "ab" * 32, "fp16")
    assert "nonfinite" not in recipe
    assert encoder_recipe(UNI, "ab" * 32, "fp16", "fp32") == recipe | {"nonfinite": "fp32"}


def test_how_pixels_are_prepared_is_hashed_for_networks_only() -> None:
    assert encoder_recipe(UNI, "ab" * 32, "fp16")["preprocess"] == 2
    assert "preprocess" not in encoder_recipe(card_named("histo-texture"), "", "fp32")
