"""Cross-validation: every bag is predicted by a model that saw no bag of its patient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.labels import Task, strata
from wsi_features.mil.splits import Split, k_folds
from wsi_features.mil.table import PATIENT, SLIDE, Table
from wsi_features.mil.training.bootstrap import intervals, resampled_counts
from wsi_features.mil.training.checks import refuse_labels, refuse_parts
from wsi_features.mil.training.contract import contract_of
from wsi_features.mil.training.evaluation import device_of, network_of, outputs_of
from wsi_features.mil.training.fitting import Fold, fitted_network
from wsi_features.mil.training.held import HeldBags
from wsi_features.mil.training.metrics import metrics_of
from wsi_features.mil.training.objective import Objective
from wsi_features.mil.training.probe import fitted_probe
from wsi_features.mil.training.recipe import TrainingRecipe
from wsi_features.mil.training.results import CrossValidation, Device, Epoch, FoldResult, Interval, Prediction

Progress = Callable[[int, Epoch], None]
"""Told of the number of the fold and an epoch that has ended."""


def cross_validated(
    dataset: BagDataset,
    recipe: TrainingRecipe | None = None,
    *,
    by: Sequence[str] = (),
    table: Table | None = None,
    device: Device = "auto",
    memory_gib: float | None = None,
    progress: Progress | None = None,
) -> CrossValidation:
    """Train on all folds but two, stop by the next one, and predict the last, in turn.

    No patient is divided between folds, nor a group of `by`, columns of `table` such as a site; with "slide_id" in it
    every slide counts as a patient. Features stay in memory up to `memory_gib`, by default 8, or half of what is free. Equal
    seeds give equal bytes on the same machine and number of threads. Raises TrainingError, SplitError, BagError, LabelError.
    """
    how = recipe or TrainingRecipe()
    patients = dataset.ids if SLIDE in by else dataset.groups(PATIENT)
    groups = {name.removesuffix("_id"): dataset.groups(name, table) for name in by if name not in {SLIDE, PATIENT}}
    groups["patient"] = patients
    splits = checked_folds(dataset, how, groups)
    return cross_validated_on(dataset, how, splits, patients, device=device, memory_gib=memory_gib, progress=progress)


def cross_validated_on(
    dataset: BagDataset,
    recipe: TrainingRecipe,
    splits: Sequence[Split],
    patients: Sequence[str],
    *,
    device: Device = "auto",
    memory_gib: float | None = None,
    progress: Progress | None = None,
) -> CrossValidation:
    """The same on given folds, which `checked_folds` has seen; a bag that none of them tests is not predicted.

    `patients` names the patient of each bag. Raises TrainingError, StoreError.
    """
    place = device_of(device)
    features = contract_of(dataset)
    bags = HeldBags.of(dataset, None if memory_gib is None else int(memory_gib * 2**30))
    folds = []
    for number, split in enumerate(splits):
        objective = Objective.of(dataset.part(split.train), balanced=recipe.balanced)
        fold = Fold(number, split, recipe, objective, place)
        folds.append(_folded(bags, fold, patients, progress or (lambda fold, epoch: None)))  # noqa: ARG005
    number_of = {name: k for k, name in enumerate(dataset.ids)}
    predictions = sorted((one for fold in folds for one in fold.predictions), key=lambda one: number_of[one.bag_id])
    return CrossValidation(
        task=objective.task,
        names=dataset.names,
        recipe=recipe,
        features=features,
        late=dataset.recipe.late,
        folds=tuple(folds),
        predictions=tuple(predictions),
        metrics=judged(objective.task, dataset.names, predictions, recipe),
    )


def checked_folds(
    dataset: BagDataset,
    recipe: TrainingRecipe,
    groups: dict[str, tuple[str, ...]],
    given: Sequence[Split] | None = None,
    file: str = "",
) -> Sequence[Split]:
    """The folds, those `given` in a `file` or drawn, with what each must have to be learned from.

    Raises TrainingError and SplitError.
    """
    refuse_labels(dataset, list(groups.values()), recipe.folds if given is None else 2, file)
    splits = given or k_folds(list(groups.values()), recipe.folds, dataset.strata(), recipe.seed)
    for number, split in enumerate(splits):
        split.refuse_leaks(dataset.ids, **groups)
        refuse_parts(dataset, number, split, file)
    return splits


def _folded(bags: HeldBags, fold: Fold, patients: Sequence[str], progress: Progress) -> FoldResult:
    fit = fitted_probe if fold.recipe.model == "linear" else fitted_network
    fitted = fit(bags, fold, lambda epoch: progress(fold.number, epoch))
    network = network_of(fitted.model, fold.recipe, fold.device)
    items = fold.split.test.tolist()
    outputs = outputs_of(fold.objective.task, [network], bags, items)
    predictions = tuple(
        Prediction(bags.data.ids[item], patients[item], fold.number, bags.data.bags[item].label, output)
        for item, output in zip(items, outputs, strict=True)
    )
    return FoldResult(fold.number, fold.split, fitted.history, fitted.best_epoch, predictions, fitted.model)


def judged(
    task: Task, names: Sequence[str], predictions: Sequence[Prediction], recipe: TrainingRecipe
) -> dict[str, Interval]:
    """The metrics of predictions that have labels, with intervals over their patients; of a recipe its resamples and seed."""
    labels = [one.label for one in predictions]
    outputs = np.stack([one.output for one in predictions])
    folds = np.array([one.fold for one in predictions], np.int64)
    patients = [one.patient_id for one in predictions]
    kinds = None if task == "regression" else strata(task, labels)
    counts = resampled_counts(patients, kinds, recipe.resamples, recipe.seed)
    return intervals(metrics_of(task, names, labels, outputs, folds), counts, len(set(patients)))
