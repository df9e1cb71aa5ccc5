"""Commands on the tiles of a finished run: `annotate`, `curate`, `geojson`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_features.cohort.outputs import Outputs

_OUT = click.argument("out", type=click.Path(file_okay=False, path_type=Path), metavar="OUT")
_SET = click.option(
    "--feature-set", metavar="NAME", help="Feature set, or how its name begins, where there are several."
)


@click.command(short_help="Measure annotated classes on stored tiles.")
@_OUT
def annotate(out: Path) -> None:
    """Share of every class of the manifest's `annotations` in each tile of OUT, as marks beside the stores.

    Run it again after editing a file: nothing is embedded anew.
    """
    from wsi_features.stages.annotation_marks import annotated

    for line in annotated(Outputs(out)):
        click.echo(line)


@click.command(short_help="Choose tiles that stand for their slides.")
@_OUT
@click.option(
    "--method",
    type=click.Choice(["kmeans", "farthest", "cellularity", "cap"]),
    required=True,
    help="kmeans: a mosaic of all colours all over the tissue; farthest: colours as different as possible; cellularity: "
    "a mosaic of the tiles richest in nuclei; cap: evenly over the tissue.",
)
@click.option("--tiles", type=click.IntRange(min=1), metavar="N", help="Tiles of each slide.")
@click.option(
    "--percent", type=click.FloatRange(0, 100, min_open=True), metavar="P", help="Instead: of a slide's valid tiles."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of what is drawn.")
@click.option("--name", metavar="NAME", help="Of the marks; the method's unless given.")
@_SET
def curate(out: Path, **asked: Any) -> None:
    """Choose a few tiles of each slide of OUT: marks with a column `keep` (1 or 0) beside the stores.

    Nothing is embedded anew. To embed fewer tiles in the first place, set `tiles.max_tiles` in the config.
    """
    from wsi_features.stages.curate import CurateRequest, curated

    for line in curated(Outputs(out), CurateRequest(**asked)):
        click.echo(line)


@click.command(short_help="Write tissue or tiles as GeoJSON for QuPath.")
@_OUT
@click.option("--what", type=click.Choice(["tiles", "tissue", "annotations"]), default="tiles", show_default=True)
@click.option("--slide", "slides", multiple=True, metavar="ID", help="Only this slide; may be repeated.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["detection", "annotation", "tile"]),
    default="detection",
    show_default=True,
    help="What QuPath takes tiles for.",
)
@_SET
@click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Folder; OUT/geojson unless given."
)
def geojson(out: Path, **asked: Any) -> None:
    """One GeoJSON a slide in level-0 pixels: tiles with every column and mark as measurements, or outlines."""
    from wsi_features.stages.geojson import GeoJsonRequest, exported

    for path in exported(Outputs(out), GeoJsonRequest(**asked)):
        click.echo(path)
