"""Training on the features of a run: labels and folds checked, models cross-validated, and everything written in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsi_features.config import checked, yaml_mapping
from wsi_features.files import write_text
from wsi_features.mil.contract import FeatureContract
from wsi_features.mil.folds_file import folds_of, not_in_folds
from wsi_features.mil.shuffled import shuffled_labels
from wsi_features.mil.splits import Split
from wsi_features.mil.table import PATIENT, SLIDE
from wsi_features.mil.training.contract import contract_of
from wsi_features.mil.training.crossval import Progress, checked_folds, cross_validated_on
from wsi_features.mil.training.recipe import TrainingRecipe
from wsi_features.mil.training.results import CrossValidation, Device
from wsi_features.mil.training.saving import save_trained
from wsi_features.mil.training.scores import tile_scores
from wsi_features.recipe import Json, digest
from wsi_features.report.training_page import render_training_report
from wsi_features.stages.labelled import BagChoice, LabelChoice, LabelledBags, label_choice, labelled_bags, patients_of
from wsi_features.stages.result_folder import made_folder, refuse_place
from wsi_features.stages.training_files import (
    FOLDS,
    MODELS,
    PAGE,
    PREDICTIONS,
    commit,
    folds_csv,
    mapped_column,
    next_commands,
    predictions_csv,
    replaced,
    same_result,
    write_attention,
)
from wsi_features.stages.training_numbers import bag_numbers, feature_numbers, fold_numbers, metric_numbers, versions
from wsi_features.stages.training_report import training_report

KIND = "training"
TRAINING_VERSION = 1
"""Raised when the same inputs and recipe begin to give other numbers."""


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What `wsi-features train` is asked for. `by` are columns of the labels that no fold may divide, beside the patient.

    `folds_file` names the folds instead of drawing them. `shuffle` permutes labels among patients: a control.
    """

    folder: Path
    labels: LabelChoice
    bags: BagChoice
    recipe: TrainingRecipe
    by: tuple[str, ...] = ()
    folds_file: Path | None = None
    shuffle: bool = False
    overwrite: bool = False
    device: Device = "auto"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A training about to begin: its bags, the given folds, and `there` when the same result lies in the folder already."""

    asked: TrainRequest
    out: Path
    bags: LabelledBags
    patients: tuple[str, ...]
    splits: Sequence[Split]
    contract: FeatureContract
    fingerprint: str
    there: Json | None

    @property
    def commands(self) -> tuple[tuple[str, str], ...]:
        """What one does next."""
        asked = self.asked
        column = mapped_column(asked.recipe.model, asked.labels.task, self.bags.dataset.names)
        return next_commands(KIND, self.out, asked.folder, column, asked.bags.feature_set)

    def numbers(self) -> Json:
        """What is known before anything is learned."""
        asked, dataset = self.asked, self.bags.dataset
        return {
            "kind": KIND,
            "fingerprint": self.fingerprint,
            "task": dataset.task,
            "columns": list(asked.labels.columns),
            "names": list(dataset.names),
            "unit": dataset.recipe.unit,
            "late": dataset.recipe.late,
            "shuffled_labels": asked.shuffle,
            "counts": bag_numbers(self.bags, self.patients),
            "left_out": self.bags.left_out,
            "features": feature_numbers(self.bags, self.contract),
            "stores": self.bags.fingerprints,
            "split": {"by": list(asked.by), "file": asked.folds_file.name if asked.folds_file else None},
        }


def training_request(asked: Mapping[str, Any]) -> TrainRequest:
    """The request that the options of the command line make. Raises ConfigError."""
    given = {name: asked[name] for name in ("model", "folds", "seed", "max_tiles", "epochs")}
    return TrainRequest(
        folder=asked["folder"],
        labels=label_choice(asked),
        bags=BagChoice(asked["unit"], asked["late"], asked["feature_set"], asked["marks"], asked["stains"]),
        recipe=training_recipe(asked["config"], given),
        by=asked["by"],
        folds_file=asked["folds_file"],
        shuffle=asked["shuffle"],
        overwrite=asked["overwrite"],
        device=asked["device"],
    )


def training_recipe(file: Path | None, given: Mapping[str, Any]) -> TrainingRecipe:
    """The recipe in a YAML file with the given values over it. Raises ConfigError."""
    values = yaml_mapping(file) if file else {}
    over = {name: value for name, value in given.items() if value is not None}
    return checked(TrainingRecipe, {**values, **over}, repr(str(file)) if file else "of the command line")


def prepared(out: Path, asked: TrainRequest) -> Prepared:
    """Open the bags, check the folder and the folds that are given. Raises UsageError before anything is learned."""
    refuse_place(asked.folder, out)
    bags = labelled_bags(out, asked.bags, asked.labels)
    if asked.folds_file is not None:
        bags = bags.without(not_in_folds(asked.folds_file, bags.dataset))
    patients = patients_of(bags.dataset, asked.by)
    groups = _groups(bags, patients, asked.by)
    if asked.shuffle:
        bags = replace(bags, dataset=shuffled_labels(bags.dataset, patients, asked.recipe.seed))
    given = folds_of(asked.folds_file, bags.dataset, groups, asked.recipe.seed) if asked.folds_file else None
    splits = checked_folds(bags.dataset, asked.recipe, groups, given, str(asked.folds_file or ""))
    fingerprint = _fingerprint(asked, bags, groups, splits)
    there = same_result(asked.folder, KIND, fingerprint, overwrite=asked.overwrite)
    contract = contract_of(bags.dataset)
    return Prepared(asked, out, bags, patients, splits, contract, fingerprint, there)


def trained(made: Prepared, progress: Progress | None = None) -> Json:
    """Cross-validate and write the folder; what `metrics.json` then holds. Raises UsageError, StoreError."""
    asked, folder, dataset = made.asked, made.asked.folder, made.bags.dataset
    made_folder(folder)
    result = cross_validated_on(
        dataset, asked.recipe, made.splits, made.patients, device=asked.device, progress=progress
    )
    numbers = made.numbers() | _learned(made, result)
    with replaced(folder, KIND):
        save_trained(folder / MODELS, result.trained())
        tested = {one.bag_id for one in result.predictions}
        bags = dataset.part(k for k, name in enumerate(dataset.ids) if name in tested)
        write_attention(folder, numbers, tile_scores(result, bags))
        write_text(folder / PREDICTIONS, predictions_csv(dataset, result.task, result.names, result.predictions))
        write_text(folder / FOLDS, folds_csv(dataset, [fold.split for fold in result.folds]))
        page = training_report(numbers, result.predictions, made.commands)
        write_text(folder / PAGE, render_training_report(page))
        return commit(folder, numbers)


def _learned(made: Prepared, result: CrossValidation) -> Json:
    dataset = made.bags.dataset
    return {
        "metrics": metric_numbers(dataset, result.metrics),
        "folds": [fold_numbers(fold, dataset) for fold in result.folds],
        "recipe": result.recipe.model_dump(mode="json"),
        "versions": versions(),
    }


def _groups(bags: LabelledBags, patients: tuple[str, ...], by: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What no fold may divide: patients, and what columns of the labels say of each bag."""
    further = [name for name in by if name not in {SLIDE, PATIENT}]
    return {"patient": patients} | {name: bags.dataset.groups(name, bags.table) for name in further}


def _fingerprint(
    asked: TrainRequest, bags: LabelledBags, groups: Mapping[str, Sequence[str]], splits: Sequence[Split]
) -> str:
    """Of all that changes a number: recipe, bags with labels and stores, and what divides them."""
    dataset = bags.dataset
    return digest(
        {
            "stage": KIND,
            "method_version": TRAINING_VERSION,
            "recipe": asked.recipe.canonical(),
            "bags": dataset.recipe.canonical(),
            "task": [dataset.task, *dataset.names],
            "upstream": bags.upstream(),
            "groups": {name: list(of_bags) for name, of_bags in groups.items()},
            "folds": [[items.tolist() for items in split.parts().values()] for split in splits],
            "shuffled": asked.shuffle,
        }
    )
