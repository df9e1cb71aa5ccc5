"""Metrics of predictions, each a function of how often every bag counts, so that resamples cost a product of matrices.

AUC and C-index compare two bags only where one fold's model predicted both: numbers of different models have no common
scale, least of all hazards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.labels import Task

Doubles = npt.NDArray[np.float64]
Metric = Callable[[Doubles], Doubles]
"""Counts (r, n) of the n bags in r resamples -> values (r,), NaN where one is not defined."""


def metrics_of(
    task: Task,
    names: Sequence[str],
    labels: Sequence[object],
    outputs: npt.NDArray[np.float32],
    folds: npt.NDArray[np.int64] | None = None,
) -> dict[str, Metric]:
    """The metrics of n bags. Of the binary AUC the second class is the positive one; of several it is the mean of one-vs-rest.

    Classification: auc (and auc:<class>), balanced_accuracy, f1 (mean over classes), accuracy. Survival: c_index.
    Regression: r2, pearson, spearman, mae, of several columns the mean and each as r2:<column>.
    """
    fold = np.zeros(len(labels), np.int64) if folds is None else folds
    if task == "classification":
        return _of_classes(names, np.asarray(labels, np.int64), outputs.astype(np.float64), fold)
    values = np.asarray(labels, np.float64).reshape(len(labels), -1)
    if task == "survival":
        return {"c_index": c_index(values[:, 0], values[:, 1] > 0, outputs[:, 0].astype(np.float64), fold)}
    return _of_columns(names, values, outputs.astype(np.float64))


def main_metric(part: BagDataset, outputs: npt.NDArray[np.float32]) -> float:
    """AUC, C-index or R2 of some bags that one model predicted."""
    assert part.task is not None  # noqa: S101 - checked before folds are made
    found = metrics_of(part.task, part.names, [bag.label for bag in part.bags], outputs)
    return float(next(iter(found.values()))(np.ones((1, len(part))))[0])


def auc(positive: npt.NDArray[np.bool_], score: Doubles, fold: npt.NDArray[np.int64]) -> Metric:
    """The share of pairs, one positive and one not, of which the positive scores higher; equal scores count half."""
    return _pairs(fold, lambda i: positive[i][:, None] & ~positive[i][None, :], score)


def c_index(time: Doubles, event: npt.NDArray[np.bool_], risk: Doubles, fold: npt.NDArray[np.int64]) -> Metric:
    """Harrell's C: of pairs of which it is known who died first, the share whose risk says so; equal risks count half.

    Who is censored when another dies is known to have lived longer; two deaths at the same time are not compared.
    """

    def comparable(i: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        first, then = time[i][:, None], time[i][None, :]
        return np.asarray(event[i][:, None] & ((first < then) | ((first == then) & ~event[i][None, :])))

    return _pairs(fold, comparable, risk)


def _pairs(
    fold: npt.NDArray[np.int64],
    comparable: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]],
    score: Doubles,
) -> Metric:
    """Pairs (i, j) of one fold that are comparable, and how often i has the higher score."""
    parts = []
    for number in np.unique(fold):
        items = np.flatnonzero(fold == number)
        pairs = comparable(items).astype(np.float64)
        first, then = score[items][:, None], score[items][None, :]
        parts.append((items, pairs, pairs * ((first > then) + 0.5 * (first == then))))

    def value(counts: Doubles) -> Doubles:
        total = sum((counts[:, items] @ pairs * counts[:, items]).sum(axis=1) for items, pairs, _ in parts)
        right = sum((counts[:, items] @ won * counts[:, items]).sum(axis=1) for items, _, won in parts)
        return _ratio(np.asarray(right), np.asarray(total))

    return value


def _of_classes(
    names: Sequence[str], label: npt.NDArray[np.int64], output: Doubles, fold: npt.NDArray[np.int64]
) -> dict[str, Metric]:
    several = len(names) > 2
    one_vs_rest = {k: _once(auc(label == k, output[:, k], fold)) for k in (range(len(names)) if several else (1,))}
    cells = np.zeros((len(label), len(names) ** 2))
    cells[np.arange(len(label)), label * len(names) + output.argmax(axis=1)] = 1

    def table(counts: Doubles) -> Doubles:
        return (counts @ cells).reshape(len(counts), len(names), len(names))

    def recalls(counts: Doubles) -> Doubles:
        found = table(counts)
        return _ratio(np.einsum("rkk->rk", found), found.sum(axis=2))

    def f1(counts: Doubles) -> Doubles:
        found = table(counts)
        both = found.sum(axis=1) + found.sum(axis=2)
        return np.where(both > 0, 2 * np.einsum("rkk->rk", found) / np.maximum(both, 1), 0.0)

    found: dict[str, Metric] = {
        "auc": lambda counts: np.asarray(np.mean([one(counts) for one in one_vs_rest.values()], axis=0)),
        "balanced_accuracy": lambda counts: np.asarray(recalls(counts).mean(axis=1)),
        "f1": lambda counts: np.asarray(f1(counts).mean(axis=1)),
        "accuracy": lambda counts: np.asarray(np.einsum("rkk->r", table(counts)) / counts.sum(axis=1)),
    }
    return found | ({f"auc:{names[k]}": one for k, one in one_vs_rest.items()} if several else {})


def _of_columns(names: Sequence[str], target: Doubles, output: Doubles) -> dict[str, Metric]:
    kinds = {"r2": _r2, "pearson": _pearson, "spearman": _spearman, "mae": _mae}
    of_each = {
        f"{kind}:{name}": _once(_bound(function, target[:, k], output[:, k]))
        for kind, function in kinds.items()
        for k, name in enumerate(names)
    }

    def mean(kind: str) -> Metric:
        parts = [of_each[f"{kind}:{name}"] for name in names]
        return lambda counts: np.asarray(np.mean([part(counts) for part in parts], axis=0))

    return {kind: mean(kind) for kind in kinds} | (of_each if len(names) > 1 else {})


def _bound(function: Callable[[Doubles, Doubles, Doubles], Doubles], target: Doubles, output: Doubles) -> Metric:
    return lambda counts: function(counts, target, output)


def _once(metric: Metric) -> Metric:
    """The same, not computed again for the counts that it was last asked for: a part's values are of the mean too."""
    last: list[tuple[Doubles, Doubles]] = []

    def value(counts: Doubles) -> Doubles:
        if not last or last[0][0] is not counts:
            last[:] = [(counts, metric(counts))]
        return last[0][1]

    return value


def _r2(counts: Doubles, target: Doubles, output: Doubles) -> Doubles:
    mean = counts @ target / counts.sum(axis=1)
    spread = (counts * (target - mean[:, None]) ** 2).sum(axis=1)
    return np.asarray(1 - _ratio(counts @ (target - output) ** 2, spread))


def _mae(counts: Doubles, target: Doubles, output: Doubles) -> Doubles:
    return np.asarray(counts @ np.abs(target - output) / counts.sum(axis=1))


def _pearson(counts: Doubles, target: Doubles, output: Doubles) -> Doubles:
    total = counts.sum(axis=1)
    a = target - (counts @ target / total)[:, None]
    b = output - (counts @ output / total)[:, None]
    scale = np.sqrt((counts * a**2).sum(axis=1) * (counts * b**2).sum(axis=1))
    return _ratio((counts * a * b).sum(axis=1), scale)


def _spearman(counts: Doubles, target: Doubles, output: Doubles) -> Doubles:
    found = np.empty(len(counts))
    for k, line in enumerate(counts.astype(np.int64)):
        drawn = np.repeat(np.arange(len(line)), line)
        found[k] = _pearson(np.ones((1, len(drawn))), ranks(target[drawn]), ranks(output[drawn]))[0]
    return found


def ranks(values: Doubles) -> Doubles:
    """The place (n,) of each value among all, from 0; equal values share the mean of their places."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    return np.asarray((first + (counts - 1) / 2)[inverse])


def _ratio(part: Doubles, whole: Doubles) -> Doubles:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0))
