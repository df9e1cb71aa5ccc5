"""A control: the labels of a data set permuted among its patients, so that features cannot tell them but by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from wsi_features.mil.dataset import BagDataset


def shuffled_labels(dataset: BagDataset, groups: Sequence[str], seed: int) -> BagDataset:
    """The same bags with the labels of other patients, drawn by `seed`; `groups` names the patient of each bag.

    A patient gets all labels of another one, in the order of their bags. Where that one has fewer bags, they are taken in
    turn, so that bags of one patient that agreed still agree.
    """
    labels: dict[str, list[Any]] = {}
    for name, bag in zip(groups, dataset.bags, strict=True):
        labels.setdefault(name, []).append(bag.label)
    patients = list(labels)
    order = np.random.default_rng(seed).permutation(len(patients))
    given = {name: labels[patients[k]] for name, k in zip(patients, order, strict=True)}
    seen = dict.fromkeys(patients, 0)
    bags = []
    for name, bag in zip(groups, dataset.bags, strict=True):
        bags.append(replace(bag, label=given[name][seen[name] % len(given[name])]))
        seen[name] += 1
    return replace(dataset, bags=tuple(bags))
