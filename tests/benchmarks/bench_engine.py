"""The whole embed stage: with an encoder that does nothing, with stain normalization, and over the border of slides.

One command: `BENCH_ONLY=engine python tests/benchmarks/run.py`. The stage reads, normalises, writes and verifies
stores; its rate is compared with that of the tile stream alone in the same run. Passes take turns, and the shortest
of each counts.
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.config import Config
from wsi_features.encode.card import EncoderCard
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages.embed import EmbeddingPass
from wsi_features.stages.embedding import Embedding
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.lineage import lineage_of
from wsi_features.stages.meter import Meter
from wsi_features.stages.opened import opened
from wsi_features.stages.progress import Silent
from wsi_features.stages.shards import run_stage
from wsi_features.stages.tiles import tiles_with
from wsi_features.stain.transform import StainTransform
from wsi_features.tiles import TileBatch, TileTable, tile_batches, write_tiles

Row = dict[str, Any]

ROUNDS, SMALL_SLIDES, DIM = 3, 20, 1024


@dataclass(frozen=True, slots=True)
class Normalised:
    """Features of nothing, once the pieces of the batch are normalised."""

    pieces: Sequence[Future[Any]]
    count: int

    def rows(self) -> npt.NDArray[np.float32]:
        for piece in self.pieces:
            piece.result()
        return np.zeros((self.count, DIM), np.float32)


class NullEncoder:
    """Normalises stains on every core, as the encoders of the CPU do, and computes nothing."""

    # As most foundation models are run, so their features are stored in float16.
    weights_digest, precision, device, notes, most = "", "fp16", "cpu", (), None

    def __init__(self, card: EncoderCard) -> None:
        self.card = card.model_copy(update={"dim": DIM})
        self._cores = ThreadPoolExecutor(len(os.sched_getaffinity(0)))

    def submit(self, batch: TileBatch, stain: StainTransform | None = None) -> Normalised:
        pieces = np.array_split(batch.pixels, max(1, len(batch.pixels) // 8))
        work = [] if stain is None or stain.parameters()["method"] == "none" else pieces
        return Normalised([self._cores.submit(stain.apply, piece) for piece in work if stain], len(batch.rows))

    def close(self) -> None:
        self._cores.shutdown()


def rows(pixels: int = 30_000) -> list[Row]:
    """Tiles a second of the reader and of the stage, and seconds of a shard against its slides one by one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_slide(folder / "slide.svs", SlideSpec(width=pixels, height=pixels, seed=1))
        slide = [ManifestRow(slide_id="slide", path=str(folder / "slide.svs"))]
        found = [row for mpp in (0.25, 0.5) for row in _rates(folder, slide, mpp)]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found.append({"name": "peak memory of this process so far", "value": peak, "unit": "MiB"})
        return [*found, *_halves(folder, slide), *_shard(folder), *_network(folder, slide)]


def _rates(folder: Path, slide: list[ManifestRow], mpp: float) -> Iterator[Row]:
    name = "native" if mpp < 0.3 else "2x"
    with _prepared(folder, slide, mpp, "none") as plain, _prepared(folder, slide, mpp, "macenko") as stained:
        table = _table(slide[0], *plain)
        seconds: dict[str, list[float]] = {"reader": [], "engine": [], "macenko": []}
        for _ in range(ROUNDS):
            seconds["reader"].append(_timed(partial(_read, slide[0], table)))
            seconds["engine"].append(_timed(partial(_embed, slide, *plain)))
            seconds["macenko"].append(_timed(partial(_embed, slide, *stained)))
    rate = {what: len(table) / min(found) for what, found in seconds.items()}
    yield {"name": f"{name}: tile stream alone, {len(table)} tiles", "value": rate["reader"], "unit": "tiles/s"}
    for what, text in (("engine", "embed stage, null encoder"), ("macenko", "embed stage, null encoder, Macenko")):
        ratio = rate[what] / rate["reader"]
        yield {"name": f"{name}: {text}", "value": rate[what], "unit": "tiles/s", "ratio": ratio}


def _halves(folder: Path, slide: list[ManifestRow]) -> Iterator[Row]:
    """The tiles of a slide against every second of their rows: twice the tissue must take twice the time."""
    with _prepared(folder, slide, 0.5, "none") as (config, out):
        whole = _table(slide[0], config, out)
        kept = whole.grid.index[:, 1] < np.median(whole.grid.index[:, 1])
        part = replace(whole, grid=whole.grid.keep(kept), tissue_share=whole.tissue_share[kept])
        path = out.tiles(encoder_plans(config)[0].tiling, "slide")
        seconds: dict[int, list[float]] = {len(whole): [], len(part): []}
        for _ in range(ROUNDS):
            for table in (whole, part):
                write_tiles(path, table)
                seconds[len(table)].append(_timed(partial(_embed, slide, config, out)))
    per_tile = {count: min(found) / count * 1e3 for count, found in seconds.items()}
    for count, ms in per_tile.items():
        yield {
            "name": f"embed stage, {count} tiles",
            "value": ms,
            "unit": "ms/tile",
            "ratio": ms / per_tile[len(whole)],
        }


def _network(folder: Path, slide: list[ManifestRow]) -> Iterator[Row]:
    """The whole stage with ViT-S/16 on the CPU against the bare forward passes on the same tiles in memory."""
    import bench_device as device
    import torch

    cores = len(os.sched_getaffinity(0))
    with device.weights(device.SMALL) as weights:
        network = device._bare(device.SMALL, weights)
        for precision in ("fp32", "bf16"):
            choice = {"name": f"timm:{device.SMALL}", "weights": str(weights), "precision": precision}
            with _prepared(folder, slide, 0.5, "none", choice) as (config, out):
                table = _table(slide[0], config, out)
                if precision == "fp32":
                    tiles = _tiles(slide[0], table)
                    image = (torch.from_numpy(tiles).permute(0, 3, 1, 2).contiguous() / 255 - 0.5) / 0.5
                    works = {
                        "torch's own threads": partial(device._forward, network, image, 16),
                        "one core each": partial(device._forward_apart, network, image, cores),
                    }
                    bare = {name: _timed(work) for name, work in works.items()}
                    for name, spent in bare.items():
                        row = {"name": f"ViT-S bare fp32, {name}", "value": spent / len(tiles) * 1e3, "unit": "ms/tile"}
                        yield row
                    exact = min(bare.values())
                embedding = Embedding(encoder_plans(config)[0], config, out)
                assert embedding.encoder  # built before the clock starts
                spent = _timed(partial(_embed_with, embedding, slide, config, out))
            name = f"ViT-S {precision}, whole embed stage of {len(table)} tiles"
            yield {"name": name, "value": spent / len(table) * 1e3, "unit": "ms/tile", "ratio": spent / exact}


def _tiles(row: ManifestRow, table: TileTable) -> npt.NDArray[np.uint8]:
    batches = tile_batches(partial(opened, row), table.grid, table.scale, Config().read, batch=64, workers=2)
    return np.concatenate([batch.pixels for batch in batches])


def _shard(folder: Path) -> list[Row]:
    """Slides in one pass against the same slides each in a pass of its own."""
    slides = []
    for k in range(SMALL_SLIDES):
        write_slide(folder / f"s{k}.svs", SlideSpec(width=8192, height=6144, seed=k))
        slides.append(ManifestRow(slide_id=f"s{k}", path=str(folder / f"s{k}.svs")))
    with _prepared(folder, slides, 0.5, "none") as ready:
        together = min(_timed(partial(_embed, slides, *ready)) for _ in range(ROUNDS))
        apart = [min(_timed(partial(_embed, [row], *ready)) for _ in range(ROUNDS)) for row in slides]
    name = f"{SMALL_SLIDES} slides in one pass / the sum of them"
    return [{"name": name, "value": together, "unit": "s", "limit": sum(apart), "ratio": together / sum(apart)}]


@contextmanager
def _prepared(
    folder: Path, slides: list[ManifestRow], mpp: float, stain: str, encoder: dict[str, str] | None = None
) -> Iterator[tuple[Config, Outputs]]:
    """Everything before the embed stage, for an encoder or for one that computes nothing."""
    out = Outputs(folder / f"out-{mpp}-{stain}-{len(slides)}")
    # histo-texture's card only takes 0.5 um/px; a null encoder takes any.
    tiles = {"mpp": mpp, "size": "auto" if encoder else 256}
    chosen = {"stain": {"method": stain}, "encoders": [encoder or str(_card(folder))]}
    config = Config(tiles=tiles, quality={"measure": False}, **chosen)  # bench_quality has what measuring takes
    for stage in ("tissue", "tiles", "stain"):
        run_stage(stage, {"00000": slides}, config, out, Silent())
    yield config, out
    shutil.rmtree(out.root)


def _card(folder: Path) -> Path:
    import yaml

    from wsi_features.encode.registry import card_named

    card = card_named("histo-texture").model_copy(update={"name": "null", "mpp_range": (0.2, 0.6)})
    path = folder / "null.yaml"
    path.write_text(yaml.safe_dump(card.model_dump(mode="json")))
    return path


def _table(row: ManifestRow, config: Config, out: Outputs) -> TileTable:
    plan = encoder_plans(config)[0]
    return tiles_with(row.slide_id, out, plan.tiling, lineage_of(row).tiles(config, plan.tiles))


def _read(row: ManifestRow, table: TileTable) -> None:
    config = Config()
    workers = len(os.sched_getaffinity(0))
    opener = partial(opened, row)
    for _ in tile_batches(opener, table.grid, table.scale, config.read, batch=config.tuning.batch, workers=workers):
        pass


def _embed(slides: list[ManifestRow], config: Config, out: Outputs) -> None:
    embedding = Embedding(encoder_plans(config)[0], config, out)
    embedding._encoder = NullEncoder(embedding.plan.card)
    _embed_with(embedding, slides, config, out)


def _embed_with(embedding: Embedding, slides: list[ManifestRow], config: Config, out: Outputs) -> None:
    shutil.rmtree(out.root / "features", ignore_errors=True)
    with EmbeddingPass([embedding], config, Silent(), Meter(), lambda _: nullcontext()) as embedding_pass:
        ended = [result.status for _, result in embedding_pass.results(slides)]
    embedding.close()
    if set(ended) - {"ok", "empty"}:
        raise RuntimeError(f"the stage ended with {ended}")


def _timed(work: partial[None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
