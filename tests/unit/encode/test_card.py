from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from wsi_features.encode.card import EncoderCard
from wsi_features.errors import ScaleContractError


def card(**changes: Any) -> EncoderCard:
    fields = {
        "name": "some:cls+mean",
        "builder": "timm",
        "tile_px": 256,
        "tile_mpp": 0.5,
        "mpp_range": (0.4, 0.6),
        "input_px": 224,
        "output": "cls+mean",
        "dim": 48,
        "licence": "MIT",
        "source": "a paper",
    }
    return EncoderCard.model_validate(fields | changes)


def test_the_slug_is_fit_for_a_path() -> None:
    assert card().slug == "some.cls-mean"


def test_correcting_the_licence_text_leaves_the_canonical_form_alone() -> None:
    assert card().canonical() == card(licence="other", source="x", gated=True, paper="p", notes="n").canonical()


@pytest.mark.parametrize(
    "change",
    [
        {"input_px": 112},
        {"mean": (0.5, 0.5, 0.4)},
        {"std": (0.5, 0.5, 0.4)},
        {"interpolation": "bicubic"},
        {"output": "cls"},
        {"prefix_tokens": 5},
        {"arguments": {"depth": 2}},
    ],
)
def test_what_changes_the_numbers_changes_the_canonical_form(change: dict[str, Any]) -> None:
    assert card().canonical() != card(**change).canonical()


def test_the_accepted_resolutions_must_hold_the_card_s_own() -> None:
    with pytest.raises(ValidationError, match=r"mpp_range 0.6 to 1 must hold tile_mpp 0.5"):
        card(mpp_range=(0.6, 1.0))


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "a/b", "a:b:c", "Uni"])
def test_a_name_that_no_path_could_carry_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        card(name=name)


@pytest.mark.parametrize("effective", [0.4, 0.5032, 0.6])
def test_tiles_inside_the_accepted_range_pass(effective: float) -> None:
    card().check_scale(effective, 224)


@pytest.mark.parametrize(("effective", "tile_px"), [(0.39, 256), (0.61, 256), (0.5, 223)])
def test_tiles_of_another_physical_scale_or_too_small_are_refused(effective: float, tile_px: int) -> None:
    with pytest.raises(ScaleContractError, match=r"some:cls\+mean.*accepted is"):
        card().check_scale(effective, tile_px)
