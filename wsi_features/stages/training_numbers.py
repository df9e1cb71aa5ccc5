"""The numbers of a training or a prediction as `metrics.json` holds them: no date, no machine, no place on a disk.

What the page and the terminal say is taken from here, so that neither can say something else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version

import numpy as np

from wsi_features.mil.contract import FeatureContract
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.training.metrics import metrics_of
from wsi_features.mil.training.results import FoldResult, Interval, Prediction
from wsi_features.recipe import Json, digest
from wsi_features.stages.labelled import LabelledBags
from wsi_features.store import FeatureStore

_LIBRARIES = ("wsi-features", "numpy", "torch")


def metric_numbers(dataset: BagDataset, metrics: Mapping[str, Interval]) -> Json:
    """Every metric with its interval and, where a guess has one, what it reaches; the first is the one to judge by."""
    chance = by_chance(dataset)
    return {
        name: {"value": _number(one.value), "low": _number(one.low), "high": _number(one.high), "patients": one.n}
        | ({"chance": chance[name.partition(":")[0]]} if name.partition(":")[0] in chance else {})
        for name, one in metrics.items()
    }


def by_chance(dataset: BagDataset) -> dict[str, float]:
    """What a guess reaches that knows the labels' distribution and nothing of the features."""
    if dataset.task == "survival":
        return {"c_index": 0.5}
    if dataset.task == "regression":
        return {"r2": 0.0, "pearson": 0.0, "spearman": 0.0}
    counts = np.bincount([bag.label for bag in dataset.bags], minlength=len(dataset.names))
    return {"auc": 0.5, "balanced_accuracy": 1 / len(dataset.names), "accuracy": float(counts.max() / counts.sum())}


def fold_numbers(fold: FoldResult, dataset: BagDataset) -> Json:
    """The story of one fold; `epochs` tells it pass by pass, or strength by strength of the linear probe."""
    return {
        "fold": fold.number,
        **{part: len(items) for part, items in fold.split.parts().items()},
        "best_epoch": fold.best_epoch,
        "metric": _number(_of_fold(fold.predictions, dataset)),
        "epochs": [{k: _number(v) for k, v in asdict(one).items() if v is not None} for one in fold.history],
    }


def bag_numbers(bags: LabelledBags, patients: Sequence[str]) -> Json:
    """How many of what there are, and how the labels are spread."""
    dataset, slides = bags.dataset, bags.slides
    found: Json = {"patients": len(set(patients)), "slides": len(slides), "bags": len(dataset)}
    found["tiles"] = sum(slide.used for slide in slides)
    labels = [bag.label for bag in dataset.bags]
    if dataset.task == "classification":
        found["classes"] = {
            name: {
                "bags": labels.count(k),
                "patients": len({p for p, label in zip(patients, labels, strict=True) if label == k}),
            }
            for k, name in enumerate(dataset.names)
        }
    elif dataset.task == "survival":
        seen = {patient for patient, label in zip(patients, labels, strict=True) if label[1]}
        found["events"] = {"bags": sum(int(label[1]) for label in labels), "patients": len(seen)}
        found["median_time"] = float(np.median([label[0] for label in labels]))
    elif dataset.task == "regression":
        values = np.array(labels, np.float64)
        found["values"] = {
            name: {"least": float(v.min()), "mean": float(v.mean()), "greatest": float(v.max())}
            for name, v in zip(dataset.names, values.T, strict=True)
        }
    return found


def feature_numbers(bags: LabelledBags, contract: FeatureContract) -> Json:
    """What the features are, and one digest of the fingerprints of all stores."""
    first = FeatureStore.open(bags.slides[0].path).provenance
    return {
        "feature_set": bags.cohort.feature_set,
        **contract.model_dump(),
        "licence": first.licence if first.knows("licence") else None,
        "marks": bags.dataset.recipe.marks,
        "stores": digest({slide.slide_id: slide.fingerprint for slide in bags.slides}),
    }


def versions() -> dict[str, str]:
    """Of what made the numbers."""
    return {name: version(name) for name in _LIBRARIES}


def _of_fold(predictions: Sequence[Prediction], dataset: BagDataset) -> float:
    """The first metric of one fold's test part."""
    if dataset.task is None or not predictions:
        return math.nan
    outputs = np.stack([one.output for one in predictions])
    found = metrics_of(dataset.task, dataset.names, [one.label for one in predictions], outputs)
    return float(next(iter(found.values()))(np.ones((1, len(predictions))))[0])


def _number(value: float) -> float | int | None:
    """JSON knows no NaN."""
    return value if isinstance(value, int) or math.isfinite(value) else None
