"""Commands that take slides through stages: `run` and the single stages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from wsi_features.cli.logs import logging_to
from wsi_features.cli.options import config_of, recipe_options
from wsi_features.cli.profile import tell_profile
from wsi_features.cli.progress import progress_bar
from wsi_features.cli.summary import log_summary, tell_outcome
from wsi_features.cohort.manifest import manifest_of_output
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import STAGES, read_record
from wsi_features.cohort.sheets import manifest_from
from wsi_features.errors import ManifestError
from wsi_features.stages import run as runs
from wsi_features.stages.boundary import OK
from wsi_features.stages.plan import Plan
from wsi_features.stages.report import write_report
from wsi_features.stages.shards import run_stage


@click.command(short_help="Take slides through the whole chain, without a workflow engine.")
@recipe_options
@click.option("--no-report", is_flag=True, help="Leave out the HTML report.")
@click.option("--profile", is_flag=True, help="Say where the time of the embedding went, with a line of advice.")
def run(no_report: bool, profile: bool, **values: Any) -> int:
    """Tissue, tiles, stain, embedding and marks of every SLIDE, folder or MANIFEST, then status table and report.

    Finished slides are not redone, and a run that was stopped goes on from there.
    """
    plan = _plan(values, STAGES)
    with logging_to(values["log_file"] or plan.out.log("run"), [plan.out.root]), progress_bar() as progress:
        runs.run(plan, progress)
        rows = runs.collect(plan.out)
        if not no_report:
            write_report(plan.out, plan.config.report)
    if profile:
        tell_profile(plan.out, plan.shards)
    tell_outcome(rows, plan.out, report=not no_report)
    return runs.verdict(plan.out, plan.config.accept)


def _stage_command(stage: str, short: str, text: str) -> click.Command:
    @recipe_options
    def command(**values: Any) -> int:
        return _run_stage(stage, values)

    command.__doc__ = text
    return click.command(stage, short_help=short)(command)


tissue = _stage_command(
    "tissue",
    "Check slides and find their tissue.",
    """Preflight and tissue mask of every SLIDE, folder or MANIFEST.

    Writes DIR/slides/ID/preflight.json, thumbnail.jpg, tissue.png and tissue.geojson (opens in QuPath). A
    corrected GeoJSON is fed back through the manifest's `annotations` column.""",
)
tiles = _stage_command(
    "tiles",
    "Lay tile grids over the tissue.",
    """Tile tables of every SLIDE, folder or MANIFEST whose tissue is in DIR: DIR/tiles/TILING/ID.parquet.""",
)
stain_stage = _stage_command(
    "stain",
    "Fit stain normalization, one transform a slide.",
    """Stain parameters of every SLIDE, folder or MANIFEST whose tissue is in DIR: DIR/stain/METHOD/ID.json.""",
)
embed = _stage_command(
    "embed",
    "Embed tiles into feature stores.",
    """Feature stores of every SLIDE, folder or MANIFEST whose tiles and stain are in DIR.""",
)
marks = _stage_command(
    "marks",
    "Mark the tiles that thresholds keep.",
    """Keep marks of every SLIDE, folder or MANIFEST whose stores are in DIR: DIR/marks/keep__HASH/ID.parquet.

    Thresholds come from the config's `quality` section. Nothing is embedded anew.""",
)


def _run_stage(stage: str, values: dict[str, Any]) -> int:
    """One stage of the given slides; a shard's failures are results in its record, so a job exits with 0."""
    if values["shard"] is not None:
        return _run_shard(stage, values)
    plan = _plan(values, [stage])
    with (
        logging_to(values["log_file"] or plan.out.log(stage), [plan.out.root], {"stage": stage}),
        progress_bar() as progress,
    ):
        runs.run(plan, progress, [stage])
    if stage not in ("embed", "marks"):
        return runs.stage_verdict(plan, stage)
    tell_outcome(runs.collect(plan.out), plan.out, report=False)
    return runs.verdict(plan.out, plan.config.accept)


def _run_shard(stage: str, values: dict[str, Any]) -> int:
    config = config_of(values)
    out, shard = Outputs(Path(config.out)), values["shard"]
    manifest, size = manifest_of_output(out.root)
    shards = manifest.shards(size)
    if shard not in shards:
        raise ManifestError.no_shard(shard, str(out.manifest), len(shards))
    log, about = values["log_file"] or out.log(f"{stage}-{shard}"), {"stage": stage, "shard": shard}
    with logging_to(log, [out.root], about), progress_bar() as progress:
        started = perf_counter()
        run_stage(stage, {shard: shards[shard]}, config, out, progress)
        log_summary(read_record(out.record(stage, shard)), perf_counter() - started)
    return OK


def _plan(values: dict[str, Any], stages: Sequence[str]) -> Plan:
    config = config_of(values)
    if not values["sources"]:
        raise click.UsageError("Give at least one slide, folder or manifest.")
    plan = Plan(config, manifest_from(values["sources"]))
    plan.check(stages)
    runs.write_manifest(plan)
    return plan
