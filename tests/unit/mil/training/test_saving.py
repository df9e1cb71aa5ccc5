"""Saved models predict the same, and refuse features that they were not trained on."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features import mil
from wsi_features.errors import TrainingError
from wsi_features.mil.contract import FeatureContract


def test_saved_models_predict_the_same_and_have_equal_bytes(
    tmp_path: Path, told: dict[str, mil.BagDataset], graded: mil.CrossValidation
) -> None:
    for name in ("one", "two"):
        mil.save_trained(tmp_path / name, graded.trained())
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["fold0.safetensors", "fold1.safetensors", "fold2.safetensors", "trained.json"]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    again = mil.load_trained(tmp_path / "one")
    assert (again.recipe, again.features, again.names) == (graded.recipe, graded.features, ("A", "B"))
    now, then = (mil.predicted(model, told["classification"]) for model in (again, graded.trained()))
    assert [one.output.tobytes() for one in now] == [one.output.tobytes() for one in then]
    assert {one.fold for one in now} == {-1}


def test_a_prediction_is_the_mean_of_the_folds(told: dict[str, mil.BagDataset], graded: mil.CrossValidation) -> None:
    from dataclasses import replace

    trained, data = graded.trained(), told["classification"].part([3, 4])
    each = [mil.predicted(replace(trained, models=(model,)), data) for model in trained.models]
    for k, one in enumerate(mil.predicted(trained, data)):
        np.testing.assert_allclose(one.output, np.mean([said[k].output for said in each], axis=0), atol=1e-6)
        assert (one.bag_id, one.label) == (data.ids[k], data.bags[k].label)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"encoder": {"name": "uni", "mpp_range": (0.4, 0.6), "dim": 7}},
            "'s0' has features of encoder 'uni'.*trained on 'tiny'",
        ),
        ({"weights_sha256": "ab" * 32}, "'s0' has features of weights_sha256 'abab"),
        ({"tile_px": 224}, "'s0' has features of tile_px 224, and the model was trained on 256"),
        ({"mpp_asked": 1.0}, "'s0' has features of mpp 1.0, and the model was trained on 0.5"),
        ({"stain": {"method": "macenko"}}, "'s0' has features of stain 'macenko', and the model was trained on 'none'"),
        (
            {"recipes": {"embed": {"read": {"colour": "srgb"}}}},
            "'s0' has features of read.colour 'srgb', and the model",
        ),
    ],
)
def test_features_made_otherwise_are_refused_by_name(
    tmp_path: Path, cohorts: Any, graded: mil.CrossValidation, changed: dict[str, Any], message: str
) -> None:
    others = cohorts.write(tmp_path, cohorts.planted([0.0]), **changed)
    with pytest.raises(TrainingError, match=f"slide {message}"):
        mil.predicted(graded.trained(), mil.BagDataset.open(others))


NORMALISED = {"method": "macenko", "target": {"stains": [[0.56, 0.72]]}, "seed": 0, "patches": 64}


@pytest.mark.parametrize(
    ("section", "changed", "message"),
    [
        (
            "stain",
            {"target": {"stains": [[0.6, 0.8]]}},
            r"stain.target.stains \[\[0.6, 0.8\]\], and .* \[\[0.56, 0.72\]\]",
        ),
        ("read", {"interpolation": "lanczos"}, "read.interpolation 'lanczos', and the model was trained on 'area'"),
        ("read", {"colour": "srgb"}, "read.colour 'srgb', and the model was trained on None"),
        ("card", {"input_px": 224}, "encoder.input_px 224, and the model was trained on 64"),
        ("stain", {"seed": 5, "patches": 9, "on_bad_fit": "raw"}, None),
        ("read", {"min_coverage": 0.5, "max_bad_tile_fraction": 0.5}, None),
    ],
)
def test_features_of_another_target_or_recipe_are_refused_but_not_those_of_other_tiles_or_fits(
    section: str, changed: dict[str, Any], message: str | None, samples: Any
) -> None:
    def contract(**over: Any) -> FeatureContract:
        card = {"name": "tiny", "input_px": 64} | over.get("card", {})
        read = {"interpolation": "area", "min_coverage": 1.0} | over.get("read", {})
        embed = {"encoder": {"card": card, "precision": "fp16", "weights": ""}, "read": read}
        stain = NORMALISED | over.get("stain", {})
        tiles = {"min_tissue": 0.7 if over else 0.1, "mpp_tolerance": 0.1 if over else 0.05}
        fitted = {"method": "none" if over else "macenko"}  # as a slide that stays as it is, whose fit is bad
        recipes = {"embed": embed, "stain": stain, "tiles": tiles}
        return FeatureContract.of_store(samples.provenance(4, recipes=recipes, stain=fitted), 7)

    found = [
        f"{name} {other!r}, and the model was trained on {own!r}"
        for name, own, other in contract().differences(contract(**{section: changed}))
    ]
    assert len(found) == (message is not None)
    assert message is None or re.match(message, found[0])


def test_a_model_saved_without_the_recipes_still_loads_and_predicts(
    tmp_path: Path, told: dict[str, mil.BagDataset], graded: mil.CrossValidation
) -> None:
    mil.save_trained(tmp_path, graded.trained())
    file = tmp_path / "trained.json"
    saved = json.loads(file.read_text())
    assert saved["features"].pop("made") == {}
    file.write_text(json.dumps(saved))
    assert len(mil.predicted(mil.load_trained(tmp_path), told["classification"])) == 24


def test_features_of_another_width_are_refused(tmp_path: Path, cohorts: Any, graded: mil.CrossValidation) -> None:
    others = cohorts.write(tmp_path, [values[:, :5] for values in cohorts.planted([0.0])])
    with pytest.raises(TrainingError, match="'s0' has features of dim 5, and the model was trained on 7"):
        mil.predicted(graded.trained(), mil.BagDataset.open(others))


def test_a_model_of_bags_that_are_fused_otherwise_is_refused(
    fused: dict[bool, mil.BagDataset], graded: mil.CrossValidation
) -> None:
    with pytest.raises(TrainingError, match="trained with early fusion.*late=False"):
        mil.predicted(graded.trained(), fused[True])


def test_a_folder_that_is_no_model_or_is_damaged_is_refused(tmp_path: Path, graded: mil.CrossValidation) -> None:
    with pytest.raises(TrainingError, match="holds no trained model"):
        mil.load_trained(tmp_path)
    mil.save_trained(tmp_path, graded.trained())
    (tmp_path / "fold1.safetensors").write_bytes((tmp_path / "fold0.safetensors").read_bytes())
    with pytest.raises(TrainingError, match="fold1.safetensors is not the one that trained.json names"):
        mil.load_trained(tmp_path)
    told = json.loads((tmp_path / "trained.json").read_text())
    (tmp_path / "trained.json").write_text(json.dumps(told | {"format_version": 2}))
    with pytest.raises(TrainingError, match="holds no trained model .*format_version"):
        mil.load_trained(tmp_path)
