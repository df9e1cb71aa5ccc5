"""`make bench`: runs the benchmarks and prints one table.

BENCH_PX sets the width of the generated slide (30000), BENCH_ONLY names one benchmark
(bags, chain, reader, stream, engine, start, stain, quality, annotations, exports, heatmaps, tissue, histo_texture, store,
device, gpu, or training, memory and dag, which only run when named), BENCH_SLIDE a slide of your own that is read as
well, BENCH_SLIDES how many slides the plan of dag has. Compare ratios within one run: machines are noisy.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from pathlib import Path
from typing import Any

BENCHMARKS = (
    "bags",
    "chain",
    "reader",
    "stream",
    "engine",
    "start",
    "stain",
    "quality",
    "annotations",
    "exports",
    "heatmaps",
    "tissue",
    "histo_texture",
    "store",
    "device",
    "gpu",
    "training",
    "memory",
    "dag",
)
ONLY_WHEN_NAMED = ("training", "memory", "dag")
OF_A_SLIDE = ("chain", "reader", "stream", "engine", "tissue")


def rows_of(name: str) -> list[dict[str, Any]]:
    """The rows of tests/benchmarks/bench_<name>.py."""
    path = Path(__file__).with_name(f"bench_{name}.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    pixels = int(os.environ.get("BENCH_PX", "30000"))
    found: list[dict[str, Any]] = module.rows(pixels) if name in OF_A_SLIDE else module.rows()
    return found


def line(row: dict[str, Any]) -> str:
    """One row as text."""
    extra = [
        f"{row['peak_mib']:.0f} MiB peak" if row.get("peak_mib") else "",
        f"limit {row['limit']:.3g}" if row.get("limit") else "",
        f"{row['ratio']:.2f}x" if row.get("ratio") else "",
    ]
    return f"{row['name']:<58} {row['value']:>10.3f} {row['unit']:<12} {'  '.join(part for part in extra if part)}".rstrip()


def main() -> None:
    """Print the table."""
    wanted = os.environ.get("BENCH_ONLY")
    sys.stdout.write(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}\n"
    )
    for name in BENCHMARKS:
        if wanted == name or (not wanted and name not in ONLY_WHEN_NAMED):
            sys.stdout.write(f"\n{name}\n")
            for row in rows_of(name):
                sys.stdout.write(line(row) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
