"""The page of a training or a prediction, made of the numbers in its `metrics.json` and its predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from wsi_features.mil.training.recipe import TrainingRecipe
from wsi_features.mil.training.results import Prediction
from wsi_features.recipe import Json
from wsi_features.report.training_model import FoldRow, Pairs, Predicted, Score, TrainingReport
from wsi_features.stages.training_files import ATTENTION, FOLDS, METRICS, MODELS, PREDICTIONS

TITLES = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1, mean of classes",
    "accuracy": "accuracy",
    "c_index": "C-index",
    "r2": "R\N{SUPERSCRIPT TWO}",
    "pearson": "Pearson's r",
    "spearman": "Spearman's rho",
    "mae": "mean absolute error",
}
MAIN_METRIC = {"classification": TITLES["auc"], "survival": TITLES["c_index"], "regression": TITLES["r2"]}
"""What each task is judged by."""
_FILES = {
    METRICS: "all numbers of this page",
    PREDICTIONS: "what the models say of each bag",
    FOLDS: "who trained, validated and tested in each fold; --folds-file takes it",
    ATTENTION: "attention and scores of every tile, by slide and row",
    MODELS: "the models, for wsi-features predict",
}
_OF_PROBES = {"model", "standardise", "balanced", "strengths", "folds", "seed", "resamples"}
"""The settings that a linear probe has; the others are of networks, which have all but the strengths."""
_NAMED = 6


def training_report(numbers: Json, predictions: Sequence[Prediction], commands: Pairs) -> TrainingReport:
    """Everything that the page shows. `predictions` have labels."""
    folds = numbers.get("folds", [])
    return TrainingReport(
        task=numbers["task"],
        target=target_of(numbers),
        names=tuple(numbers["names"]),
        unit=numbers["unit"],
        shuffled=numbers["shuffled_labels"],
        scores=scores_of(numbers),
        counts=count_lines(numbers),
        features=_features(numbers),
        left_out=left_out_lines(numbers["left_out"]),
        folds=tuple(_fold(fold) for fold in folds),
        predicted=_predicted(predictions),
        recipe=_recipe(numbers),
        versions=tuple(numbers["versions"].items()),
        files=tuple((name, what) for name, what in _FILES.items() if folds or name not in {FOLDS, MODELS}),
        commands=commands,
        notes=notes_of(numbers),
    )


def target_of(numbers: Json) -> str:
    """What is predicted, as the labels call it."""
    columns = ", ".join(numbers["columns"])
    return f"survival ({columns})" if numbers["task"] == "survival" else columns


def notes_of(numbers: Json) -> tuple[str, ...]:
    """What to mind about how the folds were fitted."""
    folds, recipe = numbers.get("folds", []), numbers.get("recipe", {})
    if recipe.get("model") == "linear":
        return ()
    short = sum(fold["best_epoch"] + 1 == len(fold["epochs"]) == recipe["epochs"] for fold in folds)
    if not short:
        return ()
    count = "1 fold was" if short == 1 else f"{short} folds were"
    return (f"{count} still getting better when the {recipe['epochs']} epochs were over: give more --epochs.",)


def scores_of(numbers: Json) -> tuple[Score, ...]:
    """The metrics by the names that people know, the one to judge by first."""
    return tuple(
        Score(_title(name), _float(one["value"]), _float(one["low"]), _float(one["high"]), one.get("chance"))
        for name, one in numbers["metrics"].items()
    )


def left_out_lines(left_out: Mapping[str, str]) -> Pairs:
    """Each reason with how many it is true of, and the names of some."""
    reasons: dict[str, list[str]] = {}
    for name, why in left_out.items():
        reasons.setdefault(why, []).append(name)
    return tuple(
        (f"{len(names):,} \N{MULTIPLICATION SIGN} {why}", _some(names))
        for why, names in sorted(reasons.items(), key=lambda item: -len(item[1]))
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more (all in {METRICS})" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _title(name: str) -> str:
    kind, _, of = name.partition(":")
    return TITLES.get(kind, kind) + (f", {of}" if of else "")


def count_lines(numbers: Json) -> Pairs:
    found, unit = numbers["counts"], numbers["unit"]
    lines = [(name, f"{found[name]:,}") for name in ("patients", "slides", "tiles")]
    for name, of in found.get("classes", {}).items():
        lines.append((name, _people(of, unit)))
    if "events" in found:
        lines.append(("with the event", _people(found["events"], unit)))
        lines.append((f"median {numbers['names'][0]}", f"{found['median_time']:.4g}"))
    for name, of in found.get("values", {}).items():
        lines.append((name, f"{of['least']:.4g} to {of['greatest']:.4g}, mean {of['mean']:.4g}"))
    if "slide_id" in numbers["split"]["by"]:
        lines.append(("note", "each slide counts as a patient, as was asked for"))
    return tuple(lines)


def _people(of: Mapping[str, int], unit: str) -> str:
    patients = f"{of['patients']:,} patient{'s' if of['patients'] != 1 else ''}"
    return patients if unit == "patient" else f"{patients}, {of['bags']:,} slide{'s' if of['bags'] != 1 else ''}"


def feature_line(numbers: Json) -> str:
    """The features in one line."""
    of = numbers["features"]
    tiles = f"{_known(of['tile_px'])} px tiles at {_known(of['mpp'])} um/px"
    return f"{of['encoder']}, {of['dim']:,} numbers a tile, {tiles}, stain normalization {_known(of['stain'])}"


def _features(numbers: Json) -> Pairs:
    of = numbers["features"]
    tiles = f"{_known(of['tile_px'])} px at {_known(of['mpp'])} \N{MICRO SIGN}m/px"
    marks = {None: "those that the last run keeps", "": "all valid ones"}.get(of["marks"], f"marks {of['marks']}")
    return (
        ("encoder", f"{of['encoder']}, {of['dim']:,} numbers a tile"),
        ("weights, SHA-256", _known(of["weights_sha256"])[:16] or "none needed"),
        ("tiles", f"{tiles}; {marks}"),
        ("stain normalization", _known(of["stain"])),
        ("licence of the weights", _known(of["licence"])),
        ("feature set", of["feature_set"]),
    )


def _known(value: object) -> str:
    return "unknown" if value is None else f"{value}"


def _recipe(numbers: Json) -> Pairs:
    split = numbers["split"]
    folds = f"as in {split['file']}" if split["file"] else "drawn with the seed, stratified by the labels"
    together = ["the slide" if "slide_id" in split["by"] else "the patient"]
    together += [name for name in split["by"] if name not in {"slide_id", "patient_id"}]
    pairs = [("bags", numbers["unit"] + ("s, fused late" if numbers["late"] else "s"))]
    if "training" in numbers:
        pairs.append(("models of the training", numbers["training"][:16]))
    pairs += [("never divided between folds", ", ".join(together)), ("folds", folds)]
    described = TrainingRecipe.model_fields
    every = set(numbers["recipe"])
    unused = every - _OF_PROBES if numbers["recipe"]["model"] == "linear" else {"strengths"}
    unused = unused | {"folds"} if split["file"] else unused
    recipe = {name: value for name, value in numbers["recipe"].items() if name not in unused}
    return (*pairs, *((name, f"{_plain(value)}  ({described[name].description})") for name, value in recipe.items()))


def _plain(value: Any) -> str:
    """A setting as text."""
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "all"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fold(fold: Json) -> FoldRow:
    epochs = fold["epochs"]
    return FoldRow(
        name=f"fold {fold['fold']}",
        train=fold["train"],
        val=fold["val"],
        test=fold["test"],
        best_epoch=fold["best_epoch"] + 1,
        train_loss=tuple(_float(one["train_loss"]) for one in epochs),
        val_loss=tuple(_float(one["val_loss"]) for one in epochs),
        value=_float(fold["metric"]),
        strengths=tuple(one["strength"] for one in epochs if "strength" in one),
    )


def _predicted(predictions: Sequence[Prediction]) -> Predicted:
    return Predicted(
        ids=tuple(one.bag_id for one in predictions),
        patients=tuple(one.patient_id for one in predictions),
        fold=np.array([one.fold for one in predictions], np.int64),
        truth=np.array([np.ravel(one.label) for one in predictions], np.float64),
        outputs=np.array([one.output for one in predictions], np.float64),
    )


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
