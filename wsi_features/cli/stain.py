"""`wsi-features stain`: the stage on its own, and with a name behind it the stain report and measured targets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import click

from wsi_features.cli.logs import logging_to
from wsi_features.cli.options import config_of, recipe_options
from wsi_features.cli.process import stain_stage
from wsi_features.cohort.manifest import ManifestRow, manifest_of_output
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.sheets import manifest_from
from wsi_features.errors import ManifestError

_BY_MANIFEST = ("patient_id", "stain")


class _StageUnlessNamed(click.Group):
    """Runs the stage on whatever it is given, unless the first word is one of its commands.

    A slide or folder that is called as one of them is given with a path: `./report`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["fit", *args]
        return super().parse_args(ctx, args)


@click.group(
    "stain",
    cls=_StageUnlessNamed,
    short_help="Fit stain normalization, one transform a slide; report; measured targets.",
)
def stain() -> None:
    """Stain normalization. `wsi-features stain SLIDE...` is short for `wsi-features stain fit SLIDE...`.

    Stain parameters of every SLIDE, folder or MANIFEST whose tissue is in DIR: DIR/stain/METHOD/ID.json.
    `stain fit --help` has the options.
    """


stain.add_command(stain_stage, "fit")


@stain.command("report", short_help="Does normalization help on these slides? Features with and without it.")
@recipe_options
@click.option("--slides", "most_slides", type=click.IntRange(2), default=24, show_default=True, help="Slides compared.")
@click.option(
    "--tiles", "tiles_each", type=click.IntRange(2, 512), default=32, show_default=True, help="Tiles a slide."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the tiles drawn.")
@click.option(
    "--by", multiple=True, metavar="COLUMN", help="Also group by patient_id, stain, tcga-site, or a column of --labels."
)
@click.option("--labels", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CSV with slide_id and columns to group by.")  # fmt: skip
def report(
    most_slides: int, tiles_each: int, seed: int, by: tuple[str, ...], labels: Path | None, **values: Any
) -> None:
    """Embed a sample of tiles with and without normalization and say how strongly tiles tell their slide or site.

    Give slides, a MANIFEST, or the OUT folder of a run. Writes stain-report.html and stain-report.json there.
    Without --stain, and none in the config, Macenko is compared; without --encoder, histo-texture.
    """
    from wsi_features.stages.stain_report import StainReportRequest, stain_report

    rows = _rows(values)
    if values["stain"] is None and config_of(values).stain.method == "none":
        values["stain"] = "macenko"
    config = config_of(values)
    groups = {name: _groups(name, rows, labels) for name in by}
    with logging_to(values["log_file"] or Outputs(Path(config.out)).log("stain-report")):
        asked = StainReportRequest(slides=most_slides, tiles=tiles_each, seed=seed, groups=groups)
        click.echo(stain_report(rows, config, asked))


@stain.command("target", short_help="Measure a target: of an image, a slide, or the median of a run's slides.")
@click.argument("source", type=click.Path(exists=True, path_type=Path), metavar="IMAGE|SLIDE|OUT")
@click.option("--median", is_flag=True, help="SOURCE is the OUT folder of a run with stain normalization.")
def target(source: Path, median: bool) -> None:
    """Print a target file for `stain.target`: wsi-features stain target IMAGE > lab.yaml

    Of an image (PNG, JPEG, TIFF) or a slide it holds what all methods need. With --median it is the median of the
    good fits in OUT/stain: run once with the shipped target, then again with the median as `stain.target`.
    """
    import yaml

    from wsi_features.stages.stain_target import measured

    document = measured(source, median=median).model_dump(mode="json", exclude_none=True)
    click.echo(yaml.safe_dump(document, sort_keys=False), nl=False)


def _rows(values: dict[str, Any]) -> tuple[ManifestRow, ...]:
    """The slides to compare; a single OUT folder stands for the slides of its run, and gets the report."""
    sources = values["sources"]
    if len(sources) == 1 and (Path(sources[0]) / "manifest.json").is_file():
        values["out"] = values["out"] or sources[0]
        return manifest_of_output(Path(sources[0]))[0].rows
    if not sources:
        raise click.UsageError("Give at least one slide, folder or manifest, or the OUT folder of a run.")
    return manifest_from(sources).rows


def _groups(name: str, rows: tuple[ManifestRow, ...], labels: Path | None) -> dict[str, str]:
    """The group of each slide, by slide_id. Raises ManifestError."""
    if labels is not None:
        with labels.open(encoding="utf-8-sig", newline="") as file:
            table = list(csv.DictReader(file))
        if table and {"slide_id", name} <= set(table[0]):
            return {line["slide_id"]: line[name] for line in table}
    if name in _BY_MANIFEST:
        return {row.slide_id: str(getattr(row, name)) for row in rows}
    if name == "tcga-site":  # TCGA-<site>-<patient>-...: the tissue source site
        return {row.slide_id: parts[1] for row in rows if (parts := row.slide_id.split("-"))[0] == "TCGA" and parts[1:]}
    where = f"`--by {name}`" + (f" and {str(labels)!r}" if labels else "")
    raise ManifestError.of([f"{where}: no such column. Give patient_id, stain, tcga-site, or a column beside slide_id in --labels."])  # fmt: skip
