"""What the training page shows, as values: scores with their intervals, folds, predictions, and what they were made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Score:
    """One metric over all patients with its 95 % interval, and the value of a guess where there is one; NaN is unknown."""

    name: str
    value: float
    low: float
    high: float
    chance: float | None = None

    @property
    def said(self) -> str:
        """As a sentence has it."""
        return f"{self.name} {self.value:.2f} (95 % interval {self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, slots=True)
class FoldRow:
    """One fold: bags to train, validate and test on, the chosen epoch (from 1), losses an epoch, and the first metric.

    `strengths` are of L2, one a loss, where a linear probe tried them instead of epochs.
    """

    name: str
    train: int
    val: int
    test: int
    best_epoch: int
    train_loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    value: float
    strengths: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """n bags with a truth and what models said that never saw them.

    `truth` is (n, 1) numbers of classes, (n, 2) time and event, or (n, columns) numbers; `outputs` (n, classes)
    probabilities, (n, 1) risks, or (n, columns) numbers. `fold` (n,) numbers the model.
    """

    ids: tuple[str, ...]
    patients: tuple[str, ...]
    fold: npt.NDArray[np.int64]
    truth: npt.NDArray[np.float64]
    outputs: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """Everything that the page shows. `target` is what the labels are called, `names` the classes or columns of numbers.

    `scores` begin with the one that the task is judged by. `shuffled` says that labels were permuted, as a control;
    `unit` is slide or patient, and `notes` are what to mind about how the folds were fitted. `folds` are empty where finished models were applied to other slides.
    """

    task: Literal["classification", "survival", "regression"]
    target: str
    names: tuple[str, ...]
    unit: str
    shuffled: bool
    scores: tuple[Score, ...]
    counts: Pairs
    features: Pairs
    left_out: Pairs
    folds: tuple[FoldRow, ...]
    predicted: Predicted
    recipe: Pairs
    versions: Pairs
    files: Pairs
    commands: Pairs = ()
    notes: tuple[str, ...] = ()
