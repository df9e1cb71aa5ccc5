"""What `wsi-features status` says of a run that is not finished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click

from wsi_features.cli.tables import table
from wsi_features.cohort.running import CohortProgress, StageProgress

_SHOWN = 20


def tell_progress(progress: CohortProgress) -> None:
    """Print the stages as a table, the time left, and the failures so far with their reasons."""
    head = ["stage", "slides", "ok", "empty", "skipped", "failed", "slides/h", "left"]
    click.echo(table([head, *(_row(stage) for stage in progress.stages)], elastic=0, numbers=range(1, len(head))))
    click.echo(f"about {_time(progress.hours_left)} left" if progress.hours_left is not None else "time left unknown")
    for line in _failures(progress):
        click.echo(line)


def progress_json(progress: CohortProgress) -> str:
    """The same as one JSON object."""
    stages = {
        s.stage: {"slides": s.slides, "done": s.done, "counts": dict(s.counts)}
        | {"slides_per_hour": round(s.per_hour, 3), "hours_left": s.hours_left}
        for s in progress.stages
    }
    failures = {
        name: {"stage": result.stage, "reason": result.reason, "message": result.message}
        for name, result in progress.failures.items()
    }
    return json.dumps({"finished": False, "stages": stages, "hours_left": progress.hours_left, "failures": failures})


def _row(stage: StageProgress) -> Sequence[str]:
    counted = [str(stage.counts.get(name, 0)) for name in ("ok", "empty", "skipped", "failed")]
    rate = f"{stage.per_hour:.4g}" if stage.per_hour else "-"
    left = "-" if stage.hours_left is None else _time(stage.hours_left) if stage.hours_left else "done"
    return [stage.stage, f"{stage.done}/{stage.slides}", *counted, rate, left]


def _failures(progress: CohortProgress) -> Iterator[str]:
    if not progress.failures:
        return
    reasons = ", ".join(f"{n} {reason}" for reason, n in progress.reasons().items())
    yield f"failed so far: {reasons}"
    for name, result in list(progress.failures.items())[:_SHOWN]:
        yield f"  {name} failed in {result.stage} [{result.reason}]: {result.message}"
    if len(progress.failures) > _SHOWN:
        yield f"  ... and {len(progress.failures) - _SHOWN} more; --json has all"


def _time(hours: float) -> str:
    if hours < 1 / 60:
        return "1 min"
    return f"{hours * 60:.0f} min" if hours < 1.5 else f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
