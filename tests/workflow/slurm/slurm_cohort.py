"""A small cohort, a SLURM on this machine, and what happens to jobs: the parts of the tests in this folder."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

TOP = Path(__file__).parents[3]

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Cohort:
    """A folder with a manifest of four slides in two shards, run through a profile."""

    folder: Path
    slides: Path

    def prepare(self) -> Cohort:
        rows = [f"{name},{self.slides}/{name}.svs" for name in "abcd"]
        self.folder.mkdir()
        (self.folder / "cohort.csv").write_text("\n".join(["slide_id,path", *rows, ""]))
        config = {"manifest": "cohort.csv", "out": "results", "tuning": {"slides_per_shard": 2, "workers": 1}}
        (self.folder / "config.json").write_text(json.dumps(config))
        return self

    def run(self, profile: Path, *options: str) -> Done:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(TOP / "Snakefile"), "--directory", "."]
        command += ["--profile", str(profile), "--configfile", "config.json", *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, cwd=self.folder, env=environment, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )  # fmt: skip

    def slurm(self, *options: str, changed: Mapping[str, Mapping[str, str]] | None = None) -> Done:
        """A run through profiles/slurm with `changed` resources of some rules.

        Looking at the queue more often than real clusters like it saves the test minutes, and so do small jobs.
        """
        profile = yaml.safe_load((TOP / "profiles/slurm/config.yaml").read_text())
        for rule, resources in (changed or {}).items():
            profile["set-resources"][rule] |= resources
        profile |= {"slurm-init-seconds-before-status-checks": 2, "latency-wait": 10, "set-threads": {"embed": 1}}
        folder = self.folder / "profile"
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(profile))
        return self.run(folder, *options)

    def commits(self) -> dict[str, tuple[int, int]]:
        """The stores with file number and time of their commit records: a store made again has others."""
        found = {path.parent.stem: path.stat() for path in self.folder.glob("results/features/*/*.zarr/commit.json")}
        return {name: (info.st_ino, info.st_mtime_ns) for name, info in found.items()}

    def status(self) -> dict[str, str]:
        with (self.folder / "results/status.tsv").open(newline="") as file:
            return {row["slide_id"]: row["status"] for row in csv.DictReader(file, delimiter="\t")}

    def tools(self, stage: str, shard: str) -> list[int]:
        """The processes of ours that work on a shard: started in this folder, so by this cohort's jobs."""
        wanted = ["-m", "wsi_features", stage, "--shard", shard]
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_tool(pid, wanted)]  # noqa: PTH208

    def _is_tool(self, pid: int, wanted: list[str]) -> bool:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            return words[1:6] == wanted and Path(f"/proc/{pid}/cwd").resolve() == self.folder.resolve()
        except OSError:
            return False


class Saboteur(threading.Thread):
    """Sends one signal to the tool of one job, once, as soon as `when` is true."""

    def __init__(self, cohort: Cohort, stage: str, shard: str, sent: int, when: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self._cohort, self._stage, self._shard, self._sent, self._when = cohort, stage, shard, sent, when
        self.before: dict[str, tuple[int, int]] = {}
        self.done = False
        self.given_up = threading.Event()
        self._pid = 0

    def run(self) -> None:
        while not (self.done or self.given_up.wait(0.01)):
            if self._when() and (tools := self._cohort.tools(self._stage, self._shard)):
                self._pid = tools[0]
                os.kill(self._pid, self._sent)
                self.before = self._cohort.commits()
                self.done = True

    def end(self) -> None:
        """Stop waiting; a process that was stopped and that SLURM has lost sight of ends now."""
        self.given_up.set()
        self.join()
        if self._pid in self._cohort.tools(self._stage, self._shard):
            os.kill(self._pid, signal.SIGKILL)


@dataclass(frozen=True)
class Ended:
    """A job as SLURM saw it end."""

    state: str
    memory: int
    minutes: int


@dataclass(frozen=True)
class Cluster:
    """A running SLURM, its state below `folder`."""

    folder: Path

    def ended(self) -> list[Ended]:
        """All jobs so far, in the order of their submission."""
        wanted = r"JobId=(\d+) .*JobState=(\w+) .*TimeLimit=(\d+) .*mem=(\d+)M"
        jobs = re.findall(wanted, (self.folder / "log/ended.txt").read_text())
        return [Ended(state, int(memory), int(minutes)) for _, state, minutes, memory in sorted(jobs, key=_number)]

    def kill_node(self, node: str) -> None:
        """End a node and all that runs on it, as a power cut does: its daemon, and the daemons of its jobs with their trees."""
        daemon = int((self.folder / f"pid/slurmd-{node}.pid").read_text())
        listed = subprocess.run(["squeue", "-h", "-w", node, "-o", "%A"], check=True, capture_output=True, text=True)
        jobs = listed.stdout.split()
        os.kill(daemon, signal.SIGKILL)
        for pid in sorted(_trees([f"slurmstepd: [{job}." for job in jobs])):
            os.kill(pid, signal.SIGKILL)


def _number(job: tuple[str, ...]) -> int:
    return int(job[0])


def _trees(names: list[str]) -> set[int]:
    """The processes of these names, and all their descendants."""
    parents, found = {}, set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):  # noqa: PTH208
        try:
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            if Path(f"/proc/{pid}/cmdline").read_text().startswith(tuple(names)):
                found.add(pid)
        except OSError:
            continue
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


@dataclass
class Told:
    """A run that met with accidents: what Snakemake said, what SLURM saw, and who did what."""

    cohort: Cohort
    jobs: list[Ended]
    killed: Saboteur
    stopped: Saboteur
