"""The device stage: uint8 tiles to feature rows, beside the bare network on tensors that are there already.

One command on any machine: `BENCH_ONLY=device python tests/benchmarks/run.py`. Without a GPU
its rows are left out, saying so. Runs take turns, and the shortest of each counts, since
other programs on the machine only ever make a run longer. Weights are random.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_features.encode.build import build
from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.device.fixed import Acceleration
from wsi_features.encode.encoder import Encoder
from wsi_features.tiles.grid import TileBatch

if TYPE_CHECKING:
    import torch

Row = dict[str, Any]

SMALL = "vit_small_patch16_224"
LARGER = ("vit_small_patch16_224", "vit_large_patch16_224", "vit_huge_patch14_224", "vit_giant_patch14_224")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
ACCELERATIONS: tuple[Acceleration, ...] = ("none", "graph", "compile")
TILES, ROUNDS = 32, 4
LEAST_RATIO = {"engine fp32": 0.95, "engine bf16": 1.7}
"""Alarms: fewest tiles for each of the bare fp32 network. Measured on two cores of an EPYC (Zen 4): 1.08 and 2.0."""


def rows() -> list[Row]:
    """One row a figure: name, value, unit, and the ratio to the bare network in the same precision."""
    import torch

    table = [*_host_rows(), *_start_rows()]
    if not torch.cuda.is_available():
        return [*table, {"name": "no GPU here: its rows are left out", "value": 0, "unit": "-"}]
    return [*table, *_gpu_rows()]


def card(model: str) -> EncoderCard:
    """A card of one of timm's networks, for 256 px tiles."""
    import timm

    width = timm.create_model(model, num_classes=0).num_features
    return EncoderCard(
        name=f"timm:{model}",
        builder="timm",
        arguments={"model": model},
        tile_px=256,
        tile_mpp=0.5,
        mpp_range=(0.4, 0.6),
        input_px=224,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        output="pooled",
        dim=width,
        licence="-",
        source="timm",
    )


@contextmanager
def weights(model: str) -> Iterator[Path]:
    """A file of random weights."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_file(timm.create_model(model, num_classes=0).state_dict(), path)
        yield path


def tiles(count: int, size: int) -> TileBatch:
    """Smooth colours that differ from tile to tile, under noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(90, 230, (count, 8, 8, 3)).repeat(size // 8, axis=1).repeat(size // 8, axis=2)
    pixels = (coarse + rng.normal(0, 10, coarse.shape)).clip(0, 255).astype(np.uint8)
    return TileBatch(pixels, np.arange(count), np.ones(count, np.bool_))


def _host_rows() -> Iterator[Row]:
    """The CPU, on all cores of this process."""
    import torch

    cores = len(os.sched_getaffinity(0))
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    with weights(SMALL) as path:
        made = partial(build, card(SMALL), weights=path, device="cpu", workers=cores)
        engines: dict[str, Encoder] = {f"engine {p}": made(precision=p) for p in PRECISIONS}
        network = _bare(SMALL, path)
    read, fitting = tiles(TILES, 256), tiles(TILES, 224)
    image = (torch.from_numpy(fitting.pixels).permute(0, 3, 1, 2).contiguous() / 255 - 0.5) / 0.5
    work: dict[str, Callable[[], object]] = {
        f"bare fp32, {n} tiles at once": partial(_forward, network, image, n) for n in (8, 16)
    }
    work["bare fp32, one core each"] = partial(_forward_apart, network, image, cores)
    work |= {name: partial(_features, engine, fitting) for name, engine in engines.items()}
    work["engine fp32, tiles resized from 256 px"] = partial(_features, engines["engine fp32"], read)
    seconds = _taking_turns(work)
    bare = min(spent for name, spent in seconds.items() if name.startswith("bare"))
    for name, spent in seconds.items():
        ratio = bare / spent
        limit = bare / LEAST_RATIO[name] / TILES * 1e3 if name in LEAST_RATIO else None
        yield {"name": f"ViT-S, CPU, {name}", "value": spent / TILES * 1e3, "unit": "ms/tile", "ratio": ratio} | (
            {"limit": limit} if limit else {}
        )
    exact = _forward(network, image, TILES)
    for name, engine in engines.items():
        closeness = _centred_cosine(exact, _features(engine, fitting)).min()
        yield {"name": f"ViT-S, CPU, {name}: least centred cosine", "value": closeness, "unit": "-"}
        engine.close()
    torch.set_num_threads(before)


def _start_rows() -> Iterator[Row]:
    """From the card to the first rows, when torch and timm are imported already."""
    known = card(SMALL)
    with weights(SMALL) as path:
        start = time.perf_counter()
        engine = build(known, weights=path, device="cpu", workers=2)
        built = time.perf_counter()
        _features(engine, tiles(8, 256))
        yield {"name": "ViT-S, CPU: building after imports", "value": built - start, "unit": "s", "limit": 1.5}
        yield {"name": "ViT-S, CPU: first 8 tiles after that", "value": time.perf_counter() - built, "unit": "s"}
        engine.close()


def _gpu_rows() -> Iterator[Row]:
    for model in LARGER:
        with weights(model) as path:
            for precision in PRECISIONS[1:]:
                for batch in (64, 256):
                    yield from _gpu_block(model, path, precision, batch)


def _gpu_block(model: str, path: Path, precision: Precision, batch: int) -> Iterator[Row]:
    """The resident network, then the engine, plain and accelerated, with two batches in flight."""
    import torch

    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    network = _bare(model, path).to("cuda", dtype)
    image = torch.randn(batch, 3, 224, 224, device="cuda", dtype=dtype)
    bare = _steady(partial(_forward_on_gpu, network, image))
    label = f"{model}, {precision}, batches of {batch}"
    yield {"name": f"{label}: resident tensors", "value": batch / bare, "unit": "tiles/s"}
    batches = [tiles(batch, 256) for _ in range(3)]
    for acceleration in ACCELERATIONS:
        engine = build(
            card(model), weights=path, precision=precision, device="cuda", workers=4, acceleration=acceleration
        )
        spent = _steady(partial(_stream, engine, batches)) / len(batches)
        engine.close()
        name = f"{label}: engine, {acceleration}{', given up' if engine.notes else ''}"
        yield {"name": name, "value": batch / spent, "unit": "tiles/s", "ratio": bare / spent}


def _bare(model: str, path: Path) -> torch.nn.Module:
    import timm
    from safetensors.torch import load_file

    network: torch.nn.Module = timm.create_model(model, num_classes=0).eval().requires_grad_(requires_grad=False)
    network.load_state_dict(load_file(path))
    return network


def _forward(network: torch.nn.Module, image: torch.Tensor, at_once: int) -> npt.NDArray[np.float32]:
    """Plain torch, all cores on each product."""
    import torch

    with torch.inference_mode():
        return np.concatenate([network(part).numpy() for part in torch.split(image, at_once)])


def _forward_apart(network: torch.nn.Module, image: torch.Tensor, cores: int) -> None:
    """Plain torch, each core with tiles of its own: the better way where other programs disturb."""
    import torch

    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as executor:
        list(executor.map(partial(_forward, network, at_once=8), torch.split(image, 8)))
    torch.set_num_threads(cores)


def _forward_on_gpu(network: torch.nn.Module, image: torch.Tensor) -> None:
    import torch

    with torch.inference_mode():
        network(image)
    torch.cuda.synchronize()


def _features(engine: Encoder, batch: TileBatch) -> npt.NDArray[np.float32]:
    return engine.submit(batch).rows()


def _stream(engine: Encoder, batches: list[TileBatch]) -> None:
    """As the embedding loop does it: the next batch is submitted before the last one is waited for."""
    waiting: deque[Any] = deque()
    for batch in batches:
        waiting.append(engine.submit(batch))
        if len(waiting) > 2:
            waiting.popleft().rows()
    while waiting:
        waiting.popleft().rows()


def _taking_turns(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, run in work.items():
            spent[name].append(_timed(run))
    return {name: min(seconds) for name, seconds in spent.items()}


def _steady(run: Callable[[], object], rounds: int = 10) -> float:
    """Seconds of one run once warm."""
    for _ in range(3):
        run()
    return min(_timed(run) for _ in range(rounds))


def _timed(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _centred_cosine(exact: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Cosine of each row after subtracting the mean feature: what tells tiles apart."""
    a, b = (rows.astype(np.float64) - exact.mean(axis=0, dtype=np.float64) for rows in (exact, found))
    cosines: npt.NDArray[np.float64] = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    return cosines
