"""Start-up: from the start of a process to its first batch and its first features, and what of it imports take.

The slide has its tissue and tiles. `histo-texture` imports no torch; a timm network imports torch and timm, which no
code of ours can make faster, while the slide is opened and read ahead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

Row = dict[str, Any]

ROUNDS = 3


def rows() -> list[Row]:
    """Seconds of the shortest of some turns."""
    import bench_device as device

    from wsi_features.slides.synthetic import SlideSpec, write_slide

    with tempfile.TemporaryDirectory() as name, device.weights(device.SMALL) as weights:
        folder = Path(name)
        write_slide(folder / "slide.svs", SlideSpec(width=12_000, height=9_000, seed=1))
        found = [_shortest(str(folder), "histo-texture", "")]
        found.append(_shortest(str(folder), f"timm:{device.SMALL}", str(weights)))
    return [row for measured in found for row in measured]


def _shortest(folder: str, encoder: str, weights: str) -> list[Row]:
    begun, done, imports = min(_measured(folder, encoder, weights) for _ in range(ROUNDS))
    return [
        {"name": f"{encoder}: process start to first batch", "value": begun, "unit": "s"},
        {"name": f"{encoder}: of it not spent on imports", "value": begun - imports, "unit": "s", "limit": 1.5},
        {"name": f"{encoder}: process start to features of 64 tiles", "value": done, "unit": "s"},
    ]


def _measured(folder: str, encoder: str, weights: str) -> tuple[float, float, float]:
    start = time.time()
    command = [sys.executable, __file__, folder, encoder, weights]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(printed[-3]) - start, float(printed[-2]) - start, float(printed[-1])


def _first(folder: str, encoder: str, weights: str) -> None:
    """In a process of its own: everything before the embed stage in another, then the stage until its first features."""
    imports = 0.0
    if encoder.startswith("timm:"):
        # Known to be needed, and imported by the thread that builds the encoder in a run.
        began = time.perf_counter()
        import timm  # noqa: F401

        imports = time.perf_counter() - began
    from wsi_features.cohort.manifest import ManifestRow
    from wsi_features.cohort.outputs import Outputs
    from wsi_features.config import Config
    from wsi_features.stages.embed import EmbeddingPass
    from wsi_features.stages.embedding import Embedding
    from wsi_features.stages.encoders import encoder_plans
    from wsi_features.stages.meter import Meter
    from wsi_features.stages.progress import Silent
    from wsi_features.stages.shards import run_stage
    from wsi_features.stages.store_task import StoreTask

    rows = [ManifestRow(slide_id="slide", path=str(Path(folder) / "slide.svs"))]
    config = Config(encoders=[{"name": encoder, "weights": weights or None}])
    out = Outputs(Path(folder) / encoder.replace(":", "-"))
    if not (out.root / "tiles").exists():
        for stage in ("tissue", "tiles", "stain"):
            run_stage(stage, {"00000": rows}, config, out, Silent())

    handed_over, begun = EmbeddingPass._submit, []

    def submit(self: EmbeddingPass, part: Any, batch: Any) -> None:
        handed_over(self, part, batch)
        begun.append(time.time())

    def append(*_: object) -> None:
        sys.stdout.write(f"{begun[0]} {time.time()} {imports}\n")
        sys.stdout.flush()
        os._exit(0)

    EmbeddingPass._submit, StoreTask.append = submit, append  # type: ignore[method-assign]
    embedding = Embedding(encoder_plans(config)[0], config, out)
    with EmbeddingPass([embedding], config, Silent(), Meter(), lambda _: nullcontext()) as embedding_pass:
        list(embedding_pass.results(rows))


if __name__ == "__main__":
    _first(*sys.argv[1:])
