"""What a training gives: predictions, the story of each fold, metrics with intervals, and the fitted numbers. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wsi_features.mil.contract import FeatureContract
from wsi_features.mil.labels import Task
from wsi_features.mil.splits import Split
from wsi_features.mil.training.recipe import TrainingRecipe

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What is said of one bag. `fold` is the one that it was tested in; -1 where all folds' models said it together.

    `output` float32 (k,): the probability of each class; the log of the relative hazard (1,); or the numbers in the
    target's units. `label` as the data set has it; None where it has none.
    """

    bag_id: str
    patient_id: str
    fold: int
    label: Any
    output: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training bags; of the linear probe one strength of L2, which `strength` then is.

    It is chosen by the lowest `val_error`: of classes the Brier score of the validation fold, else its loss. `val_metric`
    is its AUC, C-index or R2, NaN where it has not two bags to compare.
    """

    number: int
    train_loss: float
    val_loss: float
    val_error: float
    val_metric: float
    strength: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FittedModel:
    """The numbers of one fold's model, by the names of its network's parameters; what saving keeps."""

    arrays: dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class FoldResult:
    """One fold: who trained, validated and tested (numbers of bags), the story, and predictions of the tested bags."""

    number: int
    split: Split
    history: tuple[Epoch, ...]
    best_epoch: int
    predictions: tuple[Prediction, ...]
    model: FittedModel


@dataclass(frozen=True, slots=True)
class Interval:
    """A metric of all tested bags, and where 95 % of resamples of the `n` patients lie. NaN where it is not defined."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidation:
    """Every bag predicted by the fold that had not seen it. `names` are the classes, (time, event), or the target columns."""

    task: Task
    names: tuple[str, ...]
    recipe: TrainingRecipe
    features: FeatureContract
    late: bool
    folds: tuple[FoldResult, ...]
    predictions: tuple[Prediction, ...]
    metrics: dict[str, Interval]

    def trained(self) -> Trained:
        """The models of all folds, to be saved or to predict other slides."""
        models = tuple(fold.model for fold in self.folds)
        return Trained(self.task, self.names, self.recipe, self.features, self.late, models)


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The models of all folds with what they are of: task, recipe, and the features that they may be given."""

    task: Task
    names: tuple[str, ...]
    recipe: TrainingRecipe
    features: FeatureContract
    late: bool
    models: tuple[FittedModel, ...]
