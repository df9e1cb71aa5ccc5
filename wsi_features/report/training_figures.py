"""The figures of the training page: ROC curves, survival by predicted risk, predicted against true, learning curves."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.report.evaluation import higher_half, kaplan_meier, log_rank, mean_roc, misordered, roc_curve
from wsi_features.report.plots import Axis, Caption, Curve, Plot, Point, around, plotted
from wsi_features.report.training_model import FoldRow, Predicted, TrainingReport

Floats = npt.NDArray[np.float64]

_STYLES = 7
_WORST = 12
_AT_RISK = 6


@dataclass(frozen=True, slots=True)
class AtRisk:
    """How many bags of each group are still followed at some times."""

    times: tuple[str, ...]
    groups: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A bag that the models are furthest off at."""

    bag: str
    patient: str
    fold: int
    truth: str
    said: str
    off: str


def roc_plot(report: TrainingReport) -> Plot | None:
    """The curve of each class against all others; of the second one where there are two. Thin lines are single folds."""
    truth, found = report.predicted.truth[:, 0].astype(np.int64), report.predicted
    shown = [k for k in range(len(report.names)) if 0 < np.count_nonzero(truth == k) < len(truth)]
    shown = shown[1:] if len(report.names) == 2 else shown[:_STYLES]
    if not shown:
        return None
    curves = [Curve("chance", np.array([0.0, 1.0]), np.array([0.0, 1.0]), "chance")]
    if len(shown) == 1:
        curves += [Curve("fold", *curve) for curve in _fold_curves(found, truth == shown[0], shown[0])]
        curves += [Curve("fold", np.zeros(0), np.zeros(0), "each fold")] if len(curves) > 1 else []
    for place, k in enumerate(shown):
        name = f"{report.names[k]} against {'the rest' if len(report.names) > 2 else report.names[1 - k]}"
        curves.append(Curve(f"l{place}", *mean_roc(truth == k, found.outputs[:, k], found.fold), name))
    area = "the area below is the AUC" if len(shown) == 1 else "the areas below are the AUCs of the classes"
    together = f"The mean of the folds, each counted by its pairs: {area}. " if report.folds else ""
    caption = Caption(
        "ROC curve" + ("s" if len(shown) > 1 else ""),
        f"Receiver operating characteristic: {report.scores[0].said}.",
        f"{together}The nearer to the top left corner the better.",
    )
    axes = Axis("1 \N{MINUS SIGN} specificity (false positives)", 0, 1), Axis("sensitivity (true positives)", 0, 1)
    return plotted(caption, axes, curves)


def survival_plot(report: TrainingReport) -> tuple[Plot, AtRisk]:
    """Kaplan-Meier curves of the half of each fold with the higher and with the lower predicted risk."""
    found = report.predicted
    time, event = found.truth[:, 0], found.truth[:, 1] == 1
    high = higher_half(found.outputs[:, 0], found.fold)
    chi_squared, p = log_rank(time, event, high)
    horizon = float(time.max()) or 1.0
    curves, points = [], []
    for style, name, group in (("l1", "higher risk", high), ("l0", "lower risk", ~high)):
        if not group.any():
            continue
        curve = kaplan_meier(time[group], event[group])
        count = f"{name}: {np.count_nonzero(group)} {report.unit}s, {np.count_nonzero(event[group])} events"
        end = float(time[group].max())
        x, y = np.append(curve.times, end), np.append(curve.share, curve.share[-1])
        curves.append(Curve(style, x, y, count, steps=True))
        points += [Point(f"tick {style}", float(t), float(s)) for t, s in zip(curve.censored, curve.at(curve.censored), strict=True)]  # fmt: skip
    differ = "no test: too few events" if math.isnan(p) else f"log-rank p {p_text(p)} (chi-squared {chi_squared:.2f})"
    caption = Caption(
        f"Survival by predicted risk: {differ}",
        f"Kaplan-Meier curves of the higher and the lower half of predicted risk; {differ}.",
        "Each fold is parted at its own median of the predicted risk. Small upright lines: left without the event.",
    )
    axes = Axis(report.names[0], 0, horizon), Axis("share without the event", 0, 1)
    return plotted(caption, axes, curves, points, (620, 380)), _at_risk(time, high, horizon)


def scatter_plot(report: TrainingReport, column: int) -> Plot:
    """Predicted against true values of one column, with the line on which they are equal."""
    found, name = report.predicted, report.names[column]
    truth, said = found.truth[:, column], found.outputs[:, column]
    low, high = around(truth, said)
    line = Curve("chance", np.array([low, high]), np.array([low, high]), "predicted = true")
    points = [
        Point("dot", float(t), float(s), f"{bag}: true {t:g}, predicted {s:.4g}")
        for bag, t, s in zip(found.ids, truth, said, strict=True)
    ]
    caption = Caption(
        f"Predicted and true {name}",
        f"{len(points)} {report.unit}s: predicted {name} against true {name}; {report.scores[0].said}.",
        f"Each circle is a {report.unit}, predicted by a model that never saw its patient.",
    )
    return plotted(caption, (Axis(f"true {name}", low, high), Axis(f"predicted {name}", low, high)), [line], points)


def learning_plot(fold: FoldRow) -> Plot | None:
    """The losses of one fold an epoch, and the epoch that was kept."""
    if not fold.train_loss:
        return None
    if fold.strengths:
        return _strength_plot(fold)
    epochs = np.arange(1, len(fold.train_loss) + 1, dtype=np.float64)
    train, val = np.array(fold.train_loss), np.array(fold.val_loss)
    best = float(fold.best_epoch)
    caption = Caption(
        f"{fold.name}: epoch {fold.best_epoch} of {len(epochs)} kept",
        f"{fold.name}: loss in training and validation over {len(epochs)} epochs; epoch {fold.best_epoch} was kept.",
    )
    return _losses(caption, Axis("epoch", 1, max(2, len(epochs))), (epochs, train, val), best, "kept epoch")


def _strength_plot(fold: FoldRow) -> Plot:
    """The same over the strengths of L2 that a linear probe tried."""
    x = np.log10(np.array(fold.strengths))
    kept = fold.strengths[fold.best_epoch - 1]
    caption = Caption(
        f"{fold.name}: L2 of {kept:g} kept",
        f"{fold.name}: loss in training and validation for {len(x)} strengths of L2; {kept:g} was kept.",
    )
    axis = Axis("strength of L2, power of ten", *around(x, room=0))
    return _losses(caption, axis, (x, np.array(fold.train_loss), np.array(fold.val_loss)), math.log10(kept), "kept")


def _losses(caption: Caption, axis: Axis, lines: tuple[Floats, Floats, Floats], kept: float, said: str) -> Plot:
    """Losses in training and validation along `axis`, and which of them was kept."""
    x, train, val = lines
    low, high = around(train, val)
    low = max(0.0, low) if min(np.nanmin(train), np.nanmin(val)) >= 0 else low
    curves = [Curve("l0", x, train, "training"), Curve("l1", x, val, "validation")]
    curves.append(Curve("kept", np.array([kept, kept]), np.array([low, high]), said))
    points = [Point("best", kept, float(val[np.argmin(np.abs(x - kept))]))]
    return plotted(caption, (axis, Axis("loss", low, high)), curves, points, (300, 230))


def mistakes(report: TrainingReport) -> tuple[Mistake, ...]:
    """The bags that the models are furthest off at, the worst first; those that they get right are not among them."""
    found = report.predicted
    if report.task == "classification":
        truth = found.truth[:, 0].astype(np.int64)
        right = found.outputs[np.arange(len(truth)), truth]
        said = found.outputs.argmax(axis=1)
        off, shown = 1 - right, said != truth
        texts = [
            (report.names[t], f"{report.names[s]} ({found.outputs[k, s]:.2f})", f"{right[k]:.3f}")
            for k, (t, s) in enumerate(zip(truth, said, strict=True))
        ]
    elif report.task == "survival":
        time, event, risk = found.truth[:, 0], found.truth[:, 1] == 1, found.outputs[:, 0]
        off = misordered(time, event, risk, found.fold)
        shown = off > 0.5
        after = ["the event" if seen else "followed without it" for seen in event]
        texts = [
            (f"{t:g}, {what}", f"{r:.3g}", f"{o:.0%}") for t, what, r, o in zip(time, after, risk, off, strict=True)
        ]
    else:
        error = found.outputs - found.truth
        scale = np.where((spread := found.truth.std(axis=0)) > 0, spread, 1.0)
        off = np.abs(error / scale).max(axis=1)
        shown = off > 0
        texts = [
            (_numbers(t), _numbers(s), _numbers(e)) for t, s, e in zip(found.truth, found.outputs, error, strict=True)
        ]
    worst = [k for k in np.argsort(-np.nan_to_num(off), kind="stable")[:_WORST] if shown[k]]
    return tuple(Mistake(found.ids[k], found.patients[k], int(found.fold[k]), *texts[k]) for k in worst)


def p_text(p: float) -> str:
    """A p value as papers write it."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def _numbers(values: Floats) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _fold_curves(found: Predicted, positive: npt.NDArray[np.bool_], column: int) -> list[tuple[Floats, Floats]]:
    curves = []
    for fold in np.unique(found.fold):
        inside = found.fold == fold
        if 0 < np.count_nonzero(positive[inside]) < np.count_nonzero(inside):
            curves.append(roc_curve(positive[inside], found.outputs[inside, column]))
    return curves if len(curves) > 1 else []


def _at_risk(time: Floats, high: npt.NDArray[np.bool_], horizon: float) -> AtRisk:
    times = np.linspace(0, horizon, _AT_RISK)
    groups = (("higher risk", high), ("lower risk", ~high))
    counts = [(name, tuple(int((time[group] >= t).sum()) for t in times)) for name, group in groups]
    return AtRisk(tuple(f"{t:.3g}" for t in times), tuple(counts))
