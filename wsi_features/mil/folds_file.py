"""Folds that somebody else has made, of a file: published splits, or those of an earlier training.

Two layouts. A column `fold` says in which fold a row is tested, and the next fold validates; or it says `train`, `val`
or `test`, which is one fold. Columns `fold_0`, `fold_1` ... each say `train`, `val` or `test`, a fold a column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.errors import SplitError
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.splits import PARTS, Split, grouped_split
from wsi_features.mil.table import PATIENT, SLIDE, Table, read_table

COLUMN = "fold"
_NUMBERED = re.compile(r"fold_\d+")
_OTHER_NAMES = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}
_VAL_SHARE = 0.15


def folds_of(path: str | Path, dataset: BagDataset, groups: Mapping[str, Sequence[str]], seed: int = 0) -> list[Split]:
    """The folds in the file, as numbers of the data set's bags; a bag may be in none of them, see `not_in_folds`.

    `groups` are names (bags,) that no fold may divide, by what they are: {"patient_id": dataset.groups()}. Where a fold
    names nobody for validation, some of its training groups are drawn with `seed`. Raises SplitError for a patient or
    group in two parts, a bag that two folds test, a word that is no part, and a part without a bag; LabelError for an
    unreadable table.
    """
    columns, words = _parts(path, dataset)
    splits = [
        _split(str(path), column, parts, dataset, groups, seed) for column, parts in zip(columns, words, strict=True)
    ]
    tests = np.bincount([k for split in splits for k in split.test], minlength=len(dataset))
    if tests.max() > 1:
        raise SplitError.tested_twice(str(path), dataset.ids[int(np.argmax(tests))])
    return splits


def not_in_folds(path: str | Path, dataset: BagDataset) -> dict[str, str]:
    """The bags that no fold of the file names, and that as a reason. Raises as `folds_of` does."""
    _, words = _parts(path, dataset)
    return {
        name: f"not in {Path(path).name}"
        for name, parts in zip(dataset.ids, zip(*words, strict=True), strict=True)
        if not any(parts)
    }


def _parts(path: str | Path, dataset: BagDataset) -> tuple[list[str], list[list[str]]]:
    """Of each fold its column, and the part of each bag; empty where it has none."""
    table = read_table(path)
    columns = sorted(filter(_NUMBERED.fullmatch, table.columns), key=lambda name: int(name.rpartition("_")[2]))
    of_bags = [_of_bags(table, dataset, column) for column in columns or [COLUMN]]
    words = [[_OTHER_NAMES.get(word.lower(), word.lower()) for word in bags] for bags in of_bags]
    if not columns and not set(words[0]) <= {"", *PARTS}:
        words = _in_turn(table.path, of_bags[0])
    return columns or [COLUMN] * len(words), words


def _of_bags(table: Table, dataset: BagDataset, column: str) -> list[str]:
    """The cell of each bag. Raises SplitError where the slides of one differ: its patient would be on two sides."""
    cells = table.column(column)
    found = []
    for bag in dataset.bags:
        names = [slide.slide_id for slide in bag.slides] if table.key == SLIDE else [bag.patient_id]
        values = sorted({cells[name] for name in names if name in cells})
        if len(values) > 1:
            raise SplitError.leak(PATIENT, bag.patient_id, values, [name for name in names if name in cells])
        found.append(values[0] if values else "")
    return found


def _in_turn(path: str, fold: Sequence[str]) -> list[list[str]]:
    """A list of parts for each fold: it tests, the next one validates, the others train."""
    names = sorted(set(fold) - {""}, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    if len(names) < 2:
        raise SplitError.one_fold(path, COLUMN, names)
    nexts = [names[(k + 1) % len(names)] if len(names) > 2 else None for k in range(len(names))]
    return [
        ["" if not one else "test" if one == name else "val" if one == after else "train" for one in fold]
        for name, after in zip(names, nexts, strict=True)
    ]


def _split(
    path: str, column: str, parts: Sequence[str], dataset: BagDataset, groups: Mapping[str, Sequence[str]], seed: int
) -> Split:
    for bag, part in zip(dataset.ids, parts, strict=True):
        if part not in {"", *PARTS}:
            raise SplitError.no_part(path, column, bag, part, PARTS)
    split = Split(*(_where(parts, part) for part in PARTS))
    split.refuse_leaks(dataset.ids, **groups)
    for part in ("train", "test"):
        if not len(getattr(split, part)):
            raise SplitError.empty_part(path, column, part)
    return split if len(split.val) else _validated(split, dataset, groups, seed)


def _validated(split: Split, dataset: BagDataset, groups: Mapping[str, Sequence[str]], seed: int) -> Split:
    """The split with some of its training groups for validation."""
    names = [[of_bags[k] for k in split.train] for of_bags in groups.values()]
    strata = dataset.part(split.train).strata()
    drawn = grouped_split(names, (1 - _VAL_SHARE, _VAL_SHARE, 0.0), strata, seed)
    return Split(split.train[drawn.train], split.train[drawn.val], split.test)


def _where(parts: Sequence[str], part: str) -> npt.NDArray[np.int64]:
    return np.flatnonzero([one == part for one in parts]).astype(np.int64)
