"""Labels that nothing true can be learned from are refused, and the message says what to do."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features import mil
from wsi_features.cohort.cohort import Cohort
from wsi_features.errors import TrainingError
from wsi_features.mil.splits import Split
from wsi_features.mil.training.checks import refuse_parts

CASES = {
    "classification": [
        (["A"] * 24, "all bags are of one class \\('A'\\)"),
        (
            ["A"] * 20 + ["B"] * 4,
            "class 'B' has 4 patients \\(groups\\), fewer than the 5 folds. Set folds to at most 4",
        ),
        (["A"] * 22 + ["B"] * 2, "class 'B' has 2 patients \\(groups\\).*add patients, or leave the class out"),
    ],
    "regression": [([7.5] * 24, "the target 'x' is 7.5 for every bag")],
}


def opened(cohort: Any, kind: str, cells: dict[str, list[Any]]) -> mil.BagDataset:
    rows = {f"p{k}": {name: str(values[k]) for name, values in cells.items()} for k in range(24)}
    table = mil.Table("t.csv", "patient_id", ("patient_id", *cells), rows)
    made: mil.Labels = getattr(mil, kind)(table, *cells)
    return mil.BagDataset.open(cohort, made)


@pytest.mark.parametrize(
    ("kind", "cells", "message"), [(kind, *case) for kind, cases in CASES.items() for case in cases]
)
def test_a_column_that_tells_nothing_is_refused(tiny: Any, kind: str, cells: list[Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        mil.cross_validated(opened(tiny, kind, {"x": cells}), mil.TrainingRecipe(model="linear"))


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (0, "none of the 24 bags has an event: all are censored"),
        (3, "the event has 3 patients \\(groups\\), fewer than the 5 folds"),
    ],
)
def test_too_few_events_are_refused(tiny: Any, events: int, message: str) -> None:
    data = opened(tiny, "survival", {"t": list(range(24)), "e": [int(k < events) for k in range(24)]})
    with pytest.raises(TrainingError, match=message):
        mil.cross_validated(data, mil.TrainingRecipe(model="linear"))


def test_as_many_events_as_folds_are_enough(tiny: Any) -> None:
    data = opened(tiny, "survival", {"t": [k % 7 for k in range(24)], "e": [int(k % 5 == 0) for k in range(24)]})
    result = mil.cross_validated(data, mil.TrainingRecipe(model="linear", resamples=20, strengths=(1.0,)))
    assert 0 <= result.metrics["c_index"].value <= 1


def test_a_fold_that_groups_leave_without_a_class_is_named(tiny: Any) -> None:
    grades = ["A"] * 18 + ["B"] * 6
    data = opened(tiny, "classification", {"g": grades})
    rows = {f"p{k}": {"patient_id": f"p{k}", "site": "one" if grades[k] == "B" else f"site{k}"} for k in range(24)}
    with pytest.raises(TrainingError, match="class 'B' has 1 patient \\(group\\)"):
        mil.cross_validated(
            data,
            mil.TrainingRecipe(folds=3),
            by=("site",),
            table=mil.Table("s.csv", "patient_id", ("patient_id", "site"), rows),
        )


def test_bags_without_labels_are_refused(tiny: Any) -> None:
    with pytest.raises(TrainingError, match="24 bags has no labels"):
        mil.cross_validated(mil.BagDataset.open(tiny))


def with_another(tiny: Cohort, folder: Path, cohorts: Any, slide_id: str, features: Any, **changed: Any) -> Cohort:
    """A copy of `tiny` in which one slide has another store."""
    shutil.copytree(tiny.out.root, folder / "run")
    cohorts.write(folder / "other", [features], slide_id=slide_id, **changed)
    store = f"features/{cohorts.feature_set}/{slide_id}.zarr"
    shutil.rmtree(folder / "run" / store)
    shutil.move(folder / "other" / store, folder / "run" / store)
    return Cohort.open(folder / "run", cohorts.feature_set)


def test_a_slide_without_tiles_gives_no_bag_and_is_told(tmp_path: Path, tiny: Cohort, cohorts: Any) -> None:
    cohort = with_another(tiny, tmp_path, cohorts, "s4", cohorts.planted([0.0])[0][:0])
    data = mil.BagDataset.open(cohort, cohorts.labels("classification", {"g": ["AB"[k % 2] for k in range(24)]}))
    assert data.left_out == {"s4": "no tiles"}
    result = mil.cross_validated(data, mil.TrainingRecipe(model="linear", folds=3, resamples=0))
    assert "s4" not in {one.bag_id for one in result.predictions}


def test_features_of_two_encoders_are_refused_by_slide(tmp_path: Path, tiny: Cohort, cohorts: Any) -> None:
    encoder = {"name": "other", "mpp_range": (0.4, 0.6), "dim": 7}
    cohort = with_another(tiny, tmp_path, cohorts, "s7", cohorts.planted([0.0])[0], encoder=encoder)
    data = mil.BagDataset.open(cohort, cohorts.labels("classification", {"g": ["A", "B"] * 12}))
    with pytest.raises(TrainingError, match="slide 's7' has encoder 'other', and 's0' has 'tiny'"):
        mil.cross_validated(data, mil.TrainingRecipe(model="linear", folds=3))


def test_a_fold_whose_part_lacks_what_it_needs_is_named(tiny: Any) -> None:
    classes = opened(tiny, "classification", {"g": ["A"] * 12 + ["B"] * 12})
    survival = opened(tiny, "survival", {"t": list(range(24)), "e": [int(k < 12) for k in range(24)]})
    numbers = opened(tiny, "regression", {"x": [1.0] * 12 + [2.0] * 12})
    split = Split(np.arange(10), np.arange(10, 13), np.arange(13, 24))
    for data, message in (
        (classes, "fold 2: its train part has no bag of class 'B'"),
        (survival, "fold 2: its test part has no event"),
        (numbers, "fold 2: its train part has one value of 'x' only"),
    ):
        with pytest.raises(TrainingError, match=message):
            refuse_parts(data, 2, split)


def test_steps_that_are_too_large_are_told(tiny: Any) -> None:
    data = opened(tiny, "regression", {"x": [float(k % 3) for k in range(24)]})
    with pytest.raises(TrainingError, match="fold 0, epoch .*learning_rate 1e\\+30"):
        mil.cross_validated(data, mil.TrainingRecipe(hidden=8, learning_rate=1e30, folds=3))
