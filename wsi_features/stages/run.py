"""Whole runs without a workflow engine: the same stages, artifacts and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wsi_features.cohort.manifest import manifest_of_output
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import STAGES, read_record
from wsi_features.cohort.sheets import manifest_from
from wsi_features.cohort.status import StatusRow, failed, read_status, statuses, write_status
from wsi_features.config import load_config
from wsi_features.errors import SlideError
from wsi_features.files import write_text
from wsi_features.stages.boundary import INTERNAL, OK, SOME_FAILED
from wsi_features.stages.plan import Plan
from wsi_features.stages.progress import Progress, Silent
from wsi_features.stages.result_folder import writing_to
from wsi_features.stages.shards import run_stage
from wsi_features.store import FeatureStore


def run(plan: Plan, progress: Progress, stages: Sequence[str] = STAGES) -> None:
    """Take all slides of the plan, whose manifest is written, through `stages`."""
    for stage in stages:
        run_stage(stage, plan.shards, plan.config, plan.out, progress)


def write_manifest(plan: Plan) -> None:
    """Write OUT/manifest.json, the validated manifest. Raises OutputError when OUT cannot be written."""
    with writing_to(plan.out.root):
        write_text(plan.out.manifest, plan.manifest.to_json(plan.config.tuning.slides_per_shard))


def collect(out: Outputs) -> tuple[StatusRow, ...]:
    """Write OUT/status.tsv from the shard records. Raises OutputError."""
    manifest, slides_per_shard = manifest_of_output(out.root)
    rows = statuses(manifest, slides_per_shard, out)
    write_text(out.status, write_status(rows))
    return rows


def verdict(out: Outputs, accept: Sequence[str] = ()) -> int:
    """The exit code that OUT/status.tsv asks for: failed slides of other reasons than `accept` are not accepted."""
    return _code({row["reason"] for row in failed(read_status(out.status), accept)})


def stage_verdict(plan: Plan, stage: str) -> int:
    """The exit code of one stage on its own, from its records."""
    records = [read_record(plan.out.record(stage, shard)) for shard in plan.shards]
    reasons = {result.reason for record in records for result in record.values() if result.status == "failed"}
    return _code(reasons - set(plan.config.accept))


def _code(reasons: set[str]) -> int:
    """The exit code for failures of these reasons, none of them accepted."""
    if "internal" in reasons:
        return INTERNAL
    return SOME_FAILED if reasons else OK


def embed(
    path: str | Path,
    encoder: str = "histo-texture",
    *,
    out: str | Path = "results",
    weights: str | Path | None = None,
    config: str | Path | None = None,
    **sections: Any,
) -> FeatureStore:
    """Take one slide through the whole chain and open its feature store.

    `sections` lays values over the config's, for example `tiles={"mpp": 0.5}` or
    `stain={"method": "macenko"}`. What is finished in `out` already is not redone. Raises
    UsageError for wrong values, and SlideError with the remedy when the slide fails.
    """
    choice = {"name": encoder, "weights": str(weights) if weights else None}
    settings = {"encoders": [choice], "out": str(out), **sections}
    loaded = load_config(Path(config) if config else None, settings)
    plan = Plan(loaded, manifest_from([str(path)]))
    plan.check(STAGES)
    write_manifest(plan)
    run(plan, Silent())
    (row,) = collect(plan.out)
    if row.status == "failed":
        raise SlideError(row.message)
    own = f"__{plan.encoders[0].tiling}__"  # further ones are of tiles that belong to these
    return FeatureStore.open(plan.out.root / next(store for store in row.stores.split(";") if own in store))
