"""Snakemake and its jobs are killed, its notes are lost, and jobs outlive it: nothing half made is taken for done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.store import FeatureStore, find_stores

pytestmark = [pytest.mark.workflow, pytest.mark.full]

TOP = Path(__file__).parents[2]


@dataclass(frozen=True)
class Run:
    """A project folder with three slides in two shards."""

    folder: Path

    def started(self, *options: str) -> subprocess.Popen[str]:
        """Snakemake, as a child of its own whose jobs are not this test's."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(TOP / "Snakefile"), "--directory", "."]
        command += ["--profile", str(TOP / "profiles/local"), "--configfile", "config.json", "--cores", "2", *options]
        with (self.folder / "snakemake.log").open("a") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, text=True, start_new_session=True)

    def ended(self, *options: str) -> int:
        return self.started(*options).wait()

    def tools(self, stage: str) -> list[int]:
        """Processes of the tool that work in this folder on a stage."""
        found = []
        for process in Path("/proc").iterdir():
            if process.name.isdigit():
                words = _words(process)
                if words[1:4] == ["-m", "wsi_features", stage] and _folder(process) == self.folder:
                    found.append(int(process.name))
        return found

    def stores(self) -> dict[str, bytes]:
        """Every file of every store, each of which must be whole."""
        root = self.folder / "results/features"
        for store in find_stores(root):
            FeatureStore.open(store).check()
        return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _words(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def _folder(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return None


def eventually(holds: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A project in which nothing was run."""
    run = Run(tmp_path_factory.mktemp("fresh").resolve())
    lines = ["slide_id,path"]
    for seed, name in enumerate(("a", "b", "c")):
        spec = SlideSpec(width=3072, height=2048, seed=seed, mpp=0.5, objective=20, levels=(1, 4))
        write_slide(run.folder / f"{name}.svs", spec)
        lines.append(f"{name},{run.folder / name}.svs")
    (run.folder / "cohort.csv").write_text("\n".join([*lines, ""]))
    config = {"manifest": "cohort.csv", "out": "results", "tuning": {"slides_per_shard": 2, "batch": 4}}
    (run.folder / "config.json").write_text(json.dumps(config))
    return run


def copied(run: Run, folder: Path) -> Run:
    return Run(Path(shutil.copytree(run.folder, folder.resolve() / "project")))


@pytest.fixture(scope="module")
def wanted(fresh: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The stores of a run that nothing disturbs."""
    run = copied(fresh, tmp_path_factory.mktemp("undisturbed"))
    assert run.ended() == 0
    return run.stores()


@pytest.mark.parametrize("forgets", [False, True])
def test_a_killed_snakemake_is_started_again_beside_its_living_jobs(
    fresh: Run, wanted: dict[str, bytes], tmp_path: Path, forgets: bool
) -> None:
    run = copied(fresh, tmp_path)
    main = run.started()
    eventually(lambda: run.tools("embed"))
    os.kill(main.pid, signal.SIGKILL)
    main.wait()
    orphans = run.tools("embed")
    assert orphans
    if forgets:
        shutil.rmtree(run.folder / ".snakemake")
    else:
        assert run.ended() != 0  # it is locked, and says so
        assert run.ended("--unlock") == 0
    assert run.ended() == 0
    eventually(lambda: not run.tools("embed"))
    assert run.stores() == wanted


def test_a_killed_job_fails_its_shard_and_the_next_run_finishes(
    fresh: Run, wanted: dict[str, bytes], tmp_path: Path
) -> None:
    run = copied(fresh, tmp_path)
    main = run.started("--retries", "0")
    eventually(lambda: run.tools("embed"))
    os.kill(run.tools("embed")[0], signal.SIGKILL)
    assert main.wait() != 0
    whole = run.stores()  # whatever is there is whole
    assert set(whole) <= set(wanted)
    assert run.ended() == 0
    assert run.stores() == wanted


def test_without_its_notes_nothing_half_made_is_taken_for_done(
    fresh: Run, wanted: dict[str, bytes], tmp_path: Path
) -> None:
    run = copied(fresh, tmp_path)
    main = run.started()
    eventually(lambda: run.tools("embed"))
    for pid in [main.pid, *run.tools("embed")]:
        os.kill(pid, signal.SIGKILL)
    main.wait()
    shutil.rmtree(run.folder / ".snakemake")
    assert run.ended() == 0
    assert run.stores() == wanted
