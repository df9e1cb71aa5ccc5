"""Exports of one store of 20,000 tiles x 1,536 features in half precision (61 MB): seconds and memory, a process each.

Memory is the most anonymous memory beyond that before the export: of tensors, the rows that torch writes lie in a file
that is mapped, which the system may drop. The twin is what one would write by hand: the whole array read, and saved.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]

ROWS, DIM, ACROSS, SPAN = 20_000, 1536, 160, 512
ALL = ("clam", "trident", "patho-bench", "stamp", "eva", "slideflow", "spatialdata", "anndata", "hf")
PLAIN = ("pt", "npy", "safetensors", "csv")


def rows() -> list[Row]:
    """One row a format, and the twin of `npy`."""
    with tempfile.TemporaryDirectory() as name:
        _write_store(Path(name))
        table = []
        for kind in (*ALL, *PLAIN, "numpy by hand"):
            done = subprocess.run([sys.executable, __file__, kind, name], stdout=subprocess.PIPE, check=True, text=True)
            table.append({"name": kind, "unit": "s", **json.loads(done.stdout)})
    return table


def _write_store(folder: Path) -> None:
    from wsi_features.geometry import Mpp, SlidePx
    from wsi_features.store import Provenance, StoreContent, StoreWriter

    fields: dict[str, Any] = {"recipes": {}, "fingerprints": {}, "versions": {}, "slide_properties": {}}
    fields |= {"slide_id": "s1", "slide_fingerprint": "cd" * 32, "fingerprint": "ab" * 32, "weights_sha256": ""}
    fields |= {"mpp_native": Mpp(0.25), "mpp_asked": Mpp(0.5), "mpp_effective": Mpp(0.5), "mpp_source": "manifest"}
    fields |= {"tile_px": 256, "span": SlidePx(SPAN), "step": SlidePx(SPAN), "level": 1, "level_downsample": 2.0}
    fields |= {"resize": 1.0, "slide_size": (ACROSS * SPAN, 200 * SPAN), "encoder": {"name": "tiny"}, "licence": "CC0"}
    fields |= {"precision": "fp16", "stain": {"method": "none"}, "device": "cpu", "status": "ok"}
    numbers = np.arange(ROWS)
    grid = np.stack([numbers % ACROSS, numbers // ACROSS], axis=1).astype(np.int32)
    nothing = np.empty((ROWS, 0), np.float32)
    content = StoreContent(grid.astype(np.int64) * SPAN, grid, nothing, (), DIM, "float16", Provenance(**fields))
    random = np.random.default_rng(0)
    with StoreWriter(folder / "a__b__c__0123abcd" / "s1.zarr", content) as writer:
        for start in range(0, ROWS, 4000):
            block = random.standard_normal((min(4000, ROWS - start), DIM), dtype=np.float32)
            writer.append(block, np.ones(len(block), np.bool_))
        writer.commit()


def _anonymous_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def _export(kind: str, folder: Path) -> Row:
    """Run in a process of its own, with libraries loaded before the clock starts."""
    import torch  # noqa: F401 - it takes longer to load than most exports

    from wsi_features.cohort.exports.formats import FORMATS
    from wsi_features.cohort.exports.rows import ExportedSlide
    from wsi_features.cohort.exports.target import Target
    from wsi_features.store import FeatureStore

    store = FeatureStore.open(folder / "a__b__c__0123abcd" / "s1.zarr")
    store.features[:1]
    before, peak, done = _anonymous_mib(), [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], _anonymous_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    start = time.perf_counter()
    if kind == "numpy by hand":
        np.save(folder / "by_hand.npy", store.features[:][store.valid])
    else:
        FORMATS[kind].write(ExportedSlide.of(store), Target(folder / kind, "tiny"))
    seconds = time.perf_counter() - start
    done.set()
    thread.join()
    return {"value": seconds, "peak_mib": max(0.0, peak[0] - before)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_export(sys.argv[1], Path(sys.argv[2]))))
