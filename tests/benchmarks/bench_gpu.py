"""A shard of slides through large networks on a GPU: tiles a second, how busy the GPU was, and reading with nvJPEG.

One command where there is a GPU: `BENCH_ONLY=gpu python tests/benchmarks/run.py`. Random weights. The first slide
warms up; the pass that is measured goes over all slides, so their borders are part of it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

Row = dict[str, Any]

SLIDES, WIDTH, BATCH = 4, 20_480, 256
NETWORKS = (("vit_large_patch16_224", "fp16"), ("vit_large_patch16_224", "bf16"), ("vit_huge_patch14_224", "fp16"))


def rows() -> list[Row]:
    """Nothing but a word where there is no GPU."""
    import torch

    if not torch.cuda.is_available():
        return [{"name": "no GPU here: nothing is measured", "value": 0, "unit": "-"}]
    from wsi_features.cohort.manifest import ManifestRow
    from wsi_features.slides.synthetic import SlideSpec, write_slide

    with tempfile.TemporaryDirectory() as name:
        folder, slides = Path(name), []
        for k in range(SLIDES):
            write_slide(folder / f"s{k}.svs", SlideSpec(width=WIDTH, height=WIDTH, seed=k))
            slides.append(ManifestRow(slide_id=f"s{k}", path=str(folder / f"s{k}.svs")))
        found = [row for model, precision in NETWORKS for row in _passes(folder, slides, model, precision)]
        return [*_reading(slides), *found]


def _passes(folder: Path, slides: list[Any], model: str, precision: str) -> Iterator[Row]:
    """The resident network, then the whole stage with pixels decoded on the CPU and on the GPU."""
    import bench_device as device
    import torch

    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    with device.weights(model) as weights:
        network = device._bare(model, weights).to("cuda", dtype)
        image = torch.randn(BATCH, 3, 224, 224, device="cuda", dtype=dtype)
        bare = BATCH / device._steady(partial(device._forward_on_gpu, network, image))
        del network
        label = f"{model}, {precision}"
        yield {"name": f"{label}: resident tensors", "value": bare, "unit": "tiles/s"}
        for decode in ("exact", "nvjpeg"):
            for acceleration in ("none", "compile"):
                choice = {"name": f"timm:{model}", "weights": str(weights), "precision": precision}
                rate, busy = _pass(folder, slides, choice, decode, acceleration)
                name = f"{label}: embed stage, decode {decode}, {acceleration}"
                yield {"name": name, "value": rate, "unit": "tiles/s", "ratio": rate / bare}
                yield {"name": f"{name}: GPU busy", "value": busy, "unit": "share", "limit": 0.95}


def _pass(
    folder: Path, slides: list[Any], choice: dict[str, str], decode: str, acceleration: str
) -> tuple[float, float]:
    from wsi_features.cohort.outputs import Outputs
    from wsi_features.config import Config
    from wsi_features.stages.embed import EmbeddingPass
    from wsi_features.stages.embedding import Embedding
    from wsi_features.stages.encoders import encoder_plans
    from wsi_features.stages.meter import Meter
    from wsi_features.stages.progress import Silent
    from wsi_features.stages.shards import run_stage

    tuning = {"device": "cuda", "batch": BATCH, "acceleration": acceleration}
    config, out = (
        Config(encoders=[choice], read={"decode": decode}, quality={"measure": False}, tuning=tuning),
        Outputs(folder / "out"),
    )
    for stage in ("tissue", "tiles", "stain"):
        run_stage(stage, {"00000": slides}, config, out, Silent())
    embedding = Embedding(encoder_plans(config)[0], config, out)
    try:
        for group in (slides[:1], slides):
            shutil.rmtree(out.root / "features", ignore_errors=True)
            before = embedding.share.model if embedding.share else 0.0
            meter, start = Meter(), time.perf_counter()
            with EmbeddingPass([embedding], config, Silent(), meter, lambda _: nullcontext()) as embedding_pass:
                ended = [result.status for _, result in embedding_pass.results(group)]
            seconds = time.perf_counter() - start
        if set(ended) != {"ok"}:
            raise RuntimeError(f"the stage ended with {ended}")
        assert embedding.share is not None
        return meter.tiles / seconds, (embedding.share.model - before) / seconds
    finally:
        embedding.close()


def _reading(slides: list[Any]) -> Iterator[Row]:
    """The tile stream alone, on all cores."""
    from wsi_features.encode.device.jpeg import device_jpeg
    from wsi_features.slides import open_slide
    from wsi_features.tiles import ReadRecipe, regular_grid, tile_scale
    from wsi_features.tiles.source import TileSource
    from wsi_features.tiles.stream import tile_stream

    slide, cores = open_slide("s0", Path(slides[0].path)), len(os.sched_getaffinity(0))
    for asked, what in ((0.25, "native"), (0.5, "2x")):
        downsamples = [level.downsample for level in slide.levels]
        scale = tile_scale("s0", downsamples, native=0.25, asked=asked, size=256)
        grid = regular_grid(slide.levels[0].size, scale)
        for decoder in (None, device_jpeg("cuda")):
            source = TileSource("s0", slide.reopened, grid, scale, ReadRecipe(), decoder=decoder)
            start = time.perf_counter()
            for _ in tile_stream([source], batch=BATCH, workers=cores, memory_mib=2048):
                pass
            rate = len(grid) / (time.perf_counter() - start)
            name = f"tile stream, {what}, {cores} cores, {'nvJPEG' if decoder else 'libjpeg-turbo'}"
            yield {"name": name, "value": rate, "unit": "tiles/s"}
