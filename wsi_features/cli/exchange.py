"""Commands that hand features to other programs, and take theirs: `export`, `tile-table`, `import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_features.cohort.exports.formats import FORMATS
from wsi_features.cohort.imports.sources import TOOLS
from wsi_features.stages.boundary import OK, SOME_FAILED

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(short_help="Write features in the layout of another program.")
@click.argument("out", type=_FOLDER, metavar="OUT")
@click.option("--to", type=click.Choice(list(FORMATS)), required=True, help="The program, or the kind of file.")
@click.option("--out", "folder", type=_FOLDER, required=True, metavar="DIR", help="Where the export goes.")
@click.option(
    "--labels",
    type=_FILE,
    metavar="CSV",
    help="Columns slide_id, label and, where known, split (train, val, test) and case_id.",
)
@click.option("--slide", "slides", multiple=True, metavar="ID", help="Only this slide; may be repeated.")
@click.option("--feature-set", metavar="NAME", help="Feature set, or how its name begins, where there are several.")
@click.option("--kept", is_flag=True, help="Only tiles that the keep marks of the run keep.")
@click.option("--pool", type=click.Choice(["mean"]), help="One vector a slide instead of one a tile.")
@click.option("--name", metavar="NAME", help="What the other program calls the encoder; its own name unless given.")
def export(out: Path, **asked: Any) -> int:
    """Write the features of OUT so that another program reads them; the README says which.

    Tiles that could not be read are left out with their positions. What is there already, made of the same store, is
    kept; `DIR/export.jsonl` holds the fingerprint of each store and the licence of the encoder.
    """
    from wsi_features.stages.exports import ExportRequest, exported

    failed = False
    for slide in exported(out, ExportRequest(**asked)):
        click.echo(slide.said, err=slide.failed)
        failed |= slide.failed
    return SOME_FAILED if failed else OK


@click.command("tile-table", short_help="Write one table of all tiles of a run.")
@click.argument("out", type=_FOLDER, metavar="OUT")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.parquet")
@click.option("--feature-set", metavar="NAME", help="Feature set, or how its name begins, where there are several.")
@click.option(
    "--keep", metavar="NAME", help="Keep marks that say which tiles are kept; those of the last run unless given."
)
@click.option(
    "--marks", multiple=True, metavar="NAME", help="Marks whose columns are joined, as of `prompt` or `annotate`."
)
@click.option(
    "--listed", is_flag=True, help="What lists of coordinates said of tiles and no store holds, as names of spots."
)
def tile_table(out: Path, file: Path, feature_set: str | None, **asked: Any) -> None:
    """Write one Parquet table of all tiles of OUT, which pandas, R, polars and DuckDB read.

    A row is a tile: slide, patient, stain and block as the manifest has them, the row of its store, position in level-0
    pixels, place in the grid, whether it is valid and kept, and every measured column. Features are not in it.
    """
    from wsi_features.stages.exports import tile_table_written

    click.echo(tile_table_written(out, file, feature_set, **asked))


@click.command("import", short_help="Take features that another program computed.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="FILES...")
@click.option("--from", "tool", type=click.Choice(TOOLS), required=True, help="The program that wrote them.")
@click.option("--out", type=_FOLDER, required=True, metavar="OUT", help="A folder of its own.")
@click.option("--slide-manifest", type=_FILE, metavar="CSV", help="Manifest of the slides: their resolution and size.")
@click.option("--mpp", type=click.FloatRange(0.05, 20), help="Microns per level-0 pixel of slides not in it.")
@click.option("--tile-mpp", type=click.FloatRange(0.05, 80), help="Microns per pixel asked of tiatoolbox.")
@click.option("--span", type=click.IntRange(min=1), metavar="N", help="Width of a tile in level-0 pixels, if not said.")
@click.option("--encoder", default="", metavar="NAME", help="Encoder of the features, if the files do not say.")
@click.option("--licence", default="", metavar="TEXT", help="Of the encoder's weights.")
@click.option("--patches", type=_FOLDER, metavar="DIR", help="Patch files of CLAM, if not in a `patches` beside.")
def import_(out: Path, **asked: Any) -> int:
    """Make stores of features and positions in files, or folders of files, of another program.

    What a file does not say stays unknown in the store. Positions in microns or in pixels of another resolution need
    the slide's own resolution, and are refused without it. OUT then opens as the folder of a run does.
    """
    from wsi_features.cohort.outputs import Outputs
    from wsi_features.stages.imports import ImportRequest, imported

    failed = False
    for result in imported(Outputs(out), ImportRequest(**asked)):
        click.echo(result.message, err=not result.usable)
        failed |= not result.usable
    return SOME_FAILED if failed else OK
