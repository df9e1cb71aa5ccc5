"""The cohort: the finished feature stores of an output folder, with the status of every slide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.keep import kept_rows, last_run
from wsi_features.cohort.lazy import lazy_rows
from wsi_features.cohort.manifest import Manifest, ManifestRow, manifest_of_output
from wsi_features.cohort.outputs import Outputs, meant
from wsi_features.cohort.patients import PatientSlide, slides_by_patient
from wsi_features.cohort.relatives import tile_columns
from wsi_features.cohort.statistics import FeatureStatistics, feature_statistics
from wsi_features.cohort.status import StatusRow, statuses
from wsi_features.cohort.tile_table import TileTable
from wsi_features.errors import OutputError, StoreError
from wsi_features.store import FeatureStore, in_any_form

OPENERS = 8
"""Stores that are opened at once: small files, which network file systems are slow to give."""


@dataclass(frozen=True, slots=True)
class Cohort:
    """Slides and their features. Iterating gives the complete stores of one feature set, in manifest order."""

    out: Outputs
    manifest: Manifest
    status: tuple[StatusRow, ...]
    feature_set: str

    @classmethod
    def open(cls, path: str | Path, feature_set: str | None = None) -> Cohort:
        """Open an output folder; `feature_set` (or how its name begins) is needed where there are several.

        Raises OutputError when the folder is none, or the feature set is not clear.
        """
        out = Outputs(Path(path))
        manifest, slides_per_shard = manifest_of_output(out.root)
        rows = statuses(manifest, slides_per_shard, out)
        return cls(out, manifest, rows, _chosen(out, _current(rows), feature_set))

    def __len__(self) -> int:
        return len(self.manifest)

    def __iter__(self) -> Iterator[FeatureStore]:
        with ThreadPoolExecutor(OPENERS, "open") as executor:
            there = [row.slide_id for row in self.manifest if self.has(row.slide_id)]
            yield from executor.map(self.store, there)  # which calls off the rest where its reader stops

    def has(self, slide_id: str) -> bool:
        """Whether the slide's store is in the feature set."""
        return in_any_form(self.out.store(self.feature_set, slide_id)).exists()

    def store(self, slide_id: str) -> FeatureStore:
        """One slide's store. Raises StoreError when it is absent or not complete."""
        path = in_any_form(self.out.store(self.feature_set, slide_id))
        if not path.exists():
            raise StoreError.absent(str(path))
        return FeatureStore.open(path)

    def _store_if_there(self, slide_id: str) -> FeatureStore | None:
        return self.store(slide_id) if self.has(slide_id) else None

    def kept(self, slide_id: str, name: str | None = None) -> npt.NDArray[np.bool_]:
        """Which rows (n,) of a slide's store its keep marks keep: those of the last run, or those in the folder `name`.

        Without marks all valid rows. Raises StoreError, and ArtifactError where the marks are damaged or not clear.
        """
        return kept_rows(self.out, self.store(slide_id), name)

    def tile_columns(self, slide_id: str) -> dict[str, npt.NDArray[Any]]:
        """What the tiles' source said of each row (n,) of a slide's store, by name: numbers and text, as names of spots.

        Raises ArtifactError where the tile table is gone.
        """
        return tile_columns(self.out, self.store(slide_id))

    def lazy_features(self) -> tuple[Any, npt.NDArray[np.int64]]:
        """All slides' features as one dask array (N, d), and where each slide begins and the last one ends, (slides + 1,).

        No features are read before they are asked for; dask's chunks are the stores' own. Slides without tiles take no
        rows. They are as stored: sums of float16 need a `dtype` (`features.mean(axis=0, dtype="f8")`). Raises BagError where stores have features of different widths, and StoreError.
        """
        return lazy_rows(tuple(self))

    def statistics(self, name: str | None = None) -> FeatureStatistics:
        """Mean, standard deviation, least and greatest value of every feature (d,) over the tiles that are kept.

        Which these are is said by the keep marks, as in `kept`. One pass, one chunk in memory. Raises BagError where stores
        have features of different widths, and StoreError.
        """
        last = last_run(self.out)
        return feature_statistics((store, kept_rows(self.out, store, name, last)) for store in self)

    def tile_table(self, name: str | None = None, *, marks: Sequence[str] = (), listed: bool = False) -> TileTable:
        """All tiles as a table: `.reader()` by slide, `.read()` as one pyarrow Table, `.write("tiles.parquet")`.

        `keep` is said by the keep marks, as in `kept`; `marks` names further marks to be joined, and `listed` adds what
        `tile_columns` gives and no store holds. Nothing is read before one of its methods is called.
        """
        stores = ((row, in_any_form(self.out.store(self.feature_set, row.slide_id))) for row in self.manifest)
        return TileTable(self.out, tuple(s for s in stores if s[1].exists()), name, tuple(marks), listed)

    def patients(self, name: str | None = None) -> dict[str, tuple[PatientSlide, ...]]:
        """The slides of every patient with stain, block, store and the rows that are kept, as in `kept`.

        Both in manifest order; slides without a patient_id are under "". Opens every store once. Raises StoreError.
        """
        last = last_run(self.out)
        return slides_by_patient(
            self.manifest, self._store_if_there, lambda store: kept_rows(self.out, store, name, last)
        )

    def slide(self, slide_id: str) -> ManifestRow:
        """The manifest row of a slide. Raises KeyError."""
        return self.manifest.by_id[slide_id]


def _current(rows: tuple[StatusRow, ...]) -> list[str]:
    """The feature sets that the last run wrote."""
    names = {Path(store).parts[1] for row in rows for store in row.stores.split(";") if store}
    return sorted(names)


def _chosen(out: Outputs, current: list[str], wanted: str | None) -> str:
    every = sorted(p.name for p in out.features.iterdir() if p.is_dir()) if out.features.is_dir() else []
    choices = current if wanted is None else meant(every, wanted)
    if not choices:
        raise OutputError.no_feature_set(str(out.root), wanted, every)
    if len(choices) > 1:
        raise OutputError.ambiguous(str(out.root), choices)
    return choices[0]
