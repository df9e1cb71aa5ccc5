"""The workflow's promises, on real Snakemake runs in real folders."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from wsi_features.slides.synthetic import SlideSpec, write_slide

pytestmark = pytest.mark.workflow

TOP = Path(__file__).parents[2]
STAGES = ("tissue", "tiles", "stain", "embed", "marks")


@dataclass(frozen=True)
class Project:
    """A folder with manifest, config and results; `slides` lies elsewhere, as on a lab's server."""

    folder: Path
    slides: Path

    def configure(self, **settings: object) -> None:
        config = {"manifest": "cohort.csv", "out": "results", "tuning": {"slides_per_shard": 2}, **settings}
        (self.folder / "config.json").write_text(json.dumps(config))

    def list_slides(self, *names: str, own: str = "") -> None:
        """Write the manifest; the slide `own` is the project's own file, which a test may damage."""
        lines = [f"{name},{self.folder if name == own else self.slides}/{name}.svs" for name in names]
        (self.folder / "cohort.csv").write_text("\n".join(["slide_id,path", *lines, ""]))

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(TOP / "Snakefile"), "--directory", "."]
        command += ["--profile", str(TOP / "profiles/local"), "--configfile", "config.json", "--cores", "2", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )  # fmt: skip

    def jobs(self, done: subprocess.CompletedProcess[str]) -> set[str]:
        """The stage jobs of a run, like `embed 00001`."""
        outputs = re.findall(r"^ +output: results/records/(\w+)/(\d{5})\.json$", done.stdout, re.MULTILINE)
        return {f"{stage} {shard}" for stage, shard in outputs}

    def status(self) -> dict[str, dict[str, str]]:
        with (self.folder / "results/status.tsv").open(newline="") as file:
            return {row["slide_id"]: row for row in csv.DictReader(file, delimiter="\t")}

    def written(self) -> dict[str, int]:
        """The stores with the time of their commit records."""
        records = self.folder.glob("results/features/*/*.zarr/commit.json")
        return {str(path.parent.relative_to(self.folder)): path.stat().st_mtime_ns for path in records}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Three slides in two shards, run to the end: once for all processes of a test run, each of which has a copy."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    folder.mkdir(exist_ok=True)
    project, made = Project(folder / "project", folder / "slides"), folder / "made"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if not made.exists():
            make(project)
            made.touch()
        return moved(project, tmp_path_factory.mktemp("own"))


def make(project: Project) -> None:
    for part in (project.folder, project.slides):
        shutil.rmtree(part, ignore_errors=True)  # what an attempt that failed has left
        part.mkdir()
    for seed, name in enumerate(("a", "b", "c", "d")):
        spec = SlideSpec(width=2048, height=1536, seed=seed, mpp=0.5, objective=20, levels=(1, 4), tissue=name != "b")
        write_slide(project.slides / f"{name}.svs", spec)
    project.list_slides("a", "b", "c")
    project.configure()
    done = project.run()
    assert done.returncode == 0, done.stdout


def moved(finished: Project, folder: Path) -> Project:
    """A copy with all times kept."""
    shutil.copytree(finished.folder, folder / "project", copy_function=shutil.copy2)
    return Project(folder / "project", finished.slides)


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, with all times kept."""
    return moved(finished, tmp_path)


def test_a_run_leaves_a_status_for_every_slide_and_a_report(finished: Project) -> None:
    assert {name: row["status"] for name, row in finished.status().items()} == {"a": "ok", "b": "empty", "c": "ok"}
    assert (finished.folder / "results/report.html").stat().st_size > 10_000
    assert len(finished.written()) == 3


def test_the_plain_command_writes_the_same_bytes(finished: Project, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wsi_features", "run", "cohort.csv", "--out", str(tmp_path / "plain")]
    subprocess.run(command, cwd=finished.folder, check=True, stdout=subprocess.DEVNULL)
    compared = ["diff", "--recursive", str(finished.folder / "results/features"), str(tmp_path / "plain/features")]
    assert subprocess.run(compared, check=False).returncode == 0


def test_after_a_finished_run_there_is_nothing_to_do(finished: Project) -> None:
    assert "Nothing to be done" in finished.run("-n").stdout


@pytest.mark.parametrize(
    ("settings", "stages"),
    [
        ({"tissue": {"min_area_um2": 60000.0}}, set(STAGES)),
        pytest.param({"tiles": {"min_tissue": 0.5}}, {"tiles", "embed", "marks"}, marks=pytest.mark.ci),
        pytest.param({"stain": {"method": "reinhard"}}, {"stain", "embed", "marks"}, marks=pytest.mark.ci),
        pytest.param({"read": {"min_coverage": 0.9}}, {"embed", "marks"}, marks=pytest.mark.ci),
        ({"quality": {"preset": "suggested"}}, {"marks"}),
        pytest.param({"quality": {"preset": "suggested", "drop": True}}, {"embed", "marks"}, marks=pytest.mark.ci),
        ({"tuning": {"slides_per_shard": 2, "batch": 17, "workers": 1}}, set()),
    ],
)
def test_a_changed_recipe_reruns_its_stage_and_later_ones_only(
    finished: Project, tmp_path: Path, settings: dict[str, object], stages: set[str]
) -> None:
    project = moved(finished, tmp_path)
    project.configure(**settings)
    planned = project.run("-n")
    assert project.jobs(planned) == {f"{s} {n}" for s in stages for n in ("00000", "00001")}, planned.stdout


@pytest.mark.ci
def test_a_changed_recipe_is_carried_out(project: Project) -> None:
    project.configure(tiles={"min_tissue": 0.5})
    assert project.run().returncode == 0
    assert len(project.written()) == 6
    assert "Nothing to be done" in project.run("-n").stdout


def test_an_added_slide_runs_alone(project: Project) -> None:
    before = project.written()
    project.list_slides("a", "b", "c", "d")
    done = project.run()
    assert done.returncode == 0
    assert project.jobs(done) == {f"{stage} 00001" for stage in STAGES}
    after = project.written()
    assert {path: after[path] for path in before} == before
    assert [Path(path).stem for path in after if path not in before] == ["d"]


@pytest.mark.full
@pytest.mark.parametrize(
    "names", [("c", "a", "b"), ("a", "d", "b", "c"), ("a", "c")], ids=["moved", "added", "left out"]
)
def test_slides_in_other_shards_than_before_are_not_redone(project: Project, names: tuple[str, ...]) -> None:
    before = project.written()
    project.list_slides(*names)
    assert project.run().returncode == 0
    after = project.written()
    assert {path: after[path] for path in before} == before
    assert {Path(path).stem for path in set(after) - set(before)} == set(names) - {"a", "b", "c"}
    assert list(project.status()) == list(names)


@pytest.mark.ci
def test_a_broken_slide_fails_the_run_but_not_the_others_until_it_is_repaired(project: Project) -> None:
    whole = (project.slides / "d.svs").read_bytes()
    (project.folder / "d.svs").write_bytes(whole[:1000])
    project.list_slides("d", "a", "b", "c", own="d")
    broken = project.run()
    assert broken.returncode != 0
    rows = project.status()
    assert {name: row["status"] for name, row in rows.items()} == {"d": "failed", "a": "ok", "b": "empty", "c": "ok"}
    assert rows["d"]["reason"] == "unreadable_slide"
    assert "d failed in tissue [unreadable_slide]" in broken.stdout
    assert rows["d"]["message"][:20] in (project.folder / "results/report.html").read_text().replace("&#39;", "'")
    (project.folder / "d.svs").write_bytes(whole)
    repaired = project.run()
    assert repaired.returncode == 0, repaired.stdout
    assert project.jobs(repaired) == {f"{stage} 00000" for stage in STAGES}
    assert project.status()["d"]["status"] == "ok"


@pytest.mark.full
def test_accepted_reasons_let_the_run_succeed(project: Project) -> None:
    (project.folder / "c.svs").write_bytes(b"no slide")
    project.list_slides("a", "b", "c", own="c")
    project.configure(accept=["unreadable_slide"])
    assert project.run().returncode == 0
    assert project.status()["c"]["status"] == "failed"


@pytest.mark.ci
def test_retry_takes_failed_slides_up_again(project: Project) -> None:
    (project.folder / "c.svs").write_bytes(b"no slide")
    project.list_slides("a", "b", "c", own="c")
    assert project.run().returncode != 0
    assert not project.jobs(project.run())
    command = [sys.executable, "-m", "wsi_features", "retry", "results"]
    told = subprocess.run(command, cwd=project.folder, check=True, capture_output=True, text=True).stdout
    assert told == "1 failed slide will be tried again by the next run\n"
    assert project.jobs(project.run()) == {f"{stage} 00001" for stage in STAGES}


@pytest.mark.parametrize(
    ("manifest", "config", "told"),
    [
        ("slide_id,path\na b,slides/a.svs\n", {}, "column `slide_id`: 'a b'"),
        pytest.param(
            "slide_id,path\na,slides/gone.svs\n", {}, "column `path`: 'slides/gone.svs'", marks=pytest.mark.ci
        ),
        ("slide_id,path\na,slides/a.svs\n", {"tiles": {"sise": 3}}, "`tiles.sise` is 3"),
        pytest.param(
            "slide_id,path\na,slides/a.svs\n", {"encoders": ["unu"]}, "no encoder 'unu'", marks=pytest.mark.ci
        ),
        (
            "slide_id,path\na,slides/a.svs\n",
            {"tiles": {"mpp": 4.0}},
            "Set `tiles: {size: 256, mpp: 0.5}`, or both to auto",
        ),
    ],
)
def test_wrong_input_is_refused_before_anything_runs(
    finished: Project, tmp_path: Path, manifest: str, config: dict[str, object], told: str
) -> None:
    project = Project(tmp_path, finished.slides)
    (tmp_path / "slides").symlink_to(finished.slides)
    (tmp_path / "cohort.csv").write_text(manifest)
    project.configure(**config)
    refused = project.run()
    assert refused.returncode != 0
    assert told in refused.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.ci
def test_awkward_paths_run_no_code(finished: Project, tmp_path: Path) -> None:
    folder = tmp_path / "it's $(touch HACKED) {shard} ü"
    (folder / "slides").mkdir(parents=True)
    shutil.copy(finished.slides / "b.svs", folder / "slides/b.svs")
    shutil.copy(finished.slides / "b.svs", folder / "slides/-x; touch HACKED.svs")
    (folder / "cohort.csv").write_text('slide_id,path\nb,slides/b.svs\nx,"slides/-x; touch HACKED.svs"\n')
    project = Project(folder, finished.slides)
    project.configure(out="res ults; touch HACKED")
    done = project.run()
    assert done.returncode == 0, done.stdout
    assert not list(tmp_path.rglob("HACKED"))
