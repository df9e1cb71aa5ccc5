"""Command `plan`: what a cohort will cost, before it is started."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from wsi_features.cli.options import config_of, recipe_options
from wsi_features.cli.tables import size_text
from wsi_features.cohort.sheets import manifest_from
from wsi_features.stages.embedding import cores
from wsi_features.stages.estimate import Estimate, Rate, cohort_estimate, rate_of, sample_of
from wsi_features.stages.plan import Plan

_FROM = {"given": "as given", "records": "as the records in the output folder", "trial": "as a trial on this machine"}
_LIMIT = {"": "", "encoder": "; the encoder is the limit", "reading": "; reading the slides is the limit"}


@click.command(short_help="Estimate tiles, hours and bytes of a cohort, and the shards that suit it.")
@recipe_options
@click.option("--sample", type=click.IntRange(1), default=20, show_default=True, help="Slides to look at.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Tiles/s of one job, when you know it.")
@click.option("--shard-hours", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True, help="Wanted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def plan(sample: int, rate: float | None, shard_hours: float, as_json: bool, **values: Any) -> None:
    """Look at a sample of the slides of a MANIFEST and say what embedding all of them costs. Nothing is written.

    Counts and rates of an earlier run in DIR are taken where they are; otherwise the encoder is tried for some seconds.
    """
    config = config_of(values)
    if not values["sources"]:
        raise click.UsageError("Give at least one slide, folder or manifest.")
    planned = Plan(config, manifest_from(values["sources"]))
    planned.check(["embed"] if rate is None else [])
    found = sample_of(planned, sample)
    speed = Rate(rate, "given") if rate else rate_of(planned, found, cores(config.tuning.workers))
    estimate = cohort_estimate(planned, found, speed, shard_hours)
    click.echo(json.dumps(asdict(estimate)) if as_json else "\n".join(_lines(estimate, found.source)))


def _lines(found: Estimate, source: str) -> list[str]:
    looked = "looked at" if source == "inspection" else "counted in the records"
    unusable = f", about {found.unusable:,} of them cannot be used" if found.unusable else ""
    error = f" +- {found.error:.0%}" if found.error else ""
    rate = f"{found.rate.tiles_per_second:,.1f} tiles/s, {_FROM[found.rate.source]}{_LIMIT[found.rate.limit]}"
    return [
        f"slides    {found.slides:,}, {found.sampled:,} {looked}{unusable}",
        f"tiles     about {found.tiles:,}{error}, {found.tiles / max(found.slides, 1):,.0f} a slide",
        f"rate      {rate}",
        f"embedding {found.hours:,.2f} hours of one such job, or of GPUs like it together",
        f"stores    {size_text(found.store_bytes)}",
        (
            f"shards    {found.shards:,} of {found.slides_per_shard:,} slides, {found.hours_per_shard:.2g} hours each:"
            f" `tuning: {{slides_per_shard: {found.slides_per_shard}}}`"
        ),
    ]
