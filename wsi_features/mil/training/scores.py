"""Scores of tiles: how much the model looks at each, and what it would say of a bag of that tile alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.scores import SlideScores
from wsi_features.errors import TrainingError
from wsi_features.mil.bag import BagSlides
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.labels import Task
from wsi_features.mil.training.evaluation import SegmentValues, bag_values, device_of, network_of
from wsi_features.mil.training.held import HeldBags
from wsi_features.mil.training.metrics import ranks
from wsi_features.mil.training.predicting import refuse_other_bags
from wsi_features.mil.training.results import CrossValidation, Device, FittedModel, Trained

ATTENTION, RANK = "attention", "attention_rank"


def score_columns(task: Task, names: Sequence[str]) -> tuple[str, ...]:
    """What `tile_scores` says of a tile: attention, its rank, and for what the tile speaks."""
    return ATTENTION, RANK, *(f"score:{name}" for name in (("risk",) if task == "survival" else names))


def tile_scores(
    result: CrossValidation | Trained, dataset: BagDataset, *, device: Device = "auto"
) -> Iterator[SlideScores]:
    """Every tile of every bag, slide by slide: of a cross-validation by the model that had not seen the bag, else the mean of all.

    `attention` sums to 1 in a bag (in a slide, where slides are fused late): the weight of gated attention; 1 / n where a
    mean pools; under max the share of projected numbers that are highest in the tile. `attention_rank` is the share of the
    bag's other tiles that have less, equal ones counting half. `score:` columns are what a bag of the tile alone would get:
    logits whose mean over classes is taken off, the log hazard, or the target's units; except under max, the mean of them
    weighted by attention is the bag's. Raises TrainingError for bags that are not of the cross-validation, or other features.
    """
    refuse_other_bags(result, dataset)
    place = device_of(device)
    of_fold = {one.bag_id: one.fold for one in result.predictions} if isinstance(result, CrossValidation) else None
    networks = [network_of(model, result.recipe, place) for model in _models(result)]
    bags = HeldBags.unread(dataset)
    columns = score_columns(result.task, result.names)
    for item, name in enumerate(dataset.ids):
        if of_fold is not None and name not in of_fold:
            raise TrainingError.other_bags(name)
        chosen = networks if of_fold is None else [networks[of_fold[name]]]
        for part, found in bag_values(chosen, bags, item):
            yield from _of_slides(part, columns, _table(result.task, found))


def _models(result: CrossValidation | Trained) -> Sequence[FittedModel]:
    return result.models if isinstance(result, Trained) else [fold.model for fold in result.folds]


def _table(task: Task, of_models: Sequence[SegmentValues]) -> npt.NDArray[np.float32]:
    """(n, columns) of the tiles of a segment, the mean of the models."""
    attention = np.mean([values.attention for values in of_models], axis=0)
    scores = np.mean([values.scores for values in of_models], axis=0)
    if task == "classification":
        scores = scores - scores.mean(axis=1, keepdims=True)
    rank = ranks(attention) / max(1, len(attention) - 1)
    return np.column_stack([attention, rank, scores]).astype(np.float32)


def _of_slides(part: BagSlides, columns: tuple[str, ...], table: npt.NDArray[np.float32]) -> Iterator[SlideScores]:
    start = 0
    for slide in part.slides:
        if slide.used:
            values = table[start : start + slide.used]
            start += slide.used
            yield SlideScores(slide.slide_id, slide.rows, columns, values, slide.fingerprint)
