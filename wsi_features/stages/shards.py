"""Stages over shards: each slide through one stage, results written as one record a shard."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import Record, SlideResult, read_record, write_record
from wsi_features.config import Config
from wsi_features.stages.boundary import guarded
from wsi_features.stages.crash import CrashWatch
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.marks import marked
from wsi_features.stages.meter import Meter
from wsi_features.stages.passes import embedding_work
from wsi_features.stages.progress import Progress
from wsi_features.stages.segmenters import release_tissue_model
from wsi_features.stages.stain import stain_of
from wsi_features.stages.tiles import tiles_of
from wsi_features.stages.tissue import tissue_of

Results = Iterator[tuple[ManifestRow, SlideResult]]
Work = Callable[[Sequence[ManifestRow], CrashWatch, Meter], Results]
"""Takes slides through a stage; they come back as they end."""

Shards = Mapping[str, Sequence[ManifestRow]]

UPSTREAM = {"tissue": (), "tiles": ("tissue",), "stain": ("tissue",), "embed": ("tiles", "stain"), "marks": ("embed",)}
"""The stages whose result a stage needs."""

_LOOK_AGAIN_SECONDS = 5.0
"""Until a claimed slide is tried again."""

_log = logging.getLogger("wsi_features")


def run_stage(stage: str, shards: Shards, config: Config, out: Outputs, progress: Progress) -> None:
    """Take the slides of `shards` through one stage and write a record for each shard.

    A slide that failed before is carried on with its reason; one that is finished is not redone, and
    one on which a process crashed is failed. Raises UsageError when the stage cannot start for any slide.
    """
    progress.stage(stage, sum(len(rows) for rows in shards.values()))
    with _work(stage, shards, config, out, progress) as work:
        for shard, rows in shards.items():
            before = [read_record(out.record(name, shard)) for name in UPSTREAM[stage]]
            results = {row.slide_id: result for row in rows if (result := _carried(row, before))}
            for slide_id, result in results.items():
                progress.slide(stage, slide_id, result)
            meter = Meter()
            with CrashWatch(out, stage, shard) as watch:
                for row, result in work([row for row in rows if row.slide_id not in results], watch, meter):
                    results[row.slide_id] = result
                    progress.slide(stage, row.slide_id, result)
            ordered = {row.slide_id: results[row.slide_id] for row in rows}
            write_record(out.record(stage, shard), stage, shard, ordered, meter.facts() if meter.tiles else {})
            if meter.tiles:
                about = {"event": "meter", "stage": stage, "shard": shard, "facts": meter.facts()}
                _log.info("%s %s: %.1f tiles/s, encoder busy %.0f %%: %s", *_metered(stage, shard, meter), extra=about)


def _metered(stage: str, shard: str, meter: Meter) -> tuple[str, str, float, float, str]:
    return stage, shard, meter.tiles / meter.seconds, 100 * meter.busy_share, meter.advice()


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
def _work(stage: str, shards: Shards, config: Config, out: Outputs, progress: Progress) -> Iterator[Work]:
    if stage == "tissue":
        with Inspector(config.tuning.inspect_seconds, config.tuning.inspect_mib) as inspector:
            try:
                yield partial(_one_by_one, stage, lambda row: tissue_of(row, config, out, inspector))
            finally:
                release_tissue_model()
    elif stage == "tiles":
        plans = encoder_plans(config)
        yield partial(_one_by_one, stage, lambda row: tiles_of(row, config, plans, out))
    elif stage == "stain":
        yield partial(_one_by_one, stage, lambda row: stain_of(row, config, out))
    elif stage == "marks":
        embedded = {k: v for shard in shards for k, v in read_record(out.record("embed", shard)).items()}
        yield partial(_one_by_one, stage, lambda row: marked(row, config, embedded, out))
    else:
        with embedding_work(config, out, progress) as work:
            yield work


def _one_by_one(
    stage: str, work: Callable[[ManifestRow], SlideResult], rows: Sequence[ManifestRow], watch: CrashWatch, _: Meter
) -> Results:
    for row in rows:
        yield row, guarded(row.slide_id, stage, partial(_watched, watch, work, row))


def _watched(watch: CrashWatch, work: Callable[[ManifestRow], SlideResult], row: ManifestRow) -> SlideResult:
    with watch.current(row):
        return work(row)
