"""Cross-validation finds what is planted, divides no patient, stops in time, and gives equal bytes for equal seeds."""

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from wsi_features import mil
from wsi_features.errors import TrainingError
from wsi_features.mil.training.crossval import checked_folds
from wsi_features.mil.training.fitting import Fold, batches
from wsi_features.mil.training.held import HeldBags
from wsi_features.mil.training.objective import Objective

Recipes = Callable[..., mil.TrainingRecipe]


def said(result: mil.CrossValidation) -> bytes:
    return b"".join(one.output.tobytes() for one in result.predictions)


def test_what_is_planted_is_found_for_every_task(
    told: dict[str, mil.BagDataset], graded: mil.CrossValidation, recipe: Recipes
) -> None:
    assert graded.metrics["auc"].value > 0.9
    assert graded.metrics["auc"].low <= graded.metrics["auc"].value <= graded.metrics["auc"].high
    assert graded.metrics["auc"].n == 24
    assert mil.cross_validated(told["survival"], recipe()).metrics["c_index"].value > 0.8
    numbers = mil.cross_validated(told["regression"], recipe())
    assert numbers.metrics["pearson:age"].value > 0.7
    assert abs(np.mean([one.output[0] for one in numbers.predictions]) - 57) < 4


@pytest.mark.ci
@pytest.mark.parametrize("model", ["mean", "max"])
def test_other_ways_to_pool_find_it_too(told: dict[str, mil.BagDataset], model: str, recipe: Recipes) -> None:
    assert mil.cross_validated(told["classification"], recipe(model=model)).metrics["auc"].value > 0.85


def test_each_bag_is_predicted_once_by_the_fold_that_tests_it(graded: mil.CrossValidation) -> None:
    assert [one.bag_id for one in graded.predictions] == [f"s{k}" for k in range(24)]
    for fold in graded.folds:
        assert [int(one.bag_id[1:]) for one in fold.predictions] == fold.split.test.tolist()
        assert {one.fold for one in fold.predictions} == {fold.number}
    assert all(one.output.sum() == pytest.approx(1, abs=1e-6) for one in graded.predictions)


def test_equal_seeds_give_equal_bytes_and_leave_other_random_numbers_alone(
    told: dict[str, mil.BagDataset], recipe: Recipes
) -> None:
    data, short = told["classification"], {"epochs": 2, "resamples": 0}
    before = torch.random.get_rng_state()
    first = said(mil.cross_validated(data, recipe(**short)))
    assert said(mil.cross_validated(data, recipe(**short), memory_gib=0)) == first
    assert torch.equal(torch.random.get_rng_state(), before)
    assert said(mil.cross_validated(data, recipe(**short, seed=1))) != first


def test_what_torch_says_of_cublas_ends_no_training_and_other_warnings_are_heard(
    told: dict[str, mil.BagDataset], recipe: Recipes
) -> None:
    def training(text: str) -> Any:
        how = recipe(epochs=1, resamples=0)
        return mil.cross_validated(told["classification"], how, progress=lambda *_: warnings.warn(text, stacklevel=1))

    before = dict(os.environ)
    training(
        "Deterministic behavior was enabled, but\nyou must set an environment variable: CUBLAS_WORKSPACE_CONFIG=:4096:8"
    )
    assert dict(os.environ) == before
    with pytest.raises(UserWarning, match="something else"):
        training("something else")
    assert not torch.are_deterministic_algorithms_enabled()


def test_training_stops_when_the_validation_fold_gets_no_better(
    told: dict[str, mil.BagDataset], recipe: Recipes
) -> None:
    seen: list[tuple[int, int]] = []
    result = mil.cross_validated(
        told["classification"],
        recipe(patience=2, epochs=40, improvement=0.05),
        progress=lambda fold, epoch: seen.append((fold, epoch.number)),
    )
    assert seen == [(fold.number, epoch.number) for fold in result.folds for epoch in fold.history]
    for fold in result.folds:
        errors = [epoch.val_error for epoch in fold.history]
        assert len(errors) == fold.best_epoch + 3 < 40
        assert errors[fold.best_epoch] < min(errors[: fold.best_epoch], default=np.inf)
        assert min(errors[fold.best_epoch :]) >= errors[fold.best_epoch] - 0.05


@pytest.mark.ci
def test_the_numbers_of_the_best_epoch_are_kept(told: dict[str, mil.BagDataset], recipe: Recipes) -> None:
    longer = mil.cross_validated(told["classification"], recipe(patience=3, improvement=0.05))
    stopped = mil.cross_validated(
        told["classification"], recipe(epochs=longer.folds[0].best_epoch + 1, improvement=0.05)
    )
    assert len(longer.folds[0].history) > len(stopped.folds[0].history)
    np.testing.assert_array_equal(
        longer.folds[0].model.arrays["head.weight"], stopped.folds[0].model.arrays["head.weight"]
    )


@pytest.mark.ci
@pytest.mark.parametrize("late", [True, False])
def test_patients_of_several_slides_are_fused_early_or_late(
    fused: dict[bool, mil.BagDataset], late: bool, recipe: Recipes
) -> None:
    result = mil.cross_validated(fused[late], recipe(epochs=20))
    assert [one.bag_id for one in result.predictions] == [f"p{k}" for k in range(12)]
    assert result.metrics["auc"].value > 0.85
    assert result.late is late


def test_slides_of_a_patient_and_of_a_site_stay_in_one_fold(pairs: Any, recipe: Recipes) -> None:
    sites = [5 if k == 1 else 3 if k == 9 else k // 4 for k in range(24)]
    rows = {f"s{k}": {"slide_id": f"s{k}", "grade": "AB"[k // 2 % 2], "site": f"site{sites[k]}"} for k in range(24)}
    table = mil.Table("t.csv", "slide_id", ("slide_id", "grade", "site"), rows)
    data = mil.BagDataset.open(pairs, mil.classification(table, "grade"))
    for by, size in (((), 2), (("site",), 4)):
        result = mil.cross_validated(data, recipe(model="linear", resamples=0, seed=1), by=by, table=table)
        folds = [one.fold for one in result.predictions]
        assert all(len(set(folds[k : k + size])) == 1 for k in range(0, 24, size))
        assert not by or (folds[0], folds[8]) == (folds[23], folds[15])  # p0 and p4 have been at two sites each
        assert result.metrics["auc"].n == 12


def test_slides_without_patients_may_each_be_their_own(pairs: Any, recipe: Recipes) -> None:
    rows = {f"s{k}": {"slide_id": f"s{k}", "grade": "AB"[k % 2]} for k in range(24)}
    data = mil.BagDataset.open(
        pairs, mil.classification(mil.Table("t.csv", "slide_id", ("slide_id", "grade"), rows), "grade")
    )
    result = mil.cross_validated(data, recipe(model="linear", resamples=0), by=("slide_id",))
    assert result.metrics["auc"].n == 24
    assert len({one.fold for one in result.predictions[::2]} | {one.fold for one in result.predictions[1::2]}) == 3


@pytest.mark.ci
def test_shuffled_labels_are_not_found(tiny: Any, recipe: Recipes) -> None:
    order = np.random.default_rng(3).permutation(24)
    found = []
    for shift in range(4):
        cells = {f"p{k}": "AB"[int(order[(k + shift) % 24]) % 2] for k in range(24)}
        table = mil.Table(
            "t.csv", "patient_id", ("patient_id", "g"), {p: {"patient_id": p, "g": g} for p, g in cells.items()}
        )
        data = mil.BagDataset.open(tiny, mil.classification(table, "g"))
        found.append(mil.cross_validated(data, recipe(seed=shift)).metrics["auc"].value)
    assert 0.3 < np.mean(found) < 0.7


def test_a_gpu_that_is_not_there_is_not_replaced_in_silence(told: dict[str, mil.BagDataset], recipe: Recipes) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TrainingError, match="torch finds no GPU"):
        mil.cross_validated(told["classification"], recipe(), device="cuda")


def test_survival_steps_each_have_an_event_however_few_there_are(tiny: Any, cohorts: Any, recipe: Recipes) -> None:
    cells = {"t": list(range(24)), "e": [int(k % 4 == 0) for k in range(24)]}
    data = mil.BagDataset.open(tiny, cohorts.labels("survival", cells))
    how = recipe(risk_set=2)
    split = checked_folds(data, how, {"patient": data.groups()})[0]
    fold = Fold(0, split, how, Objective.of(data.part(split.train), balanced=True), torch.device("cpu"))
    steps, later = (batches(HeldBags.unread(data), fold, epoch) for epoch in (0, 1))
    assert sorted(np.concatenate(steps).tolist()) == split.train.tolist()
    assert len(steps) == sum(data.bags[k].label[1] for k in split.train) < len(split.train) / 2
    assert all(any(data.bags[k].label[1] for k in step) for step in steps)
    assert [step.tolist() for step in steps] != [step.tolist() for step in later]
