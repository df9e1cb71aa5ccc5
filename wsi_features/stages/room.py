"""Room on the disk: a shard whose features cannot fit is not begun."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.errors import StorageError
from wsi_features.stages.embedding import Embedding
from wsi_features.store import bytes_of_store, bytes_of_work
from wsi_features.tiles import tile_count


def require_room(rows: Sequence[ManifestRow], embeddings: Sequence[Embedding]) -> None:
    """Raise StorageError when the stores that these slides lack need more than is free.

    What killed jobs left counts as written, and quotas are not known here: writing tells.
    """
    for folder, needed in _needed(rows, embeddings).items():
        if needed > (found := free_bytes(folder)):
            raise StorageError.no_room(str(folder), needed, found)


def free_bytes(folder: Path) -> int:
    """What may be written below `folder`, which need not be there yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    found = os.statvfs(there)
    return found.f_bavail * found.f_frsize


def _needed(rows: Sequence[ManifestRow], embeddings: Sequence[Embedding]) -> dict[Path, int]:
    needed: dict[Path, int] = {}
    for embedding in embeddings:
        out, plan = embedding.out, embedding.plan
        for row in rows:
            target = embedding.target(row.slide_id)
            if target.exists():
                continue
            count = tile_count(out.tiles(plan.tiling, row.slide_id))
            whole = bytes_of_store(count, plan.card.dim, "float32" if plan.precision == "fp32" else "float16")
            missing = max(0, whole - bytes_of_work(target))
            needed[out.features] = needed.get(out.features, 0) + missing
    return needed
