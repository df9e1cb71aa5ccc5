"""Commands that hand features to other programs, and take theirs: `export`, `import`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wsi_features.cohort.exports.formats import FORMATS
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
