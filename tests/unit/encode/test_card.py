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
        {"resize_px": 240},
        {"checkpoint": {"unwrap": ["teacher"]}},
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


@pytest.mark.parametrize(("effective", "tile_px"), [(0.4, 256), (0.5032, 224), (0.6, 256), (0.46, 230), (0.4, 300)])
def test_tiles_inside_the_accepted_range_pass(effective: float, tile_px: int) -> None:
    card().check_scale(effective, tile_px)


@pytest.mark.parametrize("tile_px", [256, 2048])
def test_a_descriptor_that_never_resizes_takes_tiles_of_any_width(tile_px: int) -> None:
    card(builder="histo-texture", output="descriptor").check_scale(0.5, tile_px)


def test_a_wide_tile_would_be_seen_at_a_coarser_scale_and_is_refused_with_the_tiles_that_fit() -> None:
    told = r"the width of a tile is 256 um \(512 px of 0.5 um\), accepted is 102.4 to 153.6 um. Set `tiles: {size: 256, mpp: 0.5}`, or both to auto"
    with pytest.raises(ScaleContractError, match=told):
        card().check_scale(0.5, 512)


@pytest.mark.parametrize(
    ("effective", "tile_px"), [(0.39, 256), (0.61, 256), (0.5, 223), (0.5, 308), (0.4, 250), (0.6, 310)]
)
def test_tiles_of_another_physical_scale_or_too_small_are_refused(effective: float, tile_px: int) -> None:
    with pytest.raises(ScaleContractError, match=r"some:cls\+mean.*accepted is"):
        card().check_scale(effective, tile_px)
