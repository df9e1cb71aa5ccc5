"""The training page: what it says of results, what it shows of each task, and that everybody can read it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.report.training_figures import learning_plot, mistakes, scatter_plot, survival_plot
from wsi_features.report.training_model import FoldRow, Predicted, Score, TrainingReport
from wsi_features.report.training_page import render_training_report, score_table, verdict

from .test_html import HOSTILE, Page
from .test_page_in_chromium import chromium, measured

__all__ = ["chromium"]  # a fixture
SCROLLED = "document.documentElement.scrollWidth"

FOLDS = np.array([0, 0, 0, 1, 1, 1])


def report(task: Any, names: tuple[str, ...], truth: Any, outputs: Any, scores: tuple[Score, ...]) -> TrainingReport:
    folds = tuple(
        FoldRow(f"fold {k}", 4, 2, 3, 2, (0.7, 0.4, 0.2), (0.8, 0.5, 0.6), value) for k, value in enumerate((0.75, 1.0))
    )
    ids = tuple(f"s{k}" for k in range(6))
    predicted = Predicted(ids, tuple(f"p{k // 2}" for k in range(6)), FOLDS, np.array(truth, float), np.array(outputs))
    return TrainingReport(
        *(task, "grade", names, "slide", False, scores, (("patients", "3"), ("slides", "6"), ("tiles", "1,234"))),
        features=(("encoder", "tiny, 7 numbers a tile"), ("licence of the weights", "CC-BY-NC-4.0")),
        left_out=(("2 \N{MULTIPLICATION SIGN} no label", "s8, s9"),),
        folds=folds,
        predicted=predicted,
        recipe=(("model", "abmil"),),
        versions=(("torch", "2"),),
        files=(("predictions.csv", "what the models say"),),
        commands=(("attention on the slides", "wsi-features heatmap out --scores a.parquet"),),
    )


@pytest.fixture
def grades() -> TrainingReport:
    right = np.array([0.1, 0.4, 0.6, 0.9, 0.2, 0.7])
    return report(
        "classification",
        ("low", "high"),
        [[0], [1], [1], [1], [0], [0]],
        np.stack([1 - right, right], axis=1),
        (Score("AUC", 0.83, 0.6, 0.95, 0.5), Score("accuracy", 0.67, 0.4, 0.9, 0.5)),
    )


@pytest.fixture
def survival() -> TrainingReport:
    truth = [[1, 1], [5, 0], [9, 1], [2, 1], [6, 1], [8, 0]]
    return report(
        "survival",
        ("months", "dead"),
        truth,
        [[3], [2], [1], [-1], [0.5], [0]],
        (Score("C-index", 0.7, 0.5, 0.9, 0.5),),
    )


@pytest.fixture
def ages() -> TrainingReport:
    truth, said = [[50], [60], [70], [40], [55], [65]], [[52.0], [45.0], [71.0], [41.0], [55.0], [60.0]]
    return report("regression", ("age",), truth, said, (Score("R\N{SUPERSCRIPT TWO}", 0.4, -0.2, 0.8, 0.0),))


@pytest.fixture(params=["grades", "survival", "ages"])
def any_task(request: pytest.FixtureRequest) -> TrainingReport:
    found: TrainingReport = request.getfixturevalue(request.param)
    return found


def test_the_page_says_how_good_of_whom_from_what_and_what_is_missing(any_task: TrainingReport) -> None:
    words = " ".join(Page(render_training_report(any_task)).words.split())
    for text in ("95 % interval", "patients", "1,234", "tiny, 7 numbers a tile", "CC-BY-NC-4.0", "no label", "s8, s9"):
        assert text in words
    assert words.index(any_task.scores[0].name) < words.index("fold 0") < words.index("Learning curves")
    assert "wsi-features heatmap out --scores a.parquet" in words


def test_every_figure_is_described_in_words_and_the_page_loads_and_runs_nothing(any_task: TrainingReport) -> None:
    page = Page(render_training_report(any_task))
    figures = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(figures) == 3
    assert all(len(svg["aria-label"] or "") > 40 for svg in figures)
    assert all(svg.get("aria-hidden") == "true" for svg in page.all("svg") if svg.get("role") != "img")
    assert not page.all("script") + page.all("img") + page.all("link")
    assert not page.values("style") + page.values("src")


def test_the_rules_of_the_style_sheet_are_not_escaped(grades: TrainingReport) -> None:
    css = render_training_report(grades).partition("<style>")[2].partition("</style>")[0]
    assert "tr.whole > *" in css
    assert "&" not in css


def test_lines_differ_by_their_dashes_not_only_by_colour(grades: TrainingReport) -> None:
    css = render_training_report(grades)
    dashes = [re.search(rf"\.line\.l{k} {{[^}}]*?(stroke-dasharray: [^;]*)?;? }}", css) for k in range(7)]
    assert len({found and found.group(1) for found in dashes}) == 7


def test_names_of_slides_and_classes_cannot_change_the_page(grades: TrainingReport) -> None:
    hostile = replace(
        grades, target=HOSTILE, names=(HOSTILE, "high"), predicted=replace(grades.predicted, ids=(HOSTILE,) * 6)
    )
    page = Page(render_training_report(hostile))
    assert not page.all("script") + page.all("img")
    assert page.words.count(HOSTILE) > 3


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.6, 0.9, "The features tell grade: AUC 0.70 (95 % interval 0.60 to 0.90), against 0.50 by chance"),
        (0.4, 0.9, "No evidence that the features tell grade: AUC 0.70 (95 % interval 0.40 to 0.90) includes the 0.50"),
        (0.2, 0.45, "Worse than a guess"),
        (float("nan"), float("nan"), "AUC 0.70"),
    ],
)
def test_the_verdict_says_no_more_than_the_interval(grades: TrainingReport, low: float, high: float, said: str) -> None:
    assert verdict(replace(grades, scores=(Score("AUC", 0.7, low, high, 0.5),))).startswith(said)


def test_metrics_that_disagree_leave_it_undecided(grades: TrainingReport) -> None:
    scores = (Score("AUC", 0.7, 0.4, 0.9, 0.5), Score("balanced accuracy", 0.8, 0.7, 0.9, 0.5))
    assert verdict(replace(grades, scores=scores)).startswith("Undecided: AUC 0.70")
    assert "cannot be computed" in verdict(replace(grades, scores=(Score("AUC", float("nan"), 0, 1, 0.5),)))


def test_a_control_says_so_in_title_heading_and_verdict(grades: TrainingReport) -> None:
    control = replace(grades, shuffled=True)
    html = render_training_report(control)
    assert "<title>CONTROL, labels shuffled" in html
    assert "grade (labels shuffled)" in html
    assert "Nothing on this page is a result" in html
    assert verdict(control).startswith("A control with shuffled labels, yet AUC 0.83")
    assert "control" not in render_training_report(grades).partition("<body>")[2].lower()


def test_the_table_has_all_and_each_fold_on_one_scale(grades: TrainingReport, ages: TrainingReport) -> None:
    table = score_table(grades)
    assert [(row.name, row.at) for row in table.rows] == [("all folds", 83), ("fold 0", 75), ("fold 1", 100)]
    assert (table.rows[0].low, table.rows[0].high, table.chance, table.ends) == (60, 95, 50, ("0", "1"))
    wide = score_table(ages)
    assert wide.rows[0].low < wide.chance < wide.rows[0].at < wide.rows[2].at
    assert float(wide.ends[0]) < -0.2


def test_the_worst_come_first_and_the_right_are_not_shown(
    grades: TrainingReport, survival: TrainingReport, ages: TrainingReport
) -> None:
    assert [(m.bag, m.fold, m.truth, m.said, m.off) for m in mistakes(grades)] == [
        ("s5", 1, "low", "high (0.70)", "0.300"),
        ("s1", 0, "high", "low (0.60)", "0.400"),
    ]
    assert [m.bag for m in mistakes(survival)] == ["s3"]
    assert mistakes(survival)[0].truth == "2, the event"
    assert [(m.bag, m.off) for m in mistakes(ages)[:2]] == [("s1", "-15"), ("s5", "-5")]


def test_survival_is_drawn_of_both_halves_with_those_at_risk(survival: TrainingReport) -> None:
    plot, at_risk = survival_plot(survival)
    assert [name for _, name in plot.legend] == ["higher risk: 2 slides, 2 events", "lower risk: 4 slides, 2 events"]
    assert plot.title.startswith("Survival by predicted risk: log-rank p = 0.")
    assert at_risk.groups == (("higher risk", (2, 1, 1, 1, 0, 0)), ("lower risk", (4, 4, 3, 2, 2, 1)))


def test_true_values_lie_along_x_and_predicted_ones_along_y(ages: TrainingReport) -> None:
    plot = scatter_plot(ages, 0)
    assert (plot.x_label, plot.y_label) == ("true age", "predicted age")
    left, top, right, bottom = plot.area
    dot = plot.dots[1]
    across, up = (dot.x - left) / (right - left), (bottom - dot.y) / (bottom - top)
    assert across > up + 0.3
    assert dot.said == "s1: true 60, predicted 45"


def test_learning_curves_circle_the_kept_epoch_or_strength(grades: TrainingReport) -> None:
    plot = learning_plot(grades.folds[1])
    assert plot is not None
    assert plot.title == "fold 1: epoch 2 of 3 kept"
    (circle,) = plot.dots
    assert circle.style == "best"
    assert f"{circle.x:g},{circle.y:g}" == plot.lines[1].path.split()[1]
    probe = learning_plot(replace(grades.folds[1], strengths=(10.0, 0.1, 0.001)))
    assert probe is not None
    assert probe.title == "fold 1: L2 of 0.1 kept"


@pytest.mark.ci
@pytest.mark.parametrize("width", [1280, 600])
def test_nothing_sticks_out_to_the_right(chromium: str, grades: TrainingReport, tmp_path: Path, width: int) -> None:
    long = replace(
        grades,
        target="x" * 200,
        names=("low" * 40, "y" * 90),
        predicted=replace(grades.predicted, ids=("slide-" * 20,) * 6),
    )
    found = measured(chromium, render_training_report(long), tmp_path, SCROLLED, f"--window-size={width},900")
    assert found == str(width)


def test_a_prediction_has_neither_folds_nor_learning_curves(grades: TrainingReport) -> None:
    page = render_training_report(replace(grades, folds=()))
    assert "Learning curves" not in page
    assert "prediction report" in page
    assert "mean of all folds" in page
