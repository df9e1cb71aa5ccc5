"""The files of a training or a prediction: whether the same result is there, and their tables.

`metrics.json` says first that the folder is unfinished, and is written whole at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from shlex import quote

from wsi_features.cohort.scores import SlideScores, write_scores
from wsi_features.errors import TrainingFolderError
from wsi_features.files import csv_text, read_json, write_json
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.labels import Task
from wsi_features.mil.splits import Split
from wsi_features.mil.table import PATIENT, SLIDE
from wsi_features.mil.training.results import Prediction
from wsi_features.recipe import Json
from wsi_features.stages.result_folder import writing_to

METRICS, PREDICTIONS, FOLDS, ATTENTION = "metrics.json", "predictions.csv", "folds.csv", "attention.parquet"
PAGE, MODELS = "training.html", "models"
PREDICTION_PAGE, UNFINISHED = "prediction.html", "unfinished"


def finished(folder: Path, kind: str) -> Json:
    """The numbers of a result whose files are all there. Raises TrainingFolderError."""
    try:
        found = read_json(folder / METRICS)
    except (OSError, ValueError) as error:
        raise TrainingFolderError.none(str(folder), f"no readable {METRICS}") from error
    if found.get("kind") != kind:
        raise TrainingFolderError.none(str(folder), f"its {METRICS} is of a {found.get('kind', 'thing unknown')}")
    if UNFINISHED in found:
        raise TrainingFolderError.none(str(folder), "it was interrupted")
    missing = [name for name in found["files"] if not (folder / name).exists()]
    if missing:
        raise TrainingFolderError.none(str(folder), f"{missing[0]} is gone")
    return found


def same_result(folder: Path, kind: str, fingerprint: str, *, overwrite: bool) -> Json | None:
    """The numbers that lie in `folder` where they are of `fingerprint`; None where the folder may be written to.

    Raises TrainingFolderError where something else lies there that would be lost, unless it may be replaced.
    """
    try:
        found = read_json(folder / METRICS)
    except FileNotFoundError:
        found = {"kind": kind, UNFINISHED: True} if not _there(folder) else {}
    except (OSError, ValueError):
        found = {}
    if found.get("kind") == kind and found.get("fingerprint", fingerprint) == fingerprint:
        whole = UNFINISHED not in found and all((folder / name).exists() for name in found["files"])
        return found if whole else None
    if not overwrite:
        raise TrainingFolderError.occupied(str(folder), _what(folder, found))
    return None


def _what(folder: Path, found: Json) -> str:
    """What lies in a folder, for a message."""
    return f"a {found['kind']}" if found.get("kind") in {"training", "prediction"} else (_there(folder) or [METRICS])[0]


@contextmanager
def replaced(folder: Path, kind: str) -> Iterator[None]:
    """Say that the folder is unfinished, take away what was there before, and write in the block. Raises OutputError."""
    with writing_to(folder):
        write_json(folder / METRICS, {"kind": kind, UNFINISHED: True})
        for path in (*(folder / name for name in _ORDER), *(folder / MODELS).glob("fold*.safetensors")):
            if path.is_file():
                path.unlink()
        yield


def _there(folder: Path) -> list[str]:
    """Names of ours that lie in a folder."""
    return [name for name in _ORDER if (folder / name).exists()]


def commit(folder: Path, numbers: Json) -> Json:
    """Write the numbers, with the names of the files that lie beside them."""
    whole = numbers | {"files": _there(folder)}
    write_json(folder / METRICS, whole)
    return whole


_ORDER = (PAGE, PREDICTION_PAGE, PREDICTIONS, FOLDS, ATTENTION, MODELS)


def next_commands(
    kind: str, out: Path, folder: Path, column: str, feature_set: str | None = None
) -> tuple[tuple[str, str], ...]:
    """What one does next with a result, as one types it; `column` of the scores is what a map shows."""
    scores, maps = quote(str(folder / ATTENTION)), quote(str(folder.with_name(f"{folder.name}-heatmaps")))
    of_set = f" --feature-set {quote(feature_set)}" if feature_set else ""
    heat = f"wsi-features heatmap {quote(str(out))}{of_set} --scores {scores} --column {quote(column)} --to png --out {maps}"
    other = f"wsi-features predict {quote(str(folder))} OTHER_OUT --labels CSV --out DIR"
    further = (("on another cohort", other),) if kind == "training" else ()
    return (f"{column.replace(':', ' of ')} on the slides", heat), *further


def mapped_column(model: str, task: Task, names: Sequence[str]) -> str:
    """What tells most on a map: the attention, or where all tiles have the same what each speaks for."""
    if model not in {"mean", "linear"}:
        return "attention"
    return "score:risk" if task == "survival" else f"score:{names[-1]}"


def write_attention(folder: Path, numbers: Json, scores: Iterator[SlideScores]) -> None:
    """The score table of all tiles, which says of what training or prediction it is."""
    first = next(scores)
    about = {name: numbers[name] for name in ("fingerprint", "kind", "shuffled_labels")}
    write_scores(folder / ATTENTION, first.columns, chain([first], scores), about)


def predictions_csv(dataset: BagDataset, task: Task, names: Sequence[str], predictions: Iterable[Prediction]) -> str:
    """One row a bag: ids, fold, label where there is one, and outputs, each number as exact as it is."""
    if task == "classification":
        labels, outputs = ["label", "predicted"], [f"p:{name}" for name in names]
    elif task == "survival":
        labels, outputs = ["time", "event"], ["risk"]
    else:
        labels, outputs = [f"true:{name}" for name in names], [f"predicted:{name}" for name in names]
    rows = [[*_ids(dataset), "fold", *labels, *outputs]]
    patient = {bag.bag_id: bag.patient_id for bag in dataset.bags}
    for one in predictions:
        ids = [one.bag_id, patient[one.bag_id]][: len(_ids(dataset))]
        rows.append([*ids, "" if one.fold < 0 else str(one.fold), *_label_cells(task, names, one), *_cells(one.output)])
    return csv_text(rows)


def folds_csv(dataset: BagDataset, splits: Sequence[Split]) -> str:
    """One row a bag and one column a fold that says train, val or test; `--folds-file` reads it."""
    rows = [[*_ids(dataset), *(f"fold_{k}" for k in range(len(splits)))]]
    part_of = [{int(k): part for part, items in split.parts().items() for k in items} for split in splits]
    for item, bag in enumerate(dataset.bags):
        ids = [bag.bag_id, bag.patient_id][: len(_ids(dataset))]
        rows.append([*ids, *(parts.get(item, "") for parts in part_of)])
    return csv_text(rows)


def _ids(dataset: BagDataset) -> list[str]:
    return [SLIDE, PATIENT] if dataset.recipe.unit == "slide" else [PATIENT]


def _label_cells(task: Task, names: Sequence[str], one: Prediction) -> list[str]:
    if task == "classification":
        said = names[int(one.output.argmax())]
        return ["" if one.label is None else names[one.label], said]
    empty = [""] * (2 if task == "survival" else len(names))
    return empty if one.label is None else _cells(one.label)


def _cells(values: Iterable[float]) -> list[str]:
    return [f"{float(value):.9g}" for value in values]
