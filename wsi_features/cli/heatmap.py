"""The command that puts scores back onto the slides: `heatmap`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_features.stages.boundary import OK, SOME_FAILED

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(short_help="Put scores of tiles back onto the slides.")
@click.argument("out", type=_FOLDER, metavar="OUT")
@click.option(
    "--scores",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Parquet, CSV or TSV with columns slide_id, row and the scores; `train` and `predict` write one.",
)
@click.option("--marks", metavar="NAME", help="Instead: marks beside the stores, or how their name begins.")
@click.option(
    "--column", metavar="NAME", help="Which score. Without --scores and --marks a measured column of the stores."
)
@click.option(
    "--to", type=click.Choice(["png", "geojson", "ome-tiff"]), multiple=True, required=True, help="May be repeated."
)
@click.option("--out", "folder", type=_FOLDER, required=True, metavar="DIR", help="Where the files go.")
@click.option("--slide", "slides", multiple=True, metavar="ID", help="Only this slide; may be repeated.")
@click.option("--feature-set", metavar="NAME", help="Feature set, or how its name begins, where there are several.")
@click.option(
    "--scale",
    "scaling",
    type=click.Choice(["rank", "min-max", "raw"]),
    default="rank",
    show_default=True,
    help="Percentile rank; from least to greatest; or as they are.",
)
@click.option(
    "--over",
    type=click.Choice(["slide", "cohort"]),
    default="slide",
    show_default=True,
    help="What a score is compared with.",
)
@click.option("--range", "ends", type=(float, float), metavar="LOW HIGH", help="Scaled values of the end colours.")
@click.option("--colours", metavar="NAME", help="Colour map; turbo, or coolwarm for raw scores of both signs.")
@click.option("--opacity", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of a PNG's colours.")
@click.option("--downsample", type=click.IntRange(min=1), metavar="N", help="Level-0 pixels per OME-TIFF pixel.")
@click.option("--mpp", type=click.FloatRange(0, min_open=True), metavar="F", help="Or its microns per pixel.")
@click.option("--values", is_flag=True, help="Also an OME-TIFF of the raw scores, float32.")
@click.option("--threshold", "thresholds", type=float, multiple=True, metavar="F", help="Border of GeoJSON classes.")
@click.option("--quantile", "quantiles", type=float, multiple=True, metavar="F", help="Or as 0.9 for the top 10 %.")
@click.option(
    "--as",
    "kind",
    type=click.Choice(["detection", "annotation", "tile"]),
    default="detection",
    show_default=True,
    help="What QuPath takes tiles for.",
)
@click.option("--with-columns", is_flag=True, help="Measured columns as GeoJSON measurements too.")
def heatmap(out: Path, **asked: Any) -> int:
    """Put scores of tiles of OUT back onto its slides: attention, probabilities, zero-shot scores, measured columns.

    Each slide becomes DIR/ID.png, DIR/ID.geojson or DIR/ID.ome.tiff. A pixel of the OME-TIFF covers a whole number of
    level-0 pixels and counts from the slide's corner; where tiles overlap it is their mean by area.
    """
    from wsi_features.stages.heatmaps import HeatMapRequest, heat_maps

    failed = False
    for slide in heat_maps(out, HeatMapRequest(**asked)):
        click.echo(slide.said, err=slide.failed)
        failed |= slide.failed
    return SOME_FAILED if failed else OK
