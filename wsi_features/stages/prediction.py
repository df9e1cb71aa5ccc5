"""Trained models applied to another run: predictions, the attention of every tile, and with labels how good they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsi_features.errors import TrainingFolderError
from wsi_features.files import write_text
from wsi_features.mil.table import PATIENT, read_table
from wsi_features.mil.training.contract import refuse_other_features
from wsi_features.mil.training.crossval import judged
from wsi_features.mil.training.predicting import predicted
from wsi_features.mil.training.results import Device, Prediction, Trained
from wsi_features.mil.training.saving import load_trained
from wsi_features.mil.training.scores import tile_scores
from wsi_features.recipe import Json, digest
from wsi_features.report.training_page import render_training_report
from wsi_features.stages.labelled import BagChoice, LabelChoice, LabelledBags, label_choice, labelled_bags
from wsi_features.stages.result_folder import made_folder, refuse_place
from wsi_features.stages.training_files import (
    FOLDS,
    MODELS,
    PREDICTION_PAGE,
    PREDICTIONS,
    commit,
    finished,
    mapped_column,
    next_commands,
    predictions_csv,
    replaced,
    same_result,
    write_attention,
)
from wsi_features.stages.training_numbers import bag_numbers, feature_numbers, metric_numbers, versions
from wsi_features.stages.training_report import training_report

KIND = "prediction"
PREDICTION_VERSION = 1
"""Raised when the same models and bags begin to give other numbers."""


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """What `wsi-features predict` is asked for; `labels` without columns has those of the training."""

    folder: Path
    labels: LabelChoice | None
    bags: BagChoice
    overwrite: bool = False
    device: Device = "auto"


@dataclass(frozen=True, slots=True)
class PreparedPrediction:
    """A prediction about to be made; `of` is what the training's `metrics.json` says."""

    asked: PredictRequest
    out: Path
    of: Json
    models: Trained
    bags: LabelledBags
    fingerprint: str
    there: Json | None

    @property
    def commands(self) -> tuple[tuple[str, str], ...]:
        """What one does next."""
        column = mapped_column(self.models.recipe.model, self.models.task, self.models.names)
        return next_commands(KIND, self.out, self.asked.folder, column, self.asked.bags.feature_set)

    def numbers(self) -> Json:
        """What is known before anything is predicted."""
        labels = self.asked.labels
        return {
            "kind": KIND,
            "fingerprint": self.fingerprint,
            "training": self.of["fingerprint"],
            "task": self.models.task,
            "columns": list(labels.columns) if labels else [],
            "names": list(self.models.names),
            "unit": self.of["unit"],
            "late": self.of["late"],
            "shuffled_labels": self.of["shuffled_labels"],
            "counts": bag_numbers(self.bags, _patients(self.bags)),
            "left_out": self.bags.left_out,
            "features": feature_numbers(self.bags, self.models.features),
            "split": self.of["split"],
            "metrics": {},
        }


def prediction_request(asked: Mapping[str, Any]) -> PredictRequest:
    """The request that the options of the command line make."""
    labels = label_choice(asked) if asked["table"] else None
    bags = BagChoice(feature_set=asked["feature_set"], marks=asked["marks"], stains=asked["stains"])
    return PredictRequest(asked["folder"], labels, bags, asked["overwrite"], asked["device"])


def prepared_prediction(training: Path, out: Path, asked: PredictRequest) -> PreparedPrediction:
    """Open models and bags, and refuse what must not be predicted or judged. Raises UsageError before anything is done."""
    refuse_place(asked.folder, out, training)
    of = finished(training, "training")
    models = load_trained(training / MODELS)
    labels = _columns_of(training, of, asked.labels)
    choice = replace(asked.bags, unit=of["unit"], late=of["late"])
    bags = labelled_bags(out, choice, labels, models.names if models.task == "classification" else None)
    refuse_other_features(models.features, bags.dataset)
    if labels is not None:
        _refuse_seen(training, of, bags)
    fingerprint = digest(
        {
            "stage": KIND,
            "method_version": PREDICTION_VERSION,
            "training": of["fingerprint"],
            "upstream": bags.upstream(),
            "labels": bags.dataset.task,
        }
    )
    there = same_result(asked.folder, KIND, fingerprint, overwrite=asked.overwrite)
    return PreparedPrediction(replace(asked, labels=labels), out, of, models, bags, fingerprint, there)


def predicted_run(made: PreparedPrediction) -> Json:
    """Predict and write the folder; what `metrics.json` then holds. Raises UsageError, StoreError."""
    asked, folder, dataset, models = made.asked, made.asked.folder, made.bags.dataset, made.models
    made_folder(folder)
    predictions = predicted(models, dataset, device=asked.device)
    numbers = made.numbers() | {
        "recipe": models.recipe.model_dump(mode="json"),
        "versions": versions(),
    }
    judged_ones = [_with_patient(one) for one in predictions] if asked.labels else []
    if judged_ones:
        numbers["metrics"] = metric_numbers(dataset, judged(models.task, models.names, judged_ones, models.recipe))
    with replaced(folder, KIND):
        write_attention(folder, numbers, tile_scores(models, dataset, device=asked.device))
        write_text(folder / PREDICTIONS, predictions_csv(dataset, models.task, models.names, predictions))
        if judged_ones:
            page = training_report(numbers, judged_ones, made.commands)
            write_text(folder / PREDICTION_PAGE, render_training_report(page))
        return commit(folder, numbers)


def _columns_of(training: Path, of: Json, labels: LabelChoice | None) -> LabelChoice | None:
    """The labels' columns: those given, else those of the training. Raises TrainingFolderError for another task."""
    if labels is None:
        return None
    if not labels.columns:
        names = of["columns"]
        if of["task"] == "classification":
            return replace(labels, label=names[0])
        if of["task"] == "survival":
            return replace(labels, time=names[0], event=names[1])
        return replace(labels, targets=tuple(names))
    if labels.task != of["task"]:
        raise TrainingFolderError.other_task(str(training), of["task"], labels.task)
    return labels


def _refuse_seen(training: Path, of: Json, bags: LabelledBags) -> None:
    """Raise TrainingFolderError where a patient to be judged was in the training, or a slide under another name."""
    table = read_table(training / FOLDS)
    known = set(table.cells) | (set(table.column(PATIENT).values()) if table.key != PATIENT else set())
    seen = [name for name in dict.fromkeys(_patients(bags)) if name in known]
    if seen:
        raise TrainingFolderError.seen(seen[0], str(training), len(seen))
    trained = {fingerprint: name for name, fingerprint in of["stores"].items()}
    for slide_id, fingerprint in bags.fingerprints.items():
        if fingerprint in trained:
            raise TrainingFolderError.seen_slide(slide_id, trained[fingerprint], str(training))


def _patients(bags: LabelledBags) -> list[str]:
    """The patient of each bag, or the slide where nobody says whose it is."""
    return [bag.patient_id or bag.bag_id for bag in bags.dataset.bags]


def _with_patient(one: Prediction) -> Prediction:
    return one if one.patient_id else replace(one, patient_id=one.bag_id)
