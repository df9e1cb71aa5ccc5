"""Labels: what a bag is trained to say, for classification, survival or regression; and weights of classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wsi_features.errors import LabelError
from wsi_features.mil.table import Table

Task = Literal["classification", "survival", "regression"]
Value = int | tuple[float, ...]
"""The number of a class; (time, event); or one number a column."""

EVENT = {"1": 1.0, "true": 1.0, "yes": 1.0, "dead": 1.0, "0": 0.0, "false": 0.0, "no": 0.0, "alive": 0.0}
"""How tables write whether the event was seen (1) or the patient left before it (0, censored)."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The label of each slide or patient (`key`) that has one. `names` are the classes, or the columns of numbers."""

    task: Task
    key: str
    names: tuple[str, ...]
    values: dict[str, Value]


MISSING = frozenset({"nan", "na", "n/a", "<na>", "null"})
"""How tables write that a class is not known."""


def classification(table: Table, column: str, classes: Sequence[str] | None = None) -> Labels:
    """Classes by name; their numbers are places in `classes`, which is the sorted names unless given. Cells that are empty,
    or `NA`, `NaN` and the like, have no label.

    Raises LabelError for a column that is not there or a class that is not listed.
    """
    cells = {row: cell for row, cell in table.column(column).items() if cell.lower() not in MISSING}
    names = tuple(classes) if classes is not None else tuple(sorted(set(cells.values())))
    number = {name: k for k, name in enumerate(names)}
    for row, cell in cells.items():
        if cell not in number:
            raise LabelError.value(table.path, row, column, cell, f"one of {', '.join(names)}")
    return Labels("classification", table.key, names, {row: number[cell] for row, cell in cells.items()})


def survival(table: Table, time: str, event: str) -> Labels:
    """Time to the event or to the last visit, and whether the event was seen (1, true, yes, dead) or not (censored).

    A row with only one of the two is refused, as is a time that is negative or no number. Raises LabelError.
    """
    times, events = table.column(time), table.column(event)
    values: dict[str, Value] = {}
    for row in [row for row in table.cells if row in times or row in events]:
        seen = EVENT.get(_plain(events.get(row, "")))
        if seen is None:
            raise LabelError.value(table.path, row, event, events.get(row, ""), "1 (seen) or 0 (censored)")
        last = _number(table.path, row, time, times.get(row, ""))
        if last < 0:
            raise LabelError.value(table.path, row, time, times[row], "a time of 0 or more")
        values[row] = (last, seen)
    return Labels("survival", table.key, (time, event), values)


def regression(table: Table, columns: str | Sequence[str]) -> Labels:
    """One number or several. A row with an empty cell among them has no label. Raises LabelError."""
    names = (columns,) if isinstance(columns, str) else tuple(columns)
    cells = {name: table.column(name) for name in names}
    rows = [row for row in table.cells if all(row in cells[name] for name in names)]
    values: dict[str, Value] = {
        row: tuple(_number(table.path, row, name, cells[name][row]) for name in names) for row in rows
    }
    return Labels("regression", table.key, names, values)


def class_weights(
    labels: npt.NDArray[np.int64], classes: Sequence[str], beta: float | None = None
) -> npt.NDArray[np.float32]:
    """Weights (classes,) for a loss, of the bags trained on: n / (classes x count), whose mean over the bags is 1.

    With `beta` (0.99, say) by effective numbers instead (Cui et al., CVPR 2019), with the same mean. Raises LabelError
    for a class without a bag: its weight would be infinite.
    """
    counts = np.bincount(labels, minlength=len(classes)).astype(np.float64)
    if (counts == 0).any():
        absent = str(classes[int(np.argmin(counts))])
        raise LabelError.unknown_class(absent, [name for name, n in zip(classes, counts, strict=True) if n])
    weights = 1 / counts if beta is None else (1 - beta) / (1 - beta**counts)
    return np.asarray(weights * (counts.sum() / (weights * counts).sum()), np.float32)


def strata(task: Task, values: Sequence[Value], bins: int = 4) -> npt.NDArray[np.int64]:
    """Which class each bag counts for in a stratified split: its class, its event, or the quantile of its first number."""
    if task == "classification":
        return np.asarray(values, np.int64)
    numbers = np.asarray([value[1 if task == "survival" else 0] for value in values if isinstance(value, tuple)])
    if task == "survival":
        return numbers.astype(np.int64)
    edges = np.quantile(numbers, np.arange(1, bins) / bins) if len(numbers) else np.zeros(0)
    return np.asarray(np.searchsorted(edges, numbers, side="right"), np.int64)


def label_columns(task: Task, values: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
    """The labels of a batch of b bags: `label` int64 (b,), `time` and `event` float32 (b,), or `target` float32 (b, columns)."""
    if task == "classification":
        return {"label": np.asarray(values, np.int64)}
    numbers = np.asarray(values, np.float32).reshape(len(values), -1)
    return {"time": numbers[:, 0], "event": numbers[:, 1]} if task == "survival" else {"target": numbers}


def _plain(cell: str) -> str:
    """`1.0` and `Dead` are written in many ways, and cBioPortal writes `1:DECEASED`."""
    text = cell.lower().split(":")[0]
    return text.removesuffix(".0")


def _number(path: str, row: str, column: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LabelError.value(path, row, column, cell, "a finite number")
    return value
