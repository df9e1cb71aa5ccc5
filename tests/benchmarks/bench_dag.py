"""How long and how much memory Snakemake needs to plan a large cohort: a dry run over slides that exist as empty files."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

TOP = Path(__file__).parents[2]
LIMIT_SECONDS, LIMIT_MIB = 30.0, 700.0


def rows() -> list[dict[str, Any]]:
    """A dry run of BENCH_SLIDES slides (50000) in shards of 32."""
    slides = int(os.environ.get("BENCH_SLIDES", "50000"))
    with tempfile.TemporaryDirectory() as folder:
        make_cohort(Path(folder), slides)
        seconds, cpu, mib = dry_run(Path(folder))
    name = f"dry run, {slides:,} slides in {-(-slides // 32):,} shards"
    return [
        {"name": name, "value": seconds, "unit": "s", "limit": LIMIT_SECONDS},
        {"name": "  of it on the CPU", "value": cpu, "unit": "s"},
        {"name": "  memory", "value": mib, "unit": "MiB", "limit": LIMIT_MIB},
    ]


def make_cohort(folder: Path, slides: int) -> None:
    """A manifest of slides whose files exist, 1,000 in a folder, and a config."""
    lines = ["slide_id,path"]
    for k in range(slides):
        file = folder / f"slides/{k // 1000:03d}/slide-{k:06d}.svs"
        if k % 1000 == 0:
            file.parent.mkdir(parents=True)
        file.touch()
        lines.append(f"slide-{k:06d},{file.relative_to(folder)}")
    (folder / "cohort.csv").write_text("\n".join([*lines, ""]))
    (folder / "config.json").write_text(json.dumps({"manifest": "cohort.csv", "out": "results"}))


def dry_run(folder: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and the most memory in MiB."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(TOP / "Snakefile"), "--directory", ".", "-n"]
    command += ["--quiet", "all", "--profile", str(TOP / "profiles/local"), "--configfile", "config.json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = perf_counter()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(TOP), os.environ.get("PYTHONPATH")]))}
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, env=environment)
    seconds = perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, after.ru_maxrss / 1024
