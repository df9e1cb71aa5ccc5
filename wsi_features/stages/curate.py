"""Curation: which tiles of finished stores stand for their slides, as marks beside them.

Nothing is embedded anew and no slide is opened: colours come from the thumbnails that the tissue stage left.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.marks import Marks, read_marks, write_marks
from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import ArtifactError, CurationError
from wsi_features.recipe import Json, digest, fingerprint
from wsi_features.stages.thumbnails import thumbnail_of
from wsi_features.store import FeatureStore
from wsi_features.tiles.curation import cellular_rows, farthest_rows, mosaic_rows, spread_rows

CURATE_VERSION = 1
"""Method version of the choice."""

DENSITY = "nuclei_per_mm2"
"""The column of a store that cellularity is judged by."""

Method = Literal["kmeans", "farthest", "cellularity", "cap"]


@dataclass(frozen=True, slots=True)
class CurateRequest:
    """What `wsi-features curate` is asked for: a number of tiles a slide, or a percentage of its valid tiles."""

    method: Method
    tiles: int | None = None
    percent: float | None = None
    seed: int = 0
    name: str | None = None
    feature_set: str | None = None

    def __post_init__(self) -> None:
        if (self.tiles is None) == (self.percent is None):
            raise CurationError.one_number(self.tiles, self.percent)

    def count(self, tiles: int) -> int:
        """How many of `tiles` are to be chosen; a percentage is rounded up."""
        if self.tiles is not None:
            return min(self.tiles, tiles)
        return min(tiles, math.ceil(tiles * (self.percent or 0) / 100 - 1e-9))

    def recipe(self) -> Json:
        """What decides the choice."""
        return {"method": self.method, "tiles": self.tiles, "percent": self.percent, "seed": self.seed}


def curated(out: Outputs, asked: CurateRequest) -> Iterator[str]:
    """Choose tiles of every store of one feature set; yields what was done. Raises UsageError, and SlideError.

    The marks have one column `keep`, 1 for a chosen tile and 0 for the others. Those that are there
    already with the same fingerprint are left as they are.
    """
    cohort = Cohort.open(out.root, asked.feature_set)
    folder, recipe = _folder(asked, cohort.feature_set), asked.recipe()
    slides = made = kept = 0
    for store in cohort:
        slides += 1
        path = out.marks_of_slide(folder, store.provenance.slide_id)
        upstream = [store.fingerprint]
        wanted = fingerprint("curate", CURATE_VERSION, recipe, upstream, store.provenance.slide_fingerprint)
        try:
            marks = read_marks(path, store, wanted)
        except ArtifactError:
            keep = kept_tiles(out, store, asked)
            about = recipe | {"feature_set": cohort.feature_set}
            marks = Marks("keep", wanted, store.fingerprint, ("keep",), keep[:, None].astype(np.float32), about)
            write_marks(path, marks)
            made += 1
        kept += int(marks.values.sum())
    yield f"{folder}: {kept} tiles of {slides} slides chosen by {asked.method}, {made} slides of them now"


def kept_tiles(out: Outputs, store: FeatureStore, asked: CurateRequest) -> npt.NDArray[np.bool_]:
    """Whether each tile of a store is chosen, (n,); one that could not be read never is. Raises UsageError or ArtifactError."""
    valid = np.flatnonzero(store.valid)
    if asked.method == "cellularity":
        if DENSITY not in store.columns:
            raise CurationError.no_column(str(store.path), DENSITY, list(store.columns))
        valid = valid[np.isfinite(store.columns[DENSITY][valid])]
    keep = np.zeros(len(store), np.bool_)
    count = asked.count(len(valid))
    if count:
        keep[valid[_chosen(out, store, asked, valid, count)]] = True
    return keep


def _chosen(
    out: Outputs, store: FeatureStore, asked: CurateRequest, valid: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:
    if asked.method == "cap":
        return spread_rows(store.grid[valid], count, asked.seed)
    colours = tile_colours(thumbnail_of(out, store), store)[valid]
    if asked.method == "farthest":
        return farthest_rows(colours, count, asked.seed)
    positions = store.coords[valid].astype(np.float64)
    if asked.method == "kmeans":
        return mosaic_rows(colours, positions, count, asked.seed)
    return cellular_rows(store.columns[DENSITY][valid], colours, positions, count, asked.seed)


def tile_colours(thumbnail: npt.NDArray[np.uint8], store: FeatureStore) -> npt.NDArray[np.float64]:
    """Mean red, green and blue of each tile on a thumbnail (h, w, 3) of the whole slide, float64 (n, 3).

    A tile smaller than a pixel of the thumbnail has the colour of the pixels that it touches.
    """
    height, width = thumbnail.shape[:2]
    scale = np.array([width, height]) / np.array(store.provenance.slide_size)
    low = np.floor(store.coords * scale).astype(np.int64)
    high = np.ceil((store.coords + store.provenance.span) * scale - 1e-9).astype(np.int64)
    low = np.clip(low, 0, [width - 1, height - 1])
    high = np.clip(np.maximum(high, low + 1), 1, [width, height])
    sums = np.pad(thumbnail.astype(np.int64), ((1, 0), (1, 0), (0, 0))).cumsum(axis=0).cumsum(axis=1)
    (left, top), (right, bottom) = low.T, high.T
    total = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
    return np.asarray(total / ((right - left) * (bottom - top))[:, None], np.float64)


def _folder(asked: CurateRequest, feature_set: str) -> str:
    """`<name>__<hash8>`: neither two requests nor two feature sets share one."""
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", asked.name or asked.method).strip(".-") or "curated"
    about = {"recipe": asked.recipe(), "feature_set": feature_set, "version": CURATE_VERSION}
    return f"{slug}__{digest(about)[:8]}"
