"""What may be deleted from an output folder: nothing that the last run refers to."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from wsi_features.cohort.manifest import manifest_of_output
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.status import statuses
from wsi_features.store import abandoned, find_stores, slide_of


def leftovers(out: Outputs) -> list[Path]:
    """Stores of feature sets that no record names, work of dead writers, and files of slides that left the manifest. Raises OutputError."""
    manifest, slides_per_shard = manifest_of_output(out.root)
    ids = {row.slide_id for row in manifest}
    rows = statuses(manifest, slides_per_shard, out)
    sets = {Path(store).parts[1] for row in rows for store in row.stores.split(";") if store}
    stores = [
        path for path in find_stores(out.features) if sets and not (path.parent.name in sets and slide_of(path) in ids)
    ]
    strays = [path for path in (out.root / "slides").glob("*") if path.name not in ids]
    strays += [path for path in (out.root / "tiles").glob("*/*.parquet") if path.stem not in ids]
    strays += [path for path in (out.root / "stain").glob("*/*.json") if path.stem not in ids]
    strays += [path for path in out.marks.glob("*/*.parquet") if path.stem not in ids]
    return sorted([*stores, *abandoned(out.features), *strays])


def remove(paths: Iterable[Path]) -> None:
    """Delete files and folders, and the folders above that are empty then."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
