"""The workflow on a real SLURM: jobs are killed, hang and run out of memory, and nothing is lost or done twice."""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
from slurm_cohort import Cluster, Cohort, Ended, Told

from wsi_features.cohort.records import STAGES

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1500)]


def same_features(one: Cohort, other: Cohort) -> bool:
    folders = [str(cohort.folder / "results/features") for cohort in (one, other)]
    return subprocess.run(["diff", "--recursive", *folders], check=False).returncode == 0


def node_of(pid: int) -> str:
    """The node that a process of a job runs on."""
    words = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return next(word.partition("=")[2] for word in words if word.startswith("SLURMD_NODENAME="))


def of_state(told: Told, state: str) -> list[Ended]:
    return [job for job in told.jobs if job.state == state]


def test_every_slide_ends_well_whatever_happened_to_its_jobs(accidents: Told) -> None:
    assert accidents.cohort.status() == dict.fromkeys("abcd", "ok")


def test_the_stores_are_those_of_a_plain_run_byte_for_byte(accidents: Told, reference: Cohort) -> None:
    assert same_features(accidents.cohort, reference)


def test_after_a_kill_the_slides_that_were_finished_are_not_redone(accidents: Told) -> None:
    assert accidents.killed.done
    assert len(accidents.killed.before) in {1, 2, 3}  # at least one of its own, and not yet all
    assert not {"a", "b"} <= set(accidents.killed.before)
    after = accidents.cohort.commits()
    assert {name: after[name] for name in accidents.killed.before} == accidents.killed.before


def test_a_job_above_its_memory_is_killed_and_comes_back_with_more(accidents: Told) -> None:
    small = [job for job in accidents.jobs if job.memory == 150]
    assert len(small) == 1
    assert small[0].state != "COMPLETED"
    assert [job.state for job in accidents.jobs if job.memory == 150 * 2**4] == ["COMPLETED"]


def test_a_job_that_hangs_ends_with_its_time_and_comes_back_with_more(accidents: Told) -> None:
    assert accidents.stopped.done
    assert [job.minutes for job in of_state(accidents, "TIMEOUT")] == [1]
    assert [job.state for job in accidents.jobs if job.minutes == 2**6] == ["COMPLETED"]


def test_only_the_three_jobs_with_an_accident_ran_twice(accidents: Told) -> None:
    assert len(of_state(accidents, "COMPLETED")) == len(STAGES) * 2 + 1  # stages of two shards, and the report
    assert len(accidents.jobs) == len(STAGES) * 2 + 1 + 3


def test_each_retry_asks_for_what_the_profile_lets_grow(accidents: Told) -> None:
    embed = sorted((job.memory, job.minutes) for job in accidents.jobs if job.minutes % 480 == 0)
    assert embed == [(8000, 480), (8000, 480), (16000, 960)]


def test_after_a_finished_run_there_is_nothing_to_do(accidents: Told) -> None:
    assert "Nothing to be done" in accidents.cohort.slurm("-n").stdout


@pytest.mark.full
def test_a_lost_node_costs_no_finished_slide(cluster: Cluster, reference: Cohort, tmp_path: Path) -> None:
    cohort = Cohort(tmp_path / "cohort", reference.slides).prepare()
    before: dict[str, tuple[int, int]] = {}

    def lose_the_node() -> None:
        while not (found := cohort.commits()) or not (tools := cohort.tools("embed", "00000")):
            if ended.wait(0.02):
                return
        cluster.kill_node(node_of(tools[0]))
        before.update(found)

    ended = threading.Event()
    threading.Thread(target=lose_the_node, daemon=True).start()
    done = cohort.slurm()
    ended.set()
    assert done.returncode == 0, done.stdout
    assert before
    after = cohort.commits()
    assert {name: after[name] for name in before} == before
    assert same_features(cohort, reference)
