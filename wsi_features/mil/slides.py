"""The slides that bags are made of: where each store lies, and which of its rows are used.

Made once for a data set, and small: a bit a tile and a name a slide. Features are read when a bag is asked for.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from wsi_features.cohort.cohort import OPENERS, Cohort
from wsi_features.cohort.keep import Recorded, kept_columns, kept_rows, last_run
from wsi_features.errors import BagError, StoreError
from wsi_features.mil.table import PATIENT, SLIDE, Table
from wsi_features.recipe import Recipe
from wsi_features.store import FeatureStore, RawArray, Verify, raw_array


class BagRecipe(Recipe):
    """Which tiles make a bag. Invalid tiles, whose features are NaN, never do."""

    unit: Literal["slide", "patient"] = Field("slide", description="What a bag is of")
    late: bool = Field(False, description="A patient's slides as bags of their own, instead of one bag of all tiles")
    max_tiles: int | None = Field(None, ge=1, description="Tiles of a bag, drawn anew each epoch; all unless given")
    sampling: Literal["spread", "random"] = Field(
        "spread", description="Evenly over all tissue (one tile of every k along a curve), or independent of place"
    )
    seed: int = Field(0, ge=0, description="Of the draws")
    marks: str | None = Field(
        None,
        description="Folder of keep marks, or how its name begins; those of the last run unless given, none if empty",
    )
    limits: dict[str, dict[Literal["min", "max"], float]] = Field(
        {}, description="Further thresholds: {column: {min: low, max: high}}, both ends included"
    )
    stains: tuple[str, ...] = Field((), description="Only slides of these stains, as the manifest names them")
    columns: tuple[str, ...] = Field((), description="Measured columns that bags carry")
    missing: Literal["refuse", "leave_out"] = Field("refuse", description="What becomes of labels without features")
    verify: Verify = Field("first", description="When checksums are compared, of chunks of which half or more is read")


@dataclass(frozen=True, eq=False)
class SlideRows:
    """One slide: its store, and which of its `count` rows are used. `bits` are those packed; None where all are."""

    slide_id: str
    patient_id: str
    stain: str
    block: str
    path: Path
    count: int
    dim: int
    used: int
    bits: npt.NDArray[np.uint8] | None
    column_names: tuple[str, ...]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Numbers (used,) of the rows that are used, rising."""
        if self.bits is None:
            return np.arange(self.count)
        return np.flatnonzero(np.unpackbits(self.bits, count=self.count))

    @cached_property
    def features(self) -> RawArray:
        """All features of the store. Raises StoreError where it is not the one any more that the data set was made of."""
        found = raw_array(self.path, "features")
        if found.shape != (self.count, self.dim):
            wanted = f"{(self.count, self.dim)} as when the data set was opened"
            raise StoreError.inconsistent(str(self.path), "the shape of features", found.shape, wanted)
        return found

    def array(self, name: str) -> npt.NDArray[Any]:
        """`coords`, `grid` or `columns` of all rows."""
        return raw_array(self.path, name).read()


def slides_of(cohort: Cohort, recipe: BagRecipe, table: Table | None = None) -> tuple[SlideRows, ...]:
    """The slides of a cohort that have a store, in manifest order, with the rows that `recipe` uses.

    A `patient_id` or `block` of `table`, where it is of slides, fills what the manifest leaves empty. Raises BagError,
    StoreError, and ArtifactError where marks are damaged or not clear.
    """
    wanted = [row.slide_id for row in cohort.manifest if not recipe.stains or row.stain in recipe.stains]
    one = partial(_slide_rows, cohort, recipe, _of_slides(table), patients_of(cohort, table), last_run(cohort.out))
    with ThreadPoolExecutor(OPENERS, "open") as executor:
        found = tuple(slide for slide in executor.map(one, wanted) if slide is not None)
    for slide in found:
        if slide.dim != found[0].dim:
            raise BagError.width(slide.slide_id, slide.dim, found[0].dim)
    return found


def _slide_rows(
    cohort: Cohort,
    recipe: BagRecipe,
    table: Table | None,
    patients: dict[str, tuple[str, str]],
    last: Recorded,
    slide_id: str,
) -> SlideRows | None:
    if not cohort.has(slide_id):
        return None
    store = cohort.store(slide_id)
    for name in (*recipe.columns, *recipe.limits):
        if name not in store.attributes["column_names"]:
            raise BagError.no_column(slide_id, name, store.attributes["column_names"])
    used = _used(cohort, store, recipe, last)
    count = int(used.sum())
    patient, stain = patients[slide_id]
    return SlideRows(
        slide_id=slide_id,
        patient_id=patient,
        stain=stain,
        block=table.get(slide_id, "block") if table else "",
        path=store.path,
        count=len(store),
        dim=store.dim,
        used=count,
        bits=None if count == len(store) else np.packbits(used),
        column_names=tuple(store.attributes["column_names"]),
    )


def _used(cohort: Cohort, store: FeatureStore, recipe: BagRecipe, last: Recorded) -> npt.NDArray[np.bool_]:
    used = store.valid.copy()
    if recipe.marks != "":
        used &= kept_rows(cohort.out, store, recipe.marks, last)
    if recipe.limits:
        _, values = kept_columns(store.columns, store.valid, dict(recipe.limits))
        used &= values[:, 0] == 1
    return np.asarray(used)


def patients_of(cohort: Cohort, table: Table | None) -> dict[str, tuple[str, str]]:
    """Patient and stain of every slide. Raises BagError where manifest and table name different patients."""
    by_slide = _of_slides(table)
    found = {}
    for row in cohort.manifest:
        told = by_slide.get(row.slide_id, PATIENT) if by_slide else ""
        if row.patient_id and told and row.patient_id != told:
            raise BagError.other_patient(row.slide_id, row.patient_id, told)
        found[row.slide_id] = (row.patient_id or told, row.stain)
    return found


def _of_slides(table: Table | None) -> Table | None:
    return table if table is not None and table.key == SLIDE else None
