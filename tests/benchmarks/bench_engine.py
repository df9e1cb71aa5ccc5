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
from dataclasses import dataclass
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
from wsi_features.tiles import TileBatch, TileTable, tile_batches

Row = dict[str, Any]

ROUNDS, SMALL_SLIDES, DIM = 3, 6, 1024


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

    weights_digest, precision, device, notes = "", "fp32", "cpu", ()

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
        return found + _shard(folder)


def _rates(folder: Path, slide: list[ManifestRow], mpp: float) -> Iterator[Row]:
    name = "native" if mpp == 0.25 else "2x"
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
def _prepared(folder: Path, slides: list[ManifestRow], mpp: float, stain: str) -> Iterator[tuple[Config, Outputs]]:
    """Everything before the embed stage."""
    out = Outputs(folder / f"out-{mpp}-{stain}-{len(slides)}")
    # histo-texture's card only takes 0.5 um/px; a null encoder takes any.
    config = Config(tiles={"mpp": mpp, "size": 256}, stain={"method": stain}, encoders=[str(_card(folder))])
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
    shutil.rmtree(out.root / "features", ignore_errors=True)
    embedding = Embedding(encoder_plans(config)[0], config, out)
    embedding._encoder = NullEncoder(embedding.plan.card)
    with EmbeddingPass([embedding], config, Silent(), Meter(), lambda _: nullcontext()) as embedding_pass:
        ended = [result.status for _, result in embedding_pass.results(slides)]
    embedding.close()
    if set(ended) - {"ok", "empty"}:
        raise RuntimeError(f"the stage ended with {ended}")


def _timed(work: partial[None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
