"""Patients: which slides each has, of which stain and block, and which rows of their stores are used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.store import FeatureStore


@dataclass(frozen=True, slots=True, eq=False)
class PatientSlide:
    """One slide of a patient. `rows` int64 (n,), rising, are those of `store` that are used.

    Stain and block are empty where the manifest says nothing. A slide that failed or was skipped has no store and no rows.
    """

    slide_id: str
    stain: str
    block: str
    store: FeatureStore | None
    rows: npt.NDArray[np.int64]


def slides_by_patient(
    rows: Iterable[ManifestRow],
    opened: Callable[[str], FeatureStore | None],
    used: Callable[[FeatureStore], npt.NDArray[np.bool_]],
) -> dict[str, tuple[PatientSlide, ...]]:
    """The slides of each patient, both in the order of the manifest; those that nobody names a patient of are under ""."""
    found: dict[str, list[PatientSlide]] = {}
    for row in rows:
        store = opened(row.slide_id)
        tiles = np.empty(0, np.int64) if store is None else np.flatnonzero(used(store))
        found.setdefault(row.patient_id, []).append(PatientSlide(row.slide_id, row.stain, row.block, store, tiles))
    return {patient: tuple(slides) for patient, slides in found.items()}
