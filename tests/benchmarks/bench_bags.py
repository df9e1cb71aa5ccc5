"""Bags for training: 20,000 x 1,536 float16 read whole and 4,096 rows of it, beside npy, HDF5 as TRIDENT writes it, and Zarr.

All ways take turns, so that a busy machine disturbs them alike; the best of each counts, and the page cache is warm.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "store"))

from conftest import Samples

from wsi_features.cohort.statistics import feature_statistics
from wsi_features.mil import BagDataset, BagRecipe, Loading, TileDataset, bag_loader, padded
from wsi_features.mil.bag import BagSlides
from wsi_features.mil.contract import FeatureContract
from wsi_features.mil.slides import SlideRows
from wsi_features.store import FeatureStore, raw_array
from wsi_features.store.raw import aligned_empty
from wsi_features.tiles.curation import spread_of

ROWS, DIM, SAMPLE, TURNS = 20_000, 1_536, 4_096, 9
LOADED = 24
"""Bags that a loader gives in a pass."""

Row = dict[str, Any]


def rows() -> list[Row]:
    """One row a figure; `ratio` is to npy, read the same way."""
    with tempfile.TemporaryDirectory() as folder:
        return _rows(Path(folder))


def _rows(folder: Path) -> list[Row]:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((ROWS, DIM), dtype=np.float32).astype(np.float16)
    store = FeatureStore.open(Samples.write(folder, Samples.content(ROWS, DIM), features.astype(np.float32)))
    np.save(folder / "bag.npy", features)
    _write_trident(folder / "bag.h5", features)
    wanted = np.sort(rng.choice(ROWS, SAMPLE, replace=False))
    found = _best(_whole(folder, store, _out(features)) | _sampled(folder, store, wanted, rng.permutation(wanted)))
    npy = {"all": found["all: npy"], "all but one": found["all: npy"], "4,096": found["4,096: npy, mapped"]}
    limits = {"all": 1.5, "all but one": 1.5, "4,096": 3.0}
    compared = [
        {
            "name": name,
            "value": ms,
            "unit": "ms",
            "ratio": ms / npy[name.split(":")[0]],
            "limit": limits[name.split(":")[0]],
        }
        for name, ms in found.items()
    ]
    return compared + _trained_on(store)


def _trained_on(store: FeatureStore) -> list[Row]:
    """What a worker does for a bag of that slide, and one pass of statistics over it."""
    made = FeatureContract.of_store(store.provenance, DIM)
    slide = SlideRows("s1", "p1", "", "", store.path, ROWS, DIM, ROWS, None, (), store.fingerprint, made)
    bag = BagSlides("s1", "p1", (slide,), 0)
    drawn = BagDataset((bag,), BagRecipe(max_tiles=SAMPLE), "classification", ("a",))
    curve = np.stack([np.arange(ROWS) % 140, np.arange(ROWS) // 140], axis=1).astype(np.int32)
    tiles = TileDataset.of(drawn)
    wanted = np.random.default_rng(1).choice(ROWS, 256, replace=False)
    ways: dict[str, Callable[[], object]] = {
        "curve through 20,000 tiles, once a slide": lambda: spread_of(curve),
        "item: 4,096 tiles evenly drawn, with their places": lambda: drawn[0],
        "batch: the same as float32 tensors": lambda: padded([drawn[0]], "classification"),  # type: ignore[list-item]
        "batch: 256 tiles at random": lambda: tiles.__getitems__(wanted),
        "statistics of all features": lambda: feature_statistics([(store, store.valid)]),
    }
    whole = BagDataset((bag,) * LOADED, BagRecipe())
    loaded = {
        f"loader: a whole bag as {dtype}, 2 {'threads' if start == 'threads' else 'processes'}": _loaded(
            whole, dtype, start
        )
        for dtype in ("float16", "float32")
        for start in ("threads", "fork")
    }
    return [{"name": name, "value": ms, "unit": "ms"} for name, ms in (_best(ways) | loaded).items()]


def _loaded(data: BagDataset, dtype: Any, start: Any) -> float:
    """Milliseconds a bag, of the second pass: workers are there and checksums have been compared."""
    loader = bag_loader(data, Loading(workers=2, dtype=dtype, start=start))
    for _ in range(2):
        begin = time.perf_counter()
        found = [batch["features"].shape for batch in loader]
    return (time.perf_counter() - begin) / len(found) * 1e3


def _out(features: np.ndarray[Any, Any]) -> Any:
    return aligned_empty(features.shape, features.dtype)


def _whole(folder: Path, store: FeatureStore, out: np.ndarray[Any, Any]) -> dict[str, Callable[[], object]]:
    return {
        "all: npy": lambda: np.load(folder / "bag.npy"),
        "all: raw, verified": lambda: raw_array(store.path, "features").read(),
        "all: raw, verified before": lambda: raw_array(store.path, "features").read(verify="never"),
        "all but one: raw, verified": lambda: raw_array(store.path, "features").rows(np.arange(1, ROWS), None, "first"),
        "all: raw, into memory that is there": lambda: store.raw_features.read(out),
        "all: Zarr (the slow twin)": lambda: store.features[...],
        "all: HDF5 of one-row chunks (TRIDENT)": lambda: _hdf5(folder / "bag.h5", ...),
    }


def _sampled(folder: Path, store: FeatureStore, rising: Any, any_order: Any) -> dict[str, Callable[[], object]]:
    return {
        "4,096: npy, mapped": lambda: np.load(folder / "bag.npy", mmap_mode="r")[rising],
        "4,096: raw, rising": lambda: raw_array(store.path, "features").rows(rising),
        "4,096: raw, any order": lambda: raw_array(store.path, "features").rows(any_order),
        "4,096: Zarr (the slow twin)": lambda: store.features[rising],
        "4,096: HDF5 of one-row chunks (TRIDENT)": lambda: _hdf5(folder / "bag.h5", rising),
    }


def _write_trident(path: Path, features: np.ndarray[Any, Any]) -> None:
    """As TRIDENT does: chunks of one row, no compression, growing."""
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=features, chunks=(1, DIM), maxshape=(None, DIM))


def _hdf5(path: Path, key: Any) -> object:
    import h5py

    with h5py.File(path, "r") as file:
        return file["features"][key]


def _best(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """The shortest of each in ms; all take turns."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(TURNS):
        for name, work in ways.items():
            start = time.perf_counter()
            work()
            best[name] = min(best[name], (time.perf_counter() - start) * 1e3)
    return best
