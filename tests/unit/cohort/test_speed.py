"""How fast a cohort was, and what would make it faster."""

from pathlib import Path
from typing import Any

import pytest

from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, write_record
from wsi_features.cohort.speed import CohortSpeed, cohort_speed


def meter(**changes: Any) -> dict[str, Any]:
    stream = {"opening": 0.1, "reading": 1.0, "decoding": 2.0, "resampling": 0.5, "bytes_read": 3_000_000_000}
    return {"seconds": 10.0, "tiles": 500, "busy_share": 0.9, "writing": 0.2, "stream": stream, **changes}


@pytest.fixture
def speed(tmp_path: Path) -> CohortSpeed:
    """Two shards that embedded, of 500 and 1,500 tiles, and one that had nothing to do."""
    out = Outputs(tmp_path)
    failed = SlideResult("failed", "tissue", seconds=3.0, reason="mpp")
    write_record(
        out.record("tissue", "00000"), "tissue", "00000", {"a": SlideResult("ok", "tissue", seconds=2.0), "b": failed}
    )
    write_record(out.record("tiles", "00000"), "tiles", "00000", {"b": failed})  # carried: its seconds are of tissue
    write_record(out.record("embed", "00000"), "embed", "00000", {}, meter())
    write_record(out.record("embed", "00001"), "embed", "00001", {}, meter(tiles=1500, seconds=30.0, busy_share=0.5))
    write_record(out.record("embed", "00002"), "embed", "00002", {})
    return cohort_speed(out, ["00000", "00001", "00002", "00003"])


def test_seconds_count_in_the_stage_that_took_them(speed: CohortSpeed) -> None:
    assert speed.stages == {**dict.fromkeys(speed.stages, 0.0), "tissue": 5.0}


def test_rates_are_weighted_by_the_time_of_each_shard(speed: CohortSpeed) -> None:
    assert (speed.shards, speed.tiles, speed.seconds, speed.bytes_read) == (2, 2000, 40.0, 6_000_000_000)
    assert speed.busy_share == pytest.approx((9 + 15) / 40)
    lines = dict(speed.lines())
    assert lines["tiles a second"] == "50.0 in a job, 2,000 tiles in all"
    assert lines["read from slides"] == "6.000 GB"


@pytest.mark.parametrize(
    ("busy", "writing", "stream", "told"),
    [
        (9.5, 0.1, {"reading": 5.0}, "encoder-bound"),
        (3.0, 0.1, {"reading": 5.0, "decoding": 1.0}, "reading-bound: stage the slides"),
        (3.0, 0.1, {"reading": 1.0, "decoding": 5.0}, "decoding-bound"),
        (3.0, 0.1, {"finishing": 6.0, "decoding": 5.0}, "stain-bound"),
        (3.0, 8.0, {"reading": 5.0}, "writing-bound"),
    ],
)
def test_the_advice_names_what_takes_the_time(busy: float, writing: float, stream: dict[str, float], told: str) -> None:
    speed = CohortSpeed({}, 1, 100, 10.0, busy, writing, 0, stream)
    assert speed.advice().startswith(told)
    assert speed.lines()[-1] == ("advice", speed.advice())


def test_a_run_that_embedded_nothing_says_so() -> None:
    assert CohortSpeed({}, 0, 0, 0.0, 0.0, 0.0, 0, {}).lines() == (
        ("advice", "nothing was embedded in the newest run"),
    )
