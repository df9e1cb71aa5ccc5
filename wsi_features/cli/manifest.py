"""Command `manifest`: a checked sheet of slides, or one made from a folder."""

from __future__ import annotations

from pathlib import Path

import click

from wsi_features.cohort.sheets import SHEET_SUFFIXES, manifest_from, rows_with_unique_ids, slide_files, to_csv


@click.command(short_help="Check a manifest, or make one from a folder of slides.")
@click.argument("sources", nargs=-1, required=True, metavar="DIR|GLOB|SLIDE|MANIFEST...")
def manifest(sources: tuple[str, ...]) -> None:
    """Print a checked manifest as CSV:  wsi-features manifest DIR > cohort.csv

    Slides named alike in different folders get the folder's name before theirs.
    """
    if all(Path(source).suffix.lower() in SHEET_SUFFIXES for source in sources):
        click.echo(to_csv(manifest_from(sources)), nl=False)
    else:
        files = [file for source in sources for file in slide_files(source)]
        click.echo(to_csv(rows_with_unique_ids(files)), nl=False)
