"""Eight workers read 500 bags twice: none of them grows, whatever has been read before."""

import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.utils.data import DataLoader

from wsi_features import mil
from wsi_features.store import layout

from . import conftest

BAGS, TILES, WORKERS = 500, 2_000, 8


def own_mib_of(bags: list[mil.Bag]) -> tuple[int, float]:
    """The worker's process, and the memory that is its own: resident without what it shares."""
    batch = mil.padded(bags)
    assert batch["features"].shape == (1, len(bags[0]), 256)
    resident, shared = map(int, Path("/proc/self/statm").read_text().split()[1:3])
    return os.getpid(), (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.full
@pytest.mark.parametrize("max_tiles", [None, 600])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create 8 worker processes")
def test_memory_of_workers_is_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_tiles: int | None) -> None:
    monkeypatch.setattr(layout, "CHUNK_ROWS", 512)
    monkeypatch.setattr(conftest, "DIM", 256)
    cohort = conftest.write_cohort(tmp_path, (TILES,) * 25)
    data = mil.BagDataset.open(cohort, None, mil.BagRecipe(max_tiles=max_tiles)).part(np.arange(BAGS) % 25)
    loader: Any = DataLoader(data, num_workers=WORKERS, collate_fn=own_mib_of, persistent_workers=True)  # type: ignore[arg-type]
    found = defaultdict(list)
    for _ in range(2):
        for process, mib in loader:
            found[process].append(mib)
    assert len(found) == WORKERS
    for sizes in found.values():
        half = len(sizes) // 2  # by then the allocator has what it needs, and every slide has been read
        assert np.mean(sizes[-10:]) < np.mean(sizes[half - 10 : half]) + 8
