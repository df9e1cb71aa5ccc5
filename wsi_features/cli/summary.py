"""What a command says at its end: counts, failures with their remedy, and where the results are."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import click

from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import Record
from wsi_features.cohort.status import StatusRow, counts

_COLOURS = {"ok": "green", "empty": "cyan", "skipped": "yellow", "failed": "red"}
_SHOWN = 20

_log = logging.getLogger("wsi_features")


def tell_outcome(rows: Sequence[StatusRow], out: Outputs, *, report: bool) -> None:
    """Print the outcome of a run."""
    parts = [click.style(f"{n} {name}", fg=_COLOURS[name]) for name, n in counts(r.status for r in rows).items() if n]
    click.echo(f"{len(rows)} slides: {', '.join(parts)}")
    failures = [row for row in rows if row.status == "failed"]
    for row in failures[:_SHOWN]:
        click.echo(f"  {row.slide_id} failed in {row.stage} [{row.reason}]: {row.message}")
    if len(failures) > _SHOWN:
        click.echo(f"  ... and {len(failures) - _SHOWN} more, all in the status table")
    for folder in sorted({store.rsplit("/", 1)[0] for row in rows for store in row.stores.split(";") if store}):
        click.echo(f"stores  {out.root / folder}")
    click.echo(f"status  {out.status}")
    if report:
        click.echo(f"report  {out.report}")


def log_summary(record: Record, seconds: float) -> None:
    """Log how the slides of a shard ended and, each on a line of its own, why some did not end well."""
    found = counts(result.status for result in record.values())
    reasons = Counter(result.reason for result in record.values() if result.status == "failed")
    text = ", ".join(f"{n} {name}" for name, n in found.items() if n)
    about = {"event": "summary", "seconds": round(seconds, 3), "facts": {"slides": found, "failures": dict(reasons)}}
    _log.info("summary: %d slides in %.1f s: %s", len(record), seconds, text, extra=about)
    for slide_id, result in record.items():
        if result.status == "failed":
            why = {"event": "failure", "slide_id": slide_id, "status": "failed", "reason": result.reason}
            _log.info("  %s failed in %s [%s]: %s", slide_id, result.stage, result.reason, result.message, extra=why)
