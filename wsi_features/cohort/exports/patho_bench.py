"""Patho-Bench: one flat folder of `<slide_id>.h5`.

Looked up in Patho-Bench 660e770 (`datasets/PatchEmbeddingsDataset.py`, `SlideEmbeddingsDataset.py`). Its reader of slide
vectors takes away a first axis, so they are (1, dim) here and (dim,) in TRIDENT's files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsi_features.cohort.exports.h5 import new_h5, write_array, write_features
from wsi_features.cohort.exports.ledger import Entry
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.sheets import write_sheet
from wsi_features.cohort.exports.target import Format, Target


def _about(slide: ExportedSlide) -> dict[str, object]:
    return {f"wsi_features_{name}": value for name, value in slide.about().items()}


def _write(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    path = to.folder / "patch_features" / f"{slide.slide_id}.h5"
    with new_h5(path) as file:
        write_features(file, "features", slide, "float32").attrs.update(_about(slide))
        coords = write_array(file, "coords", slide.origins)
        coords.attrs["patch_size_level0"] = int(slide.made.span)
    return (path,)


def _write_pooled(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    path = to.folder / "slide_features" / f"{slide.slide_id}.h5"
    with new_h5(path) as file:
        write_array(file, "features", slide.mean()[np.newaxis]).attrs.update(_about(slide))
    return (path,)


def _finish(slides: Sequence[Entry], to: Target) -> Sequence[str]:
    """The table of cases, slides and labels; a warning where slides of one patient have other footprints."""
    spans: dict[str, set[int]] = {}
    for entry in slides:
        patient = to.labels.of(entry.slide_id).patient
        if patient:
            spans.setdefault(patient, set()).add(int(entry.about["span"]))
    found = [(entry.slide_id, to.labels.of(entry.slide_id)) for entry in slides]
    rows = [(label.patient or slide_id, slide_id, label.label) for slide_id, label in found if label.label]
    if rows:
        write_sheet(to.folder / "labels.csv", ("case_id", "slide_id", "label"), rows)
    mixed = sorted(patient for patient, several in spans.items() if len(several) > 1)
    return [_MIXED.format(patient=patient) for patient in mixed]


_MIXED = (
    "patient {patient!r} has slides whose tiles span other numbers of level-0 pixels (20x and 40x scans): Patho-Bench "
    "refuses to combine them; use `combine_slides_per_patient=False`."
)

PATHO_BENCH = Format(_write, pooled=_write_pooled, finish=_finish, tables=("labels.csv",))
