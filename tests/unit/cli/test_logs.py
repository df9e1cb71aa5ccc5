"""The log files of a job: what they say, and what they never say."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from wsi_features.cli.logs import logging_to
from wsi_features.cli.progress import Lines
from wsi_features.cli.scrub import Scrubber
from wsi_features.cli.summary import log_summary
from wsi_features.cohort.records import SlideResult

LOGGER = logging.getLogger("wsi_features")


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.with_suffix(".jsonl").read_text().splitlines()]


def test_each_slide_is_a_line_with_its_id_stage_shard_and_end(tmp_path: Path) -> None:
    log = tmp_path / "logs/embed-00003.log"
    with logging_to(log, about={"stage": "embed", "shard": "00003"}):
        Lines().slide("embed", "s1", SlideResult("ok", "embed", seconds=2.5))
    (line,) = lines(log)
    wanted = {"event": "slide", "stage": "embed", "shard": "00003", "slide_id": "s1", "status": "ok", "seconds": 2.5}
    assert {name: line[name] for name in wanted} == wanted
    assert "embed: s1 ok 2.50 s" in log.read_text()


def test_a_job_ends_with_a_summary_that_names_what_failed(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    record = {"a": SlideResult("ok", "embed"), "b": SlideResult("failed", "tissue", reason="mpp", message="no mpp")}
    with logging_to(log):
        log_summary(record, 12.0)
    assert "summary: 2 slides in 12.0 s: 1 ok, 1 failed" in log.read_text()
    assert "b failed in tissue [mpp]: no mpp" in log.read_text()
    assert lines(log)[0]["facts"] == {
        "slides": {"ok": 1, "empty": 0, "skipped": 0, "failed": 1},
        "failures": {"mpp": 1},
    }


def test_a_traceback_is_in_both_files_without_its_places(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with logging_to(log, [tmp_path]):
        try:
            (tmp_path / "gone.json").read_text()
        except OSError:
            LOGGER.exception("it failed")
    text = log.read_text() + log.with_suffix(".jsonl").read_text()
    assert text.count("Traceback") == 2
    assert "'gone.json'" in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    "secret",
    [
        "hf_abcdefghijklmnop",
        "HF_TOKEN=sesame99",
        "{'token': 'sesame99'}",
        "Authorization: Bearer sesame99sesame99",
        "https://me:sesame99@host/x",
        "AKIAABCDEFGHIJKLMNOP",
        "s3 put https://host/b?X-Amz-Signature=sesame99&x=1",
        "value sesame-in-the-environment",
    ],
)
def test_secrets_are_hidden(secret: str) -> None:
    clean = Scrubber([], {"AWS_SECRET_ACCESS_KEY": "sesame-in-the-environment"}).clean(f"before {secret} after")
    assert clean.startswith("before")
    assert clean.endswith("after")
    assert "[hidden]" in clean
    assert not any(word in clean for word in ("sesame", "hf_ab", "AKIA"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("slide 's' ('/data/out/x y/a.svs') is cut", "slide 's' ('x y/a.svs') is cut"),
        ("cannot read /data/out/slides/a.json: gone", "cannot read slides/a.json: gone"),
        ("file '/home/someone/it is/a.svs'", "file '…/a.svs'"),
        ("at /scratch/someone/a.svs, line 3", "at …/a.svs, line 3"),
        ("/data/outside/a.svs", "…/a.svs"),
        ("256 px at 0.5 um/px and https://host/page", "256 px at 0.5 um/px and https://host/page"),
    ],
)
def test_paths_are_shown_from_the_runs_folder_or_by_name(text: str, shown: str) -> None:
    assert Scrubber([Path("/data/out")], {}).clean(text) == shown
