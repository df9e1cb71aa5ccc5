"""Keep marks: which tiles of a store a cohort uses, by thresholds on its columns, and why the others are left out.

A tile that is not valid is never kept. A column that could not be measured on a tile (NaN) speaks against no tile.
Thresholds are plain values here, `{column: {"min": low, "max": high}}`, both ends included.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.manifest import manifest_of_output
from wsi_features.cohort.marks import Marks, marks_named, read_marks, write_marks
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import read_record
from wsi_features.errors import ArtifactError, ThresholdError
from wsi_features.recipe import Json, digest, fingerprint
from wsi_features.store import FeatureStore

KIND = "keep"
KEEP_VERSION = 1
"""Method version of the marks."""

KEEP, INVALID = "keep", "invalid"
_SIDES = {"min": "low", "max": "high"}

Recorded = Mapping[str, Mapping[str, Any]]
"""What the marks stage said of its last run: slide -> feature set -> folder and counts."""


def kept_columns(
    columns: Mapping[str, npt.NDArray[np.float32]], valid: npt.NDArray[np.bool_], limits: Json
) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """Names and values, float32 (n, c), of the marks of n tiles: 1 in `keep` for the tiles to use, else 0.

    1 in `invalid`, `<column>_low` or `<column>_high` says why not; several may hold. Raises KeyError for a column that
    was not measured.
    """
    reasons = {INVALID: ~valid}
    for name, ends in sorted(limits.items()):
        values = columns[name]
        for end, bound in sorted(ends.items()):
            wrong = values < np.float32(bound) if end == "min" else values > np.float32(bound)
            reasons[f"{name}_{_SIDES[end]}"] = wrong & valid
    against = np.stack(list(reasons.values()), axis=1)
    keep = ~against.any(axis=1, keepdims=True)
    return (KEEP, *reasons), np.concatenate([keep, against], axis=1).astype(np.float32)


def write_keep_marks(out: Outputs, store: FeatureStore, limits: Json, name: str = KIND) -> Json:
    """Write the keep marks of one store, unless they are there, and say what they hold.

    Raises ThresholdError where the store lacks a column.
    """
    slide_id, feature_set = store.provenance.slide_id, store.path.parent.name
    folder = keep_folder(feature_set, limits, name)
    path = out.marks_of_slide(folder, slide_id)
    recipe = {"thresholds": limits}
    wanted = fingerprint("marks", KEEP_VERSION, recipe, [store.fingerprint], store.provenance.slide_fingerprint)
    try:
        marks = read_marks(path, store, wanted)
    except ArtifactError:
        try:
            names, values = kept_columns(store.columns, store.valid, limits)
        except KeyError as error:
            raise ThresholdError.not_measured(str(store.path), str(error.args[0])) from None
        marks = Marks(KIND, wanted, store.fingerprint, names, values, recipe | {"feature_set": feature_set})
        write_marks(path, marks)
    return {"folder": folder, "fingerprint": wanted} | keep_counts(marks)


def keep_folder(feature_set: str, limits: Json, name: str = KIND) -> str:
    """`<name>__<hash8>`: neither two sets of thresholds nor two feature sets share one."""
    return f"{name}__{digest({'thresholds': limits, 'feature_set': feature_set, 'version': KEEP_VERSION})[:8]}"


def keep_counts(marks: Marks) -> Json:
    """How many tiles there are, how many are kept, and how many each reason speaks against."""
    counts = [int(count) for count in marks.values.sum(axis=0, dtype=np.float64)]
    found = dict(zip(marks.columns, counts, strict=True))
    return {"tiles": len(marks.values), "kept": found.pop(KEEP), "reasons": found}


def kept_rows(
    out: Outputs, store: FeatureStore, name: str | None = None, last: Recorded | None = None
) -> npt.NDArray[np.bool_]:
    """Which rows (n,) of a store to use: those that its keep marks keep, else those of valid tiles.

    Without `name` the marks are those of the last run; with it those of the folder of that name, or of the only one that
    begins with it. `last` is `last_run(out)`, for callers with many stores. Raises ArtifactError where there is no such
    folder for the store, or several.
    """
    marks = marks_of_last_run(out, store, last) if name is None else marks_named(out, store, name, KIND)
    return np.asarray(marks.values[:, marks.columns.index(KEEP)] == 1) if marks else store.valid.copy()


def last_run(out: Outputs) -> Recorded:
    """What the marks stage said, read once until its records change; to see that, the dates of all of them are asked for."""
    return _recorded(out, _stamp(out))


def marks_of_last_run(out: Outputs, store: FeatureStore, last: Recorded | None = None) -> Marks | None:
    """The keep marks that the last run made of a store; None where it made none. Raises ArtifactError when they are damaged."""
    slide_id = store.provenance.slide_id
    found = (last_run(out) if last is None else last).get(slide_id, {}).get(store.path.parent.name)
    return read_marks(out.marks_of_slide(found["folder"], slide_id), store) if found else None


def recorded_marks(out: Outputs) -> set[str]:
    """The names of all folders of marks that the last run made or found right. Raises OutputError."""
    found = (marks for of_slide in last_run(out).values() for marks in of_slide.values())
    return {name for marks in found for name in (marks["folder"], marks.get("annotations")) if name}


def _stamp(out: Outputs) -> tuple[tuple[str, int], ...]:
    """Changes with the manifest and with any record of the marks stage."""
    files = (out.manifest, *sorted((out.root / "records" / "marks").glob("*.json")))
    return tuple((file.name, file.stat().st_mtime_ns) for file in files if file.is_file())


@lru_cache(maxsize=4)
def _recorded(out: Outputs, _: tuple[tuple[str, int], ...]) -> Recorded:
    manifest, slides_per_shard = manifest_of_output(out.root)
    return {
        slide_id: result.facts.get("marks", {})
        for shard in manifest.shards(slides_per_shard)
        for slide_id, result in read_record(out.record("marks", shard)).items()
    }
