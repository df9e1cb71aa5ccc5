from __future__ import annotations

import pytest
from pydantic import ValidationError

from wsi_features.tissue.recipe import TissueRecipe


def test_every_field_has_a_description_for_the_table_of_settings() -> None:
    assert all(field.description for field in TissueRecipe.model_fields.values())


def test_the_default_smallest_piece_is_about_one_tile_of_224_um() -> None:
    assert TissueRecipe().min_area_um2 == pytest.approx(224**2, rel=0.01)


@pytest.mark.parametrize(
    "fields",
    [{"mpp": 0.25}, {"min_area_um2": -1}, {"min_saturation": 1.5}, {"annotation_class": ""}, {"closing_um": 9}],
)
def test_a_value_out_of_bounds_or_an_unknown_field_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TissueRecipe.model_validate(fields)


def test_sure_saturation_must_not_lie_below_min_saturation() -> None:
    with pytest.raises(ValidationError, match=r"sure_saturation 0.1 is below min_saturation 0.2"):
        TissueRecipe(min_saturation=0.2, sure_saturation=0.1)
