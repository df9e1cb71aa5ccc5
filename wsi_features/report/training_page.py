"""The training report as one HTML file: how good the predictions are, of whom, from which features, and where they fail."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wsi_features.report.evaluation import confusion
from wsi_features.report.html import page_template
from wsi_features.report.plots import around
from wsi_features.report.training_figures import learning_plot, mistakes, roc_plot, scatter_plot, survival_plot
from wsi_features.report.training_model import Score, TrainingReport

_SHADES = 5
_FEW = 30
"""Below so many patients an interval is wide whatever the models do."""


@dataclass(frozen=True, slots=True)
class ScoreRow:
    """One line of the table of folds: bags that train, validate and test, and its place on a scale of 0 to 100; NaN where it has none."""

    name: str
    cells: tuple[str, ...]
    value: float
    at: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True)
class MetricTable:
    """The first metric of all test predictions and of each fold, with what a guess reaches, on one scale."""

    metric: str
    rows: tuple[ScoreRow, ...]
    chance: float
    ends: tuple[str, str]


def verdict(report: TrainingReport) -> str:
    """One sentence on what the numbers say, and no more than they say."""
    first = report.scores[0]
    if not math.isfinite(first.value):
        return f"{first.name} cannot be computed: the test predictions hold too few cases of each kind."
    if first.chance is None or not math.isfinite(first.low):
        return f"{first.said}."
    by_chance = f"{first.chance:.2f} by chance"
    if report.shuffled:
        return _of_control(first, by_chance)
    if first.low > first.chance:
        return f"The features tell {report.target}: {first.said}, against {by_chance}, in patients that training never saw."
    if first.high < first.chance:
        return f"Worse than a guess: {first.said}, against {by_chance}. Look for mixed-up labels, or for folds that are too small."
    return _undecided(report, by_chance)


def _of_control(first: Score, by_chance: str) -> str:
    if first.chance is not None and first.low > first.chance:
        return (
            f"A control with shuffled labels, yet {first.said} lies above {by_chance}: one permutation can do that in a "
            "small cohort. Try other seeds before trusting the real result."
        )
    said = f"A control with shuffled labels: {first.said}, against {by_chance}."
    return f"{said} The real result has to be clearly better than this."


def _undecided(report: TrainingReport, by_chance: str) -> str:
    first = report.scores[0]
    for other in report.scores[1:]:
        if other.chance is not None and other.low > other.chance:
            return f"Undecided: {first.said} includes the {by_chance}, {other.said} lies above {other.chance:.2f}. More patients would tell."
    return f"No evidence that the features tell {report.target}: {first.said} includes the {by_chance}."


def render_training_report(report: TrainingReport) -> str:
    """The whole page. Equal reports give equal text."""
    roc = roc_plot(report) if report.task == "classification" else None
    survival, at_risk = survival_plot(report) if report.task == "survival" else (None, None)
    scatters = [scatter_plot(report, k) for k in range(len(report.names))] if report.task == "regression" else []
    return page_template("training").render(
        report=report,
        verdict=verdict(report),
        few=len(set(report.predicted.patients)) < _FEW,
        table=score_table(report),
        figures=[plot for plot in (roc, survival, *scatters) if plot],
        at_risk=at_risk,
        matrix=_matrix(report) if report.task == "classification" else (),
        learning=[plot for plot in map(learning_plot, report.folds) if plot],
        mistakes=mistakes(report),
    )


def score_table(report: TrainingReport) -> MetricTable:
    """All test predictions together with their interval, then each fold."""
    first = report.scores[0]
    low, high = _ends(first, [fold.value for fold in report.folds])

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - low) / (high - low))), 2) if math.isfinite(value) else math.nan

    tested = ("", "", f"{len(report.predicted.ids):,}")
    ends = (place(first.value), place(first.low), place(first.high))
    rows = [ScoreRow("all folds" if report.folds else "all", tested, first.value, *ends)]
    for fold in report.folds:
        parts = (f"{fold.train:,}", f"{fold.val:,}", f"{fold.test:,}")
        rows.append(ScoreRow(fold.name, parts, fold.value, place(fold.value)))
    chance = math.nan if first.chance is None else place(first.chance)
    return MetricTable(first.name, tuple(rows), chance, (f"{low:.3g}", f"{high:.3g}"))


def _ends(first: Score, folds: Sequence[float]) -> tuple[float, float]:
    """The scale: 0 to 1 for what lies there, else what is to be shown."""
    known = [v for v in (first.value, first.low, first.high, *folds) if math.isfinite(v)]
    if not known or (min(known) >= 0 and max(known) <= 1):
        return 0.0, 1.0
    return around(np.array([*known, *([] if first.chance is None else [first.chance])]))


def _matrix(report: TrainingReport) -> list[tuple[str, list[tuple[int, float, int]]]]:
    """Each true class with its cells: count, share of the row, and shade."""
    found = report.predicted
    table = confusion(found.truth[:, 0].astype(np.int64), found.outputs.argmax(axis=1), len(report.names))
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return [
        (name, [(int(n), float(s), round(float(s) * _SHADES)) for n, s in zip(counts, row, strict=True)])
        for name, counts, row in zip(report.names, table, shares, strict=True)
    ]
