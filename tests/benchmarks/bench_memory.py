"""Memory over time: a slide of 100,000 x 80,000 px through the whole chain, in a process of its own.

One command, two to four minutes: `BENCH_ONLY=memory python tests/benchmarks/run.py`. It is not among those that run
without being named.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

Row = dict[str, Any]

WIDTH, HEIGHT = 100_000, 80_000


def rows() -> list[Row]:
    """Resident memory of the process at four moments, and its peak."""
    from wsi_features.slides.synthetic import SlideSpec, write_slide

    with tempfile.TemporaryDirectory() as name:
        slide = Path(name) / "slide.svs"
        write_slide(slide, SlideSpec(width=WIDTH, height=HEIGHT, seed=1))
        code = "import sys, wsi_features; print(len(wsi_features.embed(sys.argv[1], out=sys.argv[2])))"
        start = time.perf_counter()
        with subprocess.Popen([sys.executable, "-c", code, str(slide), f"{name}/out"], stdout=subprocess.PIPE) as child:
            sizes: list[float] = []
            while child.poll() is None:
                sizes.append(_resident_mib(child.pid))
                time.sleep(0.25)
            assert child.stdout is not None
            tiles = int(child.stdout.read().split()[-1])
        seconds = time.perf_counter() - start
    table = [{"name": f"{WIDTH} x {HEIGHT} px, {tiles} tiles, histo-texture", "value": seconds, "unit": "s"}]
    for share in (0.25, 0.5, 0.75, 0.95):
        at = sizes[int(share * len(sizes))]
        table.append({"name": f"memory after {share:.0%} of the time", "value": at, "unit": "MiB"})
    table.append({"name": "most memory", "value": max(sizes), "unit": "MiB", "limit": 2048})
    return table


def _resident_mib(pid: int) -> float:
    """0 for a process that has just ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    lines = [line for line in text.splitlines() if line.startswith("VmRSS")]
    return int(lines[0].split()[1]) / 1024 if lines else 0.0
