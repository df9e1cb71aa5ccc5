"""Thresholds: how they are written, and what of them changes a store."""

from typing import get_args

import pytest
from pydantic import ValidationError

from wsi_features.errors import ThresholdError
from wsi_features.tiles.quality import COLUMNS, SUGGESTED, Column, Limits, QualityRecipe, limits_from


def test_every_measured_column_can_have_a_threshold() -> None:
    assert get_args(Column) == ("tissue_share", *COLUMNS)


def test_by_default_every_tile_is_kept() -> None:
    assert QualityRecipe().thresholds_json() == {}
    assert not QualityRecipe(drop=True).drops


def test_thresholds_go_over_those_of_the_preset() -> None:
    recipe = QualityRecipe(preset="suggested", thresholds={"pen_share": {"max": 0.5}, "sharpness": {}})
    assert recipe.limits["pen_share"] == Limits(max=0.5)
    assert "sharpness" not in recipe.limits
    assert recipe.limits["white_share"] == SUGGESTED["white_share"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"thresholds": {"blur": {"max": 1}}},
        {"thresholds": {"sharpness": {"min": 2, "max": 1}}},
        {"measure": False, "preset": "suggested"},
        {"preset": "strict"},
    ],
)
def test_thresholds_without_a_meaning_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        QualityRecipe.model_validate(wrong)


def test_tissue_can_be_asked_for_without_measuring() -> None:
    assert QualityRecipe(measure=False, thresholds={"tissue_share": {"min": 0.5}}).embedded() == {}


def test_thresholds_can_be_written_as_text() -> None:
    assert limits_from(["pen_share<=0.1", "sharpness >= 0.05", "sharpness<=0.9"]) == {
        "pen_share": {"max": 0.1}, "sharpness": {"min": 0.05, "max": 0.9},
    }  # fmt: skip


@pytest.mark.parametrize("text", ["pen_share<0.1", "blur<=1", "sharpness>=sharp", "0.1"])
def test_what_is_no_threshold_is_refused_with_the_columns(text: str) -> None:
    with pytest.raises(ThresholdError, match="sharpness>=0.05.*nuclei_per_mm2"):
        limits_from([text])
