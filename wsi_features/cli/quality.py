"""The command `quality`: what the quality columns of an output hold, and other thresholds for it."""

from __future__ import annotations

import re
from pathlib import Path

import click

from wsi_features.cli.tables import table
from wsi_features.cohort.outputs import Outputs

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")


@click.command(short_help="Quality columns of a run, and other thresholds without embedding anew.")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path), metavar="OUT")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="COLUMN<=N",
    help="What a tile must be to be kept, like 'pen_share<=0.1' or 'sharpness>=0.05'; may be repeated.",
)
@click.option("--suggested", is_flag=True, help="Begin with the suggested thresholds.")
@click.option(
    "--name",
    default="keep",
    show_default=True,
    metavar="NAME",
    help="Of the marks; `clean` takes `keep` for a run's own.",
)
def quality(out: Path, thresholds: tuple[str, ...], suggested: bool, name: str) -> None:
    """Without thresholds: a table of what was measured. With them: keep marks of every store of OUT beside it.

    They lie in OUT/marks/NAME__HASH; `wsi_features.cohort.keep.kept_rows` reads them. No pixel is read.
    """
    from wsi_features.stages.quality import filtered, thresholds_of

    if _NAME.fullmatch(name) is None:
        raise click.BadParameter(f"{name!r} is not made of letters, digits, '.' and '-'", param_hint="--name")
    if not thresholds and not suggested:
        _tell_columns(Outputs(out))
        return
    for feature_set, found in filtered(Outputs(out), thresholds_of(thresholds, suggested=suggested), name):
        click.echo(f"{feature_set}: {found['kept']} of {found['tiles']} tiles of {found['slides']} slides kept")
        for reason, count in found["reasons"].items():
            click.echo(f"  {reason:<28} {count:>9}")
        click.echo(f"  marks  {out / 'marks' / found['folder']}")


def _tell_columns(out: Outputs) -> None:
    from wsi_features.stages.quality import QUANTILES, column_ranges, stores_by_set

    for feature_set, stores in stores_by_set(out).items():
        rows = [("COLUMN", *(f"{q:.0%}" for q in QUANTILES), "MISSING")]
        for column in column_ranges(stores):
            values = [f"{value:.4g}" for value in column.values] or ["-"] * len(QUANTILES)
            rows.append((column.name, *values, str(column.missing)))
        click.echo(f"{feature_set}: {sum(len(store) for store in stores)} tiles of {len(stores)} slides")
        click.echo(table(rows, elastic=0, numbers=range(1, len(QUANTILES) + 2)))
