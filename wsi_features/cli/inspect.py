"""Command `inspect`: what is known of slides before anything is done with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from wsi_features.cohort.sheets import manifest_from
from wsi_features.config import load_config
from wsi_features.stages.boundary import OK, SOME_FAILED
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.preflight import estimated
from wsi_features.stages.staging import described_near

_SURVEYED = "wsi_features.stages.preflight:surveyed"


@click.command(short_help="What is known of slides: reader, levels, resolution, problems, tiles and time.")
@click.argument("sources", nargs=-1, required=True, metavar="SLIDE|DIR|MANIFEST...")
@click.option("--config", "config_file", metavar="FILE", help="YAML config whose tiles are estimated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object for each slide, one a line.")
def inspect(sources: tuple[str, ...], config_file: str | None, as_json: bool) -> int:
    """Open every slide in a process of its own, look at a few of its pixels, and say what was found."""
    config = load_config(Path(config_file) if config_file else None)
    rows = manifest_from(sources)
    tuning, tiles = config.tuning, encoder_plans(config)[0].tiles
    one_by_one = as_json or len(rows) == 1
    described = []
    with Inspector(tuning.inspect_seconds, tuning.inspect_mib, _SURVEYED) as inspector:
        for row in rows:
            about = estimated(described_near(inspector, row, tuning), tiles, row.coordinates)
            described.append(about)
            if one_by_one:
                click.echo(json.dumps(about, ensure_ascii=False) if as_json else paragraph(about))
    if not one_by_one:
        click.echo(table(described))
    return SOME_FAILED if any(about["status"] == "failed" for about in described) else OK


def table(described: Sequence[dict[str, Any]]) -> str:
    """A line for each slide, then the warnings and remedies under the slides' names, then the sum."""
    header = ("slide", "status", "reader", "level 0", "levels", "um/px", "source", "tiles")
    rows = [header, *(_cells(about) for about in described)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    for about in described:
        told = [*about["warnings"], *([about["remedy"]] if about["status"] == "failed" else [])]
        lines += ["", click.style(about["slide_id"], bold=True), *(f"  {text}" for text in told)] if told else []
    failed = sum(about["status"] == "failed" for about in described)
    tiles = sum(about["estimate"]["tiles"] for about in described if about.get("estimate"))
    return "\n".join([*lines, "", f"{len(described)} slides, {failed} cannot be used; about {tiles:,} tiles"])


def _cells(about: dict[str, Any]) -> tuple[str, ...]:
    levels, mpp, estimated = about["levels"], about["mpp"], about.get("estimate")
    size = f"{levels[0]['width']} x {levels[0]['height']}" if levels else "-"
    resolution = (f"{mpp['value']:.4g}", mpp["source"]) if mpp["value"] else ("-", "-")
    status = "ok" if about["status"] == "ok" else f"failed [{about['reason']}]"
    tiles = f"{estimated['tiles']:,}" if estimated else "-"
    return (about["slide_id"], status, about["reader"] or "-", size, str(len(levels) or "-"), *resolution, tiles)


def paragraph(about: dict[str, Any]) -> str:
    """All that is known of one slide, for the terminal."""
    name = click.style(about["slide_id"], bold=True)
    if not about["levels"]:
        return f"{name}: {click.style('failed', fg='red')} [{about['reason']}]\n  {about['remedy']}"
    lines = [f"{name}: {about['status']}"]
    lines += [f"  {label:<12}{text}" for label, text in _facts(about)]
    lines += [f"  {'warning':<12}{text}" for text in about["warnings"]]
    if about["status"] == "failed":
        lines.append(f"  {'remedy':<12}{about['remedy']}")
    return "\n".join(lines)


def _facts(about: dict[str, Any]) -> list[tuple[str, str]]:
    mpp, form = about["mpp"], about["form"]
    stated = f"{mpp['value']:g} um/px ({mpp['source']}: {mpp['why']})" if mpp["value"] else "not usable"
    facts = [("reader", f"{about['reader']} ({about['why']})"), ("form", _form(form))]
    facts += [("levels" if i == 0 else "", _level(level)) for i, level in enumerate(about["levels"])]
    facts.append(("resolution", stated))
    facts += [("stated by", _candidate(candidate)) for candidate in mpp["candidates"]]
    if len(about["scenes"]) > 1:
        facts += [("scene", _scene(scene, about["scene"])) for scene in about["scenes"]]
    if about["bounds"]:
        facts.append(("scanned", "{width} x {height} pixels from x={x}, y={y}".format(**about["bounds"])))
    if about.get("estimate"):
        estimated = about["estimate"]
        tiles = f"about {estimated['tiles']:,} of {estimated['tile_px']} px at {estimated['tile_mpp']:g} um/px"
        facts.append(("tiles", f"{tiles}; reading them takes about {estimated['read_seconds']:g} s on one core"))
    return facts


def _form(form: dict[str, Any]) -> str:
    tile = f", tiles of {form['tile']['width']} x {form['tile']['height']}" if form["tile"] else ""
    named = " ".join(filter(None, (form["vendor"], form["compression"])))
    profile = ", ICC profile" if form["icc_profile"] else ""
    return f"{named}{', ' if named else ''}{form['bits']}-bit {form['colour']}{tile}{profile}"


def _level(level: dict[str, Any]) -> str:
    difference = level.get("difference")
    agreement = f", within {difference:.1f} grey levels of level 0" if difference is not None else ""
    return f"{level['width']} x {level['height']} (1:{level['downsample']:.6g}{agreement})"


def _scene(scene: dict[str, Any], chosen: str) -> str:
    size, mark = scene["size"], " (read)" if scene["name"] == chosen else ""
    planes = f", {scene['planes']} focal planes" if scene["planes"] > 1 else ""
    return f"{scene['name']!r}: {size['width']} x {size['height']}{planes}{mark}"


def _candidate(candidate: dict[str, Any]) -> str:
    x, y = (_number(candidate[axis]) for axis in "xy")
    return f"{candidate['source']}: {x} x {y} um/px{'' if candidate['usable'] else ' (shown only)'}"


def _number(value: float | str) -> str:
    """What is not finite comes as a word."""
    return value if isinstance(value, str) else f"{value:g}"
