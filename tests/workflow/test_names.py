"""Names that a shell, a format string or a terminal would take for something else, and where a run writes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wsi_features.slides.synthetic import SlideSpec, write_slide

TOP = Path(__file__).parents[2]

NAMES = {
    "space": "with space.svs",
    "quote": "it's.svs",
    "quotes": 'dou"ble.svs',
    "unicode": "ünïcödé 切片.svs",
    "newline": "new\nline.svs",
    "tab": "tab\there.svs",
    "dash": "-dash.svs",
    "option": "--out.svs",
    "dollar": "$(touch HACKED).svs",
    "backtick": "`touch HACKED`; touch HACKED.svs",
    "braces": "{shard}{slide}{0}.svs",
    "percent": "%s%(x)d.svs",
    "backslash": "back\\slash.svs",
    "glob": "*?[a].svs",
    "colour": "\x1b[31mred.svs",
    "longest": "x" * 251 + ".svs",
}


class Place:
    """A folder for everything a run could reach: slides, the working folder, HOME and TMPDIR."""

    def __init__(self, top: Path) -> None:
        self.top, self.work = top, top / "it's $(touch HACKED) {shard} ü"
        for folder in (self.work / "slides", top / "home/tmp"):
            folder.mkdir(parents=True)
        spec = SlideSpec(width=1024, height=768, seed=2, mpp=0.5, objective=20, levels=(1, 4), tissue=False)
        write_slide(top / "slide.svs", spec)
        for name in NAMES.values():
            (self.work / "slides" / name).write_bytes((top / "slide.svs").read_bytes())
        with (self.work / "cohort.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("slide_id", "path"), *((k, f"slides/{name}") for k, name in NAMES.items())])

    def run(self, *command: str, folder: str = ".") -> subprocess.CompletedProcess[str]:
        here = {"HOME": str(self.top / "home"), "TMPDIR": str(self.top / "home/tmp"), "OMP_NUM_THREADS": "1"}
        outside = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.work / folder, env=outside | here, check=False, capture_output=True, text=True,
        )  # fmt: skip

    def files(self, *without: Path) -> dict[Path, tuple[int, int]]:
        """Every file and folder that is not below `without`, with what a change would change."""
        paths = [path for path in self.top.rglob("*") if not any(path.is_relative_to(folder) for folder in without)]
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.is_file()} | {
            path: (0, 0) for path in paths if path.is_dir()
        }

    def ended(self, out: str) -> dict[str, str]:
        with (self.work / out / "status.tsv").open(newline="") as file:
            return {row["slide_id"]: row["status"] for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


EMPTY = dict.fromkeys(NAMES, "empty")
"""How the slides of glass without tissue end."""


def test_inspect_takes_every_name_and_writes_nothing(place: Place) -> None:
    before = place.files()
    done = place.run("wsi_features", "inspect", "--json", "cohort.csv")
    assert done.returncode == 0, done.stderr
    described = [json.loads(line) for line in done.stdout.splitlines()]
    assert {about["slide_id"]: about["status"] for about in described} == dict.fromkeys(NAMES, "ok")
    assert place.files() == before


def test_after_two_dashes_every_name_is_a_slide(place: Place) -> None:
    names = [name for key, name in NAMES.items() if key not in {"dollar", "backtick"}]  # ids that differ
    done = place.run("wsi_features", "inspect", "--json", "--", *(f"slides/{name}" for name in names))
    assert len(done.stdout.splitlines()) == len(names), done.stderr
    assert place.run("wsi_features", "inspect", "--", *names, folder="slides").returncode == 0


@pytest.mark.ci
@pytest.mark.parametrize("out", ["-results", "a 'b' \"c\" $(touch HACKED) {shard} ü\nz"], ids=["dash", "all"])
def test_a_run_writes_nowhere_but_into_its_output_folder(place: Place, out: str) -> None:
    before = place.files()
    done = place.run("wsi_features", "run", "cohort.csv", "--out", out, "--stain", "macenko")
    assert done.returncode == 0, done.stderr
    assert place.ended(out) == EMPTY
    assert place.files(place.work / out) == before


def test_a_broken_slide_with_a_hostile_name_is_told_in_one_clean_line(place: Place) -> None:
    (place.work / "slides" / NAMES["colour"]).write_bytes(b"no slide")
    (place.work / "slides" / NAMES["newline"]).write_bytes(b"no slide")
    done = place.run("wsi_features", "run", "cohort.csv", "--out", "results", "--no-report")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 2
    assert "\x1b" not in done.stdout + done.stderr + (place.work / "results/logs/run.log").read_text()


@pytest.mark.ci
@pytest.mark.workflow
def test_the_workflow_takes_every_name_and_writes_nowhere_else(place: Place) -> None:
    out = "a 'b' \"c\" $(touch HACKED) ü"
    config = {"manifest": "cohort.csv", "out": out, "tuning": {"slides_per_shard": len(NAMES)}}
    (place.work / "config.json").write_text(json.dumps(config))
    before = place.files()
    options = ["--profile", str(TOP / "profiles/local"), "--configfile", "config.json", "--cores", "2"]
    done = place.run("snakemake", "--snakefile", str(TOP / "Snakefile"), "--directory", ".", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert place.ended(out) == EMPTY
    # Snakemake's own records and cache.
    assert place.files(place.work / out, place.work / ".snakemake", place.top / "home/.cache") == before
