"""Commands about slide files: `inspect` and `manifest`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from wsi_features.cohort.sheets import SHEET_SUFFIXES, manifest_from, rows_with_unique_ids, slide_files, to_csv
from wsi_features.config import Tuning
from wsi_features.stages.boundary import OK, SOME_FAILED
from wsi_features.stages.isolation import Inspector


@click.command(short_help="What is known of slides: reader, levels, resolution, problems.")
@click.argument("sources", nargs=-1, required=True, metavar="SLIDE|DIR|MANIFEST...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each slide, one a line.")
def inspect(sources: tuple[str, ...], as_json: bool) -> int:
    """Open every slide and say what was found, without reading more than its metadata."""
    rows, limits = manifest_from(sources), Tuning()
    with Inspector(limits.inspect_seconds, limits.inspect_mib) as inspector:
        described = [inspector.described(row) for row in rows]
    for about in described:
        click.echo(json.dumps(about, ensure_ascii=False) if as_json else _paragraph(about))
    return SOME_FAILED if any(about["status"] == "failed" for about in described) else OK


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


def _paragraph(about: dict[str, Any]) -> str:
    name = click.style(about["slide_id"], bold=True)
    if about["reader"] is None:
        return f"{name}: {click.style('failed', fg='red')} [{about['reason']}]\n  {about['remedy']}"
    levels = ", ".join(f"{lv['width']} x {lv['height']} (1:{lv['downsample']:g})" for lv in about["levels"])
    mpp = about["mpp"]
    stated = f"{mpp['value']:g} um/px ({mpp['source']})" if mpp["value"] else "not usable"
    lines = [f"{name}: {about['status']}", f"  reader      {about['reader']}", f"  levels      {levels}"]
    lines.append(f"  resolution  {stated}")
    lines += [
        f"  stated by   {c['source']}: {_number(c['x'])} x {_number(c['y'])} um/px{'' if c['usable'] else ' (shown only)'}"
        for c in mpp["candidates"]
    ]
    lines += [f"  warning     {text}" for text in about["warnings"]]
    if about["status"] == "failed":
        lines.append(f"  remedy      {about['remedy']}")
    return "\n".join(lines)


def _number(value: float | str) -> str:
    """What is not finite comes as a word."""
    return value if isinstance(value, str) else f"{value:g}"
