"""What a command says at its end: counts, failures with their remedy, and where the results are."""

from __future__ import annotations

from collections.abc import Sequence

import click

from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.status import StatusRow, counts

_COLOURS = {"ok": "green", "empty": "cyan", "skipped": "yellow", "failed": "red"}
_SHOWN = 20


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
