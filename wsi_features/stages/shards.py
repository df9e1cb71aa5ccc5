"""Stages over shards: each slide through one stage, results written as one record a shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import Record, SlideResult, read_record, write_record
from wsi_features.config import Config
from wsi_features.stages.boundary import guarded
from wsi_features.stages.embed import Embedding, embed_one, merged_result
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.progress import Progress
from wsi_features.stages.stain import stain_of
from wsi_features.stages.tiles import tiles_of
from wsi_features.stages.tissue import tissue_of

Work = Callable[[ManifestRow], SlideResult]
Shards = Mapping[str, Sequence[ManifestRow]]

UPSTREAM = {"tissue": (), "tiles": ("tissue",), "stain": ("tissue",), "embed": ("tiles", "stain")}
"""The stages whose result a stage needs."""


def run_stage(stage: str, shards: Shards, config: Config, out: Outputs, progress: Progress) -> None:
    """Take the slides of `shards` through one stage and write a record for each shard.

    A slide that failed before is carried on with its reason; one that is finished is not redone.
    Raises UsageError when the stage cannot start for any slide.
    """
    progress.stage(stage, sum(len(rows) for rows in shards.values()))
    with _work(stage, config, out, progress) as work:
        for shard, rows in shards.items():
            before = [read_record(out.record(name, shard)) for name in UPSTREAM[stage]]
            results: Record = {}
            for row in rows:
                result = _carried(row, before) or guarded(row.slide_id, stage, partial(work, row))
                results[row.slide_id] = result
                progress.slide(stage, row.slide_id, result)
            write_record(out.record(stage, shard), stage, shard, results)


def _carried(row: ManifestRow, before: Sequence[Record]) -> SlideResult | None:
    """The result of a slide that this stage has nothing to do for."""
    if row.skip:
        return SlideResult("skipped", "manifest", reason="skip", message=row.skip)
    found = [record[row.slide_id] for record in before if row.slide_id in record]
    if found and found[0].status == "empty":
        return None
    stopped = next((result for result in found if not result.usable), None)
    return stopped and SlideResult(stopped.status, stopped.stage, reason=stopped.reason, message=stopped.message)


@contextmanager
def _work(stage: str, config: Config, out: Outputs, progress: Progress) -> Iterator[Work]:
    if stage == "tissue":
        with Inspector(config.tuning.inspect_seconds, config.tuning.inspect_mib) as inspector:
            yield lambda row: tissue_of(row, config, out, inspector)
    elif stage == "tiles":
        plans = encoder_plans(config)
        yield lambda row: tiles_of(row, config, plans, out)
    elif stage == "stain":
        yield lambda row: stain_of(row, config, out)
    else:
        embeddings = [Embedding(plan, config, out) for plan in encoder_plans(config)]
        try:
            yield lambda row: _embed_with_all(row, embeddings, progress)
        finally:
            for embedding in embeddings:
                embedding.close()


def _embed_with_all(row: ManifestRow, embeddings: Sequence[Embedding], progress: Progress) -> SlideResult:
    """Encoders share nothing here, so one that fails on a slide leaves the others' stores alone."""
    results = {
        embedding.feature_set: guarded(row.slide_id, "embed", partial(embed_one, row, embedding, progress))
        for embedding in embeddings
    }
    return merged_result(results)
