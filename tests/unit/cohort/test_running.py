"""How far a run is, from records of some of its shards."""

import os
from pathlib import Path

import pytest

from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import STAGES, SlideResult, write_record
from wsi_features.cohort.running import cohort_progress, is_collected

FAILED = SlideResult("failed", "tissue", reason="mpp", message="no mpp")


def record(out: Outputs, stage: str, shard: str, end: float, *results: SlideResult) -> None:
    first = int(shard) * 2
    write_record(out.record(stage, shard), stage, shard, {f"s{first + k}": result for k, result in enumerate(results)})
    os.utime(out.record(stage, shard), (end, end))


@pytest.fixture
def out(tmp_path: Path) -> Outputs:
    """Five slides in three shards; tissue has two shards, an hour for each, tiles one."""
    rows = tuple(ManifestRow(slide_id=f"s{k}", path="x.svs") for k in range(5))
    (tmp_path / "manifest.json").write_text(Manifest(rows).to_json(2))
    found = Outputs(tmp_path)
    hour = SlideResult("ok", "tissue", seconds=900.0)
    record(found, "tissue", "00000", 100_000.0, hour, hour)
    record(found, "tissue", "00001", 101_800.0, hour, FAILED)
    record(found, "tiles", "00001", 101_900.0, SlideResult("empty", "tiles", seconds=1.0), FAILED)
    return found


def test_each_stage_counts_its_slides_and_the_rest_is_to_come(out: Outputs) -> None:
    stages = {stage.stage: stage for stage in cohort_progress(out).stages}
    assert set(stages) == set(STAGES)
    assert (stages["tissue"].done, stages["tissue"].slides, stages["tissue"].counts) == (4, 5, {"ok": 3, "failed": 1})
    assert (stages["tiles"].done, stages["embed"].done, stages["embed"].per_hour) == (2, 0, 0.0)


def test_rate_and_time_left_are_those_of_the_newest_records(out: Outputs) -> None:
    tissue = cohort_progress(out).stages[0]
    assert tissue.per_hour == pytest.approx(4 * 3600 / 3600)  # from 98,200 to 101,800
    assert tissue.hours_left == pytest.approx(0.25)
    record(out, "tissue", "00002", 900_000.0, SlideResult("ok", "tissue", seconds=36.0))
    assert cohort_progress(out).stages[0].per_hour == pytest.approx(100.0)


def test_a_failure_is_told_once_with_its_reason(out: Outputs) -> None:
    progress = cohort_progress(out)
    assert list(progress.failures) == ["s3"]
    assert progress.reasons() == {"mpp": 1}


def test_the_time_left_is_that_of_the_slowest_stage(out: Outputs) -> None:
    progress = cohort_progress(out)
    assert progress.hours_left == max(stage.hours_left or 0 for stage in progress.stages)


def test_a_status_table_counts_only_while_it_is_newer_than_every_record(out: Outputs) -> None:
    assert not is_collected(out)
    out.status.write_text("")
    os.utime(out.status, (102_000.0, 102_000.0))
    assert is_collected(out)
    record(out, "embed", "00000", 103_000.0, FAILED)
    assert not is_collected(out)
