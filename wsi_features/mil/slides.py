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
from wsi_features.cohort.manifest import ManifestRow
from wsi_features.errors import BagError, StoreError
from wsi_features.mil.contract import FeatureContract
from wsi_features.mil.table import PATIENT, SLIDE, Table
from wsi_features.recipe import Recipe
from wsi_features.store import FeatureStore, RawArray, Verify, raw_array

_BLOCK = "block"


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
    blocks: tuple[str, ...] = Field((), description="Only slides of these blocks, likewise")
    columns: tuple[str, ...] = Field((), description="Measured columns that bags carry")
    missing: Literal["refuse", "leave_out"] = Field("refuse", description="What becomes of labels without features")
    verify: Verify = Field("first", description="When checksums are compared, of chunks of which half or more is read")


@dataclass(frozen=True, eq=False)
class SlideRows:
    """One slide: its store, and which of its `count` rows are used. `bits` are those packed; None where all are.

    `fingerprint` is the store's, and `contract` says how its features were made; slides made alike share one.
    """

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
    fingerprint: str
    contract: FeatureContract

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

    def read(
        self, rows: npt.NDArray[np.int64], verify: Verify, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[np.floating[Any]]:
        """The features (n, d) of some rows of the store, as stored; into `out` where that is given. Raises StoreError."""
        if len(rows) == self.count:
            return self.features.read(out, verify)
        return self.features.rows(rows, out, verify)

    def array(self, name: str) -> npt.NDArray[Any]:
        """`coords`, `grid` or `columns` of all rows."""
        return raw_array(self.path, name).read()


def slides_of(cohort: Cohort, recipe: BagRecipe, table: Table | None = None) -> tuple[SlideRows, ...]:
    """The slides of a cohort that have a store, in manifest order, with the rows that `recipe` uses.

    A `patient_id` or `block` of `table`, where it is of slides, fills what the manifest leaves empty. Raises BagError,
    StoreError, and ArtifactError where marks are damaged or not clear.
    """
    wanted = [row for row in rows_of(cohort, table) if is_wanted(row, recipe)]
    alike: dict[str, FeatureContract] = {}
    with ThreadPoolExecutor(OPENERS, "open") as executor:
        opened = executor.map(partial(_slide_rows, cohort, recipe, last_run(cohort.out), alike), wanted)
        found = tuple(slide for slide in opened if slide is not None)
    for slide in found:
        if slide.dim != found[0].dim:
            raise BagError.width(slide.slide_id, slide.dim, found[0].dim)
    return found


def is_wanted(row: ManifestRow, recipe: BagRecipe) -> bool:
    """Whether a slide is of the stains and blocks asked for."""
    return (not recipe.stains or row.stain in recipe.stains) and (not recipe.blocks or row.block in recipe.blocks)


def _slide_rows(
    cohort: Cohort, recipe: BagRecipe, last: Recorded, alike: dict[str, FeatureContract], row: ManifestRow
) -> SlideRows | None:
    """One slide of the manifest, None without a store; `alike` has one contract of those that are equal."""
    slide_id = row.slide_id
    if not cohort.has(slide_id):
        return None
    store = cohort.store(slide_id)
    for name in (*recipe.columns, *recipe.limits):
        if name not in store.attributes["column_names"]:
            raise BagError.no_column(slide_id, name, store.attributes["column_names"])
    used = _used(cohort, store, recipe, last)
    count = int(used.sum())
    contract = FeatureContract.of_store(store.provenance, store.dim)
    return SlideRows(
        slide_id=slide_id,
        patient_id=row.patient_id,
        stain=row.stain,
        block=row.block,
        path=store.path,
        count=len(store),
        dim=store.dim,
        used=count,
        bits=None if count == len(store) else np.packbits(used),
        column_names=tuple(store.attributes["column_names"]),
        fingerprint=store.fingerprint,
        contract=alike.setdefault(contract.model_dump_json(), contract),
    )


def _used(cohort: Cohort, store: FeatureStore, recipe: BagRecipe, last: Recorded) -> npt.NDArray[np.bool_]:
    used = store.valid.copy()
    if recipe.marks != "":
        used &= kept_rows(cohort.out, store, recipe.marks, last)
    if recipe.limits:
        _, values = kept_columns(store.columns, store.valid, dict(recipe.limits))
        used &= values[:, 0] == 1
    return np.asarray(used)


def rows_of(cohort: Cohort, table: Table | None) -> list[ManifestRow]:
    """The manifest, completed by a `table` of slides. Raises BagError where they name different patients or blocks."""
    of_slides = table if table is not None and table.key == SLIDE else None
    return [_completed(row, of_slides) for row in cohort.manifest]


def _completed(row: ManifestRow, table: Table | None) -> ManifestRow:
    """A row of the manifest with patient and block of the table where it has none. Raises BagError where they differ."""
    if table is None:
        return row
    told = {PATIENT: table.get(row.slide_id, PATIENT), _BLOCK: table.get(row.slide_id, _BLOCK)}
    for name, what in ((PATIENT, "patient"), (_BLOCK, "block")):
        known = getattr(row, name)
        if known and told[name] and known != told[name]:
            raise BagError.contradiction(row.slide_id, what, known, told[name])
    return row.model_copy(update={name: value for name, value in told.items() if value})
