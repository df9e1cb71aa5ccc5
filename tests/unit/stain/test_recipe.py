from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from wsi_features.errors.stain import StainTargetError
from wsi_features.recipe import digest, fingerprint
from wsi_features.stain import STAIN_VERSION, StainRecipe, is_he, load_target, stain_recipe_json


def target_file(folder: Path, name: str = "own.yaml", **sections: Any) -> str:
    content = load_target("standard").model_dump(mode="json") | sections
    path = folder / name
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return str(path)


def test_without_a_method_nothing_else_counts() -> None:
    assert stain_recipe_json(StainRecipe(seed=7, target="no such file", patches=3)) == {"method": "none"}


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"sample_mpp": 0.5},
        {"patches": 32},
        {"patch_px": 64},
        {"max_pixels": 5000},
        {"luminosity": 0.9},
        {"percentile": 95},
        {"min_pixels": 500},
        {"method": "reinhard"},
        {"method": "vahadane"},
        {"method": "vahadane", "sparsity": 0.2},
        {"on_bad_fit": "raw"},
        {"non_he": "raw"},
    ],
)
def test_what_changes_the_numbers_changes_the_fingerprint(change: dict[str, Any], macenko: StainRecipe) -> None:
    changed = StainRecipe(**({"method": "macenko"} | change))
    assert digest(stain_recipe_json(changed)) != digest(stain_recipe_json(macenko))


def test_the_percentile_counts_for_macenko_only() -> None:
    plain, other = StainRecipe(method="reinhard"), StainRecipe(method="reinhard", percentile=90)
    assert stain_recipe_json(plain) == stain_recipe_json(other)


def test_the_sparsity_counts_for_vahadane_only() -> None:
    made = [stain_recipe_json(StainRecipe(method="vahadane", sparsity=s)) for s in (0.1, 0.2)]
    assert made[0] != made[1]
    assert "sparsity" not in stain_recipe_json(StainRecipe(method="macenko", sparsity=0.2))


@pytest.mark.parametrize(
    "stain", ["", "H&E", "HE", "h & e", "H+E", "Hematoxylin and eosin", "haematoxylin-eosin", " he "]
)
def test_what_means_haematoxylin_and_eosin(stain: str) -> None:
    assert is_he(stain)


@pytest.mark.parametrize("stain", ["Ki-67", "PAS", "HER2", "H", "Hematoxylin", "IHC", "Trichrome", "HES"])
def test_what_means_another_stain(stain: str) -> None:
    assert not is_he(stain)


def test_the_targets_numbers_count_and_its_name_does_not(macenko: StainRecipe, tmp_path: Path) -> None:
    copy = StainRecipe(method="macenko", target=target_file(tmp_path, description="a copy"))
    assert stain_recipe_json(copy) == stain_recipe_json(macenko)
    assert stain_recipe_json(macenko)["target"]["max_concentration"] == [2.0679, 1.0362]


def test_a_target_edited_in_place_gives_another_fingerprint(tmp_path: Path) -> None:
    recipe = StainRecipe(method="reinhard", target=target_file(tmp_path))
    before = stain_recipe_json(recipe)
    target_file(tmp_path, reinhard={"mean": [60, 20, -10], "std": [15, 6, 5]})
    assert stain_recipe_json(recipe) != before


def test_numbers_of_the_other_method_do_not_count(macenko: StainRecipe, tmp_path: Path) -> None:
    other = target_file(tmp_path, reinhard={"mean": [60, 20, -10], "std": [15, 6, 5]})
    assert stain_recipe_json(StainRecipe(method="macenko", target=other)) == stain_recipe_json(macenko)


def test_the_chained_fingerprint_covers_the_target(macenko: StainRecipe, tmp_path: Path) -> None:
    numbers = load_target("standard").macenko.model_dump(mode="json") | {"max_concentration": [2.0, 1.0]}
    other = StainRecipe(method="macenko", target=target_file(tmp_path, macenko=numbers))
    made = [fingerprint("stain", STAIN_VERSION, recipe, [], "content") for recipe in (macenko, other)]
    assert made[0] != made[1]


def test_a_target_that_is_missing_stops_the_fingerprint() -> None:
    with pytest.raises(StainTargetError, match="no stain target 'hospital'"):
        stain_recipe_json(StainRecipe(method="macenko", target="hospital"))


def test_shipped_fingerprints_are_the_ones_of_the_first_release(macenko: StainRecipe, reinhard: StainRecipe) -> None:
    assert digest(stain_recipe_json(StainRecipe()))[:16] == "44745e9c6377dbfc"
    assert digest(stain_recipe_json(macenko))[:16] == "bdc89d51651fea8e"
    assert digest(stain_recipe_json(reinhard))[:16] == "97cdbf1af9e27dd7"


def test_every_field_is_described() -> None:
    assert all(field.description for field in StainRecipe.model_fields.values())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "ruifrok"),
        ("sparsity", 2),
        ("on_bad_fit", "ignore"),
        ("non_he", "maybe"),
        ("target", ""),
        ("sample_mpp", 0),
        ("patches", 0),
        ("patch_px", 8),
        ("seed", -1),
        ("luminosity", 1.5),
        ("percentile", 50),
        ("percentile", 100),
        ("min_pixels", 3),
        ("max_pixels", 10),
    ],
)
def test_a_value_out_of_range_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        StainRecipe.model_validate({field: value})
