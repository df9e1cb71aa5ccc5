"""What a cohort is estimated to cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wsi_features.cli.main import run_command
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.records import SlideResult, write_record
from wsi_features.config import Config
from wsi_features.stages.estimate import Rate, Sample, bytes_a_tile, cohort_estimate, rate_of, sample_of
from wsi_features.stages.plan import Plan

TILING = "256px_0.5mpp"


def plan_over(tmp_path: Path, slides: int, **tuning: object) -> Plan:
    rows = tuple(ManifestRow(slide_id=f"s{k}", path="x.svs") for k in range(slides))
    return Plan(Config.model_validate({"out": str(tmp_path), "tuning": tuning}), Manifest(rows))


def test_a_cohort_costs_what_its_sample_costs_times_its_size(tmp_path: Path) -> None:
    plan = plan_over(tmp_path, 100)
    sample = Sample({TILING: (900, 1100)}, {}, "inspection")
    found = cohort_estimate(plan, sample, Rate(50.0, "given"), 0.1)
    assert (found.tiles, found.hours) == (100_000, pytest.approx(100_000 / 50 / 3600))
    assert found.store_bytes == 100_000 * bytes_a_tile(plan.encoders[0])
    assert found.error == pytest.approx(0.1, rel=0.01)
    assert (found.slides_per_shard, found.shards) == (18, 6)  # 20 s a slide, 360 s a shard
    assert found.hours_per_shard == pytest.approx(0.1)


def test_slides_that_cannot_be_used_cost_nothing(tmp_path: Path) -> None:
    sample = Sample({TILING: (1000, 1000, 1000)}, {}, "inspection", failed=1)
    found = cohort_estimate(plan_over(tmp_path, 8), sample, Rate(10.0, "given"), 2.0)
    assert (found.unusable, found.tiles, found.sampled) == (2, 6000, 4)


def test_the_records_of_a_run_are_taken_before_any_slide_is_opened(tmp_path: Path) -> None:
    plan = plan_over(tmp_path, 4, slides_per_shard=2)
    for shard, count in (("00000", 10), ("00001", 30)):
        slides = {
            f"s{2 * int(shard) + k}": SlideResult("ok", "tiles", facts={"tiles": {TILING: count}}) for k in (0, 1)
        }
        write_record(plan.out.record("tiles", shard), "tiles", shard, slides)
        write_record(plan.out.record("embed", shard), "embed", shard, {}, {"seconds": count, "tiles": 100})
    sample = sample_of(plan, 20)
    assert (sample.source, sample.tiles) == ("records", {TILING: (10, 10, 30, 30)})
    assert rate_of(plan, sample, 1) == Rate(5.0, "records")


def test_plan_looks_at_slides_and_tries_the_encoder(slide_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slides = [str(slide_folder / f"{name}.svs") for name in ("small", "fine")]
    assert run_command(["plan", *slides, "--rate", "20", "--sample", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["slides"], found["sampled"], found["rate"]["tiles_per_second"]) == (2, 2, 20.0)
    assert 20 < found["tiles"] < 400
    assert found["hours"] == pytest.approx(found["tiles"] / 20 / 3600, rel=0.02)


def test_a_trial_is_limited_by_the_encoder_or_by_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_features.stages.estimate._TRIAL_SECONDS", 0.0)
    plan = plan_over(tmp_path, 2, batch=3)
    fast = rate_of(plan, Sample({TILING: (5,)}, {TILING: 0.0}, "inspection"), 1)
    slow = rate_of(plan, Sample({TILING: (5,)}, {TILING: 1000.0}, "inspection"), 2)
    assert (fast.source, fast.limit) == ("trial", "encoder")
    assert (slow.tiles_per_second, slow.limit) == (pytest.approx(0.002), "reading")
