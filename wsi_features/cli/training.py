"""What `train` and `predict` say: before the work what it is on, afterwards how good it is and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_features.stages.training_report import (
    count_lines,
    feature_line,
    left_out_lines,
    notes_of,
    scores_of,
    target_of,
)


def tell_plan(numbers: dict[str, Any]) -> None:
    """The bags, their labels, and what is left out."""
    if numbers["shuffled_labels"]:
        click.secho("CONTROL: labels are shuffled among patients; no number of this is a result", fg="red", bold=True)
    lines = [f"{value} {name}" if name in _COUNTED else f"{name}: {value}" for name, value in count_lines(numbers)]
    head = f"{target_of(numbers)} ({numbers['task']})" if numbers["columns"] else "no labels"
    click.echo(f"{head}: {'; '.join(lines)}")
    click.echo(f"features: {feature_line(numbers)}")
    for why, names in left_out_lines(numbers["left_out"]):
        click.echo(f"  left out: {why}: {names}")


_COUNTED = ("patients", "slides", "tiles")


def tell_result(numbers: dict[str, Any], folder: Path, commands: tuple[tuple[str, str], ...]) -> None:
    """Each metric with its interval and chance, the files, and the commands that may follow."""
    for k, score in enumerate(scores_of(numbers)):
        chance = "" if score.chance is None else f", by chance {score.chance:.2f}"
        click.echo(f"{score.said}{chance}" if k else click.style(f"{score.said}{chance}", bold=True))
    if folds := numbers.get("folds"):
        each = " ".join("-" if one["metric"] is None else f"{one['metric']:.2f}" for one in folds)
        click.echo(f"  by fold: {each}")
    if numbers["shuffled_labels"]:
        click.secho("CONTROL: labels were shuffled; this is what chance looks like", fg="red", bold=True)
    for note in notes_of(numbers):
        click.echo(f"note: {note}")
    for name in numbers["files"]:
        click.echo(f"{name.partition('.')[0]:<11} {folder / name}")
    click.echo(f"{'metrics':<11} {folder / 'metrics.json'}")
    for what, command in commands:
        click.echo(f"{what}:\n  {command}")
