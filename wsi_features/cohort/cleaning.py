"""What may be deleted from an output folder: nothing that the last run refers to."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from wsi_features.cohort.keep import KIND, recorded_marks
from wsi_features.cohort.manifest import manifest_of_output
from wsi_features.cohort.marks import about_marks
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.status import statuses
from wsi_features.errors import ArtifactError
from wsi_features.store import abandoned, find_stores, slide_of

_OF_RUNS = (KIND, "annotation")
"""What the marks of runs are named; other names are a person's, for prompts or a choice of their own."""


def leftovers(out: Outputs) -> list[Path]:
    """Stores of feature sets that no record names, work of dead writers, and files of slides that left the manifest.

    With them the marks of earlier thresholds, and those of feature sets that no record names. Raises OutputError.
    """
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
    marks = _old_marks(out, sets)
    strays += [path for path in out.marks.glob("*/*.parquet") if path.stem not in ids and path.parent not in marks]
    return sorted([*stores, *abandoned(out.features), *marks, *strays])


def _old_marks(out: Outputs, sets: set[str]) -> list[Path]:
    """Folders of marks that the last run did not make though they are named like a run's, or whose stores are of earlier recipes."""
    recorded = recorded_marks(out)
    of_runs = _OF_RUNS if recorded else ()  # without the records of any marks nobody knows
    return [
        folder
        for folder in out.marks.glob("*")
        if folder.name not in recorded
        and (folder.name.partition("__")[0] in of_runs or (sets and _feature_set(folder) not in {None, *sets}))
    ]


def _feature_set(folder: Path) -> str | None:
    """That of the marks in a folder; None where they do not say."""
    for path in folder.glob("*.parquet"):
        try:
            found: str | None = about_marks(path).get("feature_set")
        except ArtifactError:
            continue
        return found
    return None


def remove(paths: Iterable[Path]) -> None:
    """Delete files and folders, and the folders above that are empty then."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
