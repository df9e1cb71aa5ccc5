"""Feature stores: writing, size and reading of one bag, beside a plain npy and the one-row chunks of TRIDENT's HDF5.

Random rows are read by ascending number, as all of these formats like it best. The page cache is warm.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Mpp, SlidePx
from wsi_features.store import FeatureStore, Provenance, StoreContent, StoreWriter, layout

Row = dict[str, Any]
TILES, DIM, SAMPLE, ACROSS = 20_000, 1536, 4096, 160
CHUNKS = (1024, 2048, 4096, 8192, 16384)


def rows() -> list[Row]:
    """One row a figure: name, value, unit."""
    random = np.random.default_rng(0)
    features = random.standard_normal((TILES, DIM), np.float32)
    some = np.sort(random.choice(TILES, SAMPLE, replace=False))
    with TemporaryDirectory() as folder:
        return [
            *_npy(Path(folder), features, some),
            *_hdf5(Path(folder), features, some),
            *_stores(folder, features, some),
        ]


def _stores(folder: str, features: npt.NDArray[np.float32], some: npt.NDArray[np.int64]) -> Iterator[Row]:
    usual = layout.CHUNK_ROWS
    for chunk, suffix in (*((chunk, ".zarr") for chunk in CHUNKS), (usual, ".zarr.zip")):
        target = Path(folder) / f"{chunk}" / f"s1{suffix}"
        layout.CHUNK_ROWS = chunk
        name = f"{'zip' if suffix.endswith('zip') else 'store'}, chunks of {chunk}"
        try:
            yield _timed(f"{name}: write and commit", lambda target=target: _written(target, features), once=True)
        finally:
            layout.CHUNK_ROWS = usual
        files = [path for path in target.rglob("*") if path.is_file()] if target.is_dir() else [target]
        yield {"name": f"{name}: files", "value": len(files), "unit": ""}
        yield _size(name, files)
        stored = FeatureStore.open(target).features
        yield _timed(f"{name}: whole bag", lambda stored=stored: stored[:])
        yield _timed(f"{name}: {SAMPLE} random rows", lambda stored=stored: _picked(stored, some))


def _picked(stored: Any, some: npt.NDArray[np.int64]) -> npt.NDArray[np.float16]:
    return np.concatenate(
        [
            stored[start : start + stored.chunks[0]][some[(some >= start) & (some < start + stored.chunks[0])] - start]
            for start in range(0, len(stored), stored.chunks[0])
        ]
    )


def _npy(folder: Path, features: npt.NDArray[np.float32], some: npt.NDArray[np.int64]) -> Iterator[Row]:
    path = folder / "bag.npy"
    yield _timed("npy: write", lambda: np.save(path, features.astype(np.float16)), once=True)
    yield _size("npy", [path])
    yield _timed("npy: whole bag", lambda: np.load(path))
    yield _timed(f"npy: {SAMPLE} random rows", lambda: np.load(path, mmap_mode="r")[some])


def _hdf5(folder: Path, features: npt.NDArray[np.float32], some: npt.NDArray[np.int64]) -> Iterator[Row]:
    try:
        import h5py
    except ImportError:
        yield {"name": "HDF5: h5py is not installed", "value": float("nan"), "unit": ""}
        return
    path = folder / "bag.h5"

    def write() -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset("features", data=features.astype(np.float16), chunks=(1, DIM), maxshape=(None, DIM))

    def read(which: Any) -> Any:
        with h5py.File(path) as file:
            return file["features"][which]

    yield _timed("HDF5, chunks of 1: write", write, once=True)
    yield _size("HDF5, chunks of 1", [path])
    yield _timed("HDF5, chunks of 1: whole bag", lambda: read(slice(None)))
    yield _timed(f"HDF5, chunks of 1: {SAMPLE} random rows", lambda: read(some))


def _size(name: str, files: list[Path]) -> Row:
    return {"name": f"{name}: size", "value": sum(path.stat().st_size for path in files) / 2**20, "unit": "MiB"}


def _timed(name: str, work: Callable[[], object], *, once: bool = False) -> Row:
    """Milliseconds: the best of three, or of one where it cannot be done twice."""
    best = float("inf")
    for _ in range(1 if once else 3):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return {"name": name, "value": 1000 * best, "unit": "ms"}


def _written(target: Path, features: npt.NDArray[np.float32]) -> None:
    with StoreWriter(target, _content()) as writer:
        for start in range(0, TILES, 64):
            part = features[start : start + 64]
            writer.append(part, np.ones(len(part), np.bool_))
        writer.commit()


def _content() -> StoreContent:
    number = np.arange(TILES)
    grid = np.stack([number % ACROSS, number // ACROSS], axis=1).astype(np.int32)
    provenance = Provenance(
        slide_id="s1",
        slide_fingerprint="cd" * 32,
        fingerprint="ab" * 32,
        status="ok",
        mpp_native=Mpp(0.5),
        mpp_source="benchmark",
        mpp_asked=Mpp(0.5),
        mpp_effective=Mpp(0.5),
        tile_px=256,
        span=SlidePx(256),
        step=SlidePx(256),
        level=0,
        level_downsample=1.0,
        resize=1.0,
        slide_size=(ACROSS * 256, -(-TILES // ACROSS) * 256),
        encoder={"name": "benchmark"},
        weights_sha256="",
        licence="",
        precision="fp16",
        stain={"method": "none"},
        recipes={},
        fingerprints={},
        versions={},
        device="cpu",
        slide_properties={},
    )
    return StoreContent(
        grid.astype(np.int64) * 256,
        grid,
        np.zeros((TILES, 1), np.float32),
        ("tissue_share",),
        DIM,
        "float16",
        provenance,
    )
