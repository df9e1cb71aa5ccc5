"""The linear probe is the known regression: scikit-learn's logistic and ridge, and Cox at its least."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge

from wsi_features import mil
from wsi_features.mil.splits import Split
from wsi_features.mil.training.fitting import Fold
from wsi_features.mil.training.held import HeldBags
from wsi_features.mil.training.objective import Objective
from wsi_features.mil.training.probe import fitted_linear

TRAIN = np.arange(16)


def fitted(data: mil.BagDataset, values: Any, strength: float, *, balanced: bool = True) -> tuple[Any, Any, Fold]:
    split = Split(TRAIN, np.arange(16, 20), np.arange(20, 24))
    recipe = mil.TrainingRecipe(model="linear", balanced=balanced)
    fold = Fold(0, split, recipe, Objective.of(data.part(TRAIN), balanced=balanced), torch.device("cpu"))
    weight, bias, _ = fitted_linear(np.linalg.svd(values, full_matrices=False), fold, HeldBags.unread(data), strength)
    return weight, bias, fold


def values(width: int) -> Any:
    return np.random.default_rng(width).normal(size=(16, width)) + np.array(LEVELS[:16])[:, None] / 2


LEVELS = [k % 3 for k in range(24)]


@pytest.mark.parametrize("width", [5, 40])
@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_classes_are_told_apart_as_by_scikit_learns_logistic_regression(
    told: dict[str, mil.BagDataset], width: int, strength: float
) -> None:
    data = told["classification"]
    label = [bag.label for bag in data.bags[:16]]
    weight, bias, _ = fitted(data, values(width), strength)
    # A softmax over two classes shares one weight between both, so its L2 is half of that of a single weight.
    wanted = LogisticRegression(C=2 / (strength * 16), class_weight="balanced", tol=1e-8, max_iter=10_000)
    wanted.fit(values(width), label)
    np.testing.assert_allclose(weight[1] - weight[0], wanted.coef_[0], atol=2e-4)
    assert bias[1] - bias[0] == pytest.approx(wanted.intercept_[0], abs=2e-3)


def test_numbers_are_fitted_as_by_ridge_regression(told: dict[str, mil.BagDataset]) -> None:
    data = told["regression"]
    weight, bias, fold = fitted(data, values(6), 0.3)
    target = (np.array([bag.label for bag in data.bags[:16]]) - fold.objective.center) / fold.objective.scale
    ridge = Ridge(alpha=0.3 / 2 * 16 * 2, tol=1e-10).fit(
        values(6), target
    )  # the loss is a mean over bags and 2 columns
    np.testing.assert_allclose(weight, ridge.coef_, atol=1e-4)
    np.testing.assert_allclose(bias, ridge.intercept_, atol=1e-4)


def test_no_step_from_the_hazards_that_are_found_makes_them_likelier(told: dict[str, mil.BagDataset]) -> None:
    weight, bias, fold = fitted(told["survival"], values(20), 0.1)
    marks = [bag.label for bag in told["survival"].bags[:16]]
    labels = fold.objective.labels(marks, torch.device("cpu"), torch.float64)

    def cost(of: Any) -> float:
        return fold.objective.loss(torch.from_numpy(values(20) @ of.T), labels).item() + 0.05 * (of**2).sum()

    assert bias.tolist() == [0]
    for seed in range(20):
        step = np.random.default_rng(seed).normal(size=weight.shape)
        assert cost(weight + 1e-3 * step) > cost(weight)


def test_the_validation_fold_chooses_the_strength(told: dict[str, mil.BagDataset], recipe: Any) -> None:
    result = mil.cross_validated(told["classification"], recipe(model="linear", improvement=0))
    for fold in result.folds:
        assert [epoch.strength for epoch in fold.history] == sorted(result.recipe.strengths, reverse=True)
        assert fold.best_epoch == int(np.argmin([epoch.val_error for epoch in fold.history]))
    assert result.metrics["auc"].value > 0.8
