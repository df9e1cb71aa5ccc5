"""What labels and folds must have so that something true can be learned from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TrainingError
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.splits import Split, joined_groups


def refuse_labels(dataset: BagDataset, groups: Sequence[Sequence[str]], folds: int, file: str = "") -> None:
    """Raise TrainingError where there is nothing to learn, or a class or event in fewer groups than folds.

    `file` is the one that gives the folds, and so says which bags there are.
    """
    if dataset.task is None:
        raise TrainingError.unlabelled(len(dataset))
    group, strata = joined_groups(*groups), dataset.strata()
    assert strata is not None  # noqa: S101 - it has labels
    if dataset.task == "regression":
        return _refuse_constant(dataset, file)
    if dataset.task == "survival":
        if not strata.any():
            raise TrainingError.no_events(len(dataset), file)
        return _refuse_few("the event", group[strata == 1], folds, file)
    present = [name for k, name in enumerate(dataset.names) if (strata == k).any()]
    if len(present) < 2:
        raise TrainingError.one_class(present, file)
    for k, name in enumerate(dataset.names):
        _refuse_few(f"class {name!r}", group[strata == k], folds, file)
    return None


def refuse_parts(dataset: BagDataset, number: int, split: Split, file: str = "") -> None:
    """Raise TrainingError where a part of a fold lacks what it needs: classes to learn, events, targets that differ.

    `file` is the one that gives the folds.
    """
    for part, items in split.parts().items():
        labels = [dataset.bags[k].label for k in items]
        if dataset.task == "classification" and part == "train":
            for k, name in enumerate(dataset.names):
                if k not in labels:
                    raise TrainingError.part_without(number, part, f"no bag of class {name!r}", file)
        if dataset.task == "survival" and not any(event for _, event in labels):
            raise TrainingError.part_without(number, part, "no event", file)
        if dataset.task == "regression" and part == "train":
            for k, name in enumerate(dataset.names):
                if len({label[k] for label in labels}) < 2:
                    raise TrainingError.part_without(number, part, f"one value of {name!r} only", file)


def _refuse_few(name: str, groups: npt.NDArray[np.int64], folds: int, file: str) -> None:
    found = len(np.unique(groups))
    if found < folds:
        raise TrainingError.few_patients(name, found, folds, file)


def _refuse_constant(dataset: BagDataset, file: str) -> None:
    for k, name in enumerate(dataset.names):
        values = {bag.label[k] for bag in dataset.bags}
        if len(values) < 2:
            raise TrainingError.constant(name, values.pop(), file)
