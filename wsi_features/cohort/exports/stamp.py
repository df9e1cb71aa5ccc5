"""STAMP: `feats` in half precision, positions in microns, and attributes of the file.

Looked up in STAMP 2.5.0 (`preprocessing/__init__.py`, `modeling/data.py`, `encoding/encoder/__init__.py`). There is no
`stamp_version`: its reader refuses one that is newer than itself, and takes files without.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.cohort.exports.h5 import new_h5, write_array, write_features
from wsi_features.cohort.exports.ledger import Entry
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.sheets import write_sheet
from wsi_features.cohort.exports.target import Format, Target


def _folder(slide: ExportedSlide, to: Target) -> Path:
    return to.folder / f"{to.encoder}-{slide.store.path.parent.name.rpartition('__')[2]}"


def _about(slide: ExportedSlide) -> dict[str, Any]:
    own = {f"wsi_features_{name}": value for name, value in slide.about().items() if isinstance(value, str)}
    return {"code_hash": slide.store.fingerprint, **own}


def _write(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    """Positions are corners: level-0 pixels times the true microns per pixel."""
    made, path = slide.made, _folder(slide, to) / f"{slide.slide_id}.h5"
    with new_h5(path) as file:
        write_features(file, "feats", slide, "float16")
        write_array(file, "coords", (slide.origins * made.mpp_native).astype(np.float32))
        file.attrs.update(
            {
                "extractor": to.encoder,
                "unit": "um",
                "tile_size_um": float(made.span * made.mpp_native),
                "tile_size_px": int(made.tile_px),
                "feat_type": "tile",
                **_about(slide),
            }
        )
    return (path,)


def _write_pooled(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    folder = _folder(slide, to)
    path = folder.with_name(f"mean-{folder.name}") / f"{slide.slide_id}.h5"
    with new_h5(path) as file:
        write_array(file, "feats", slide.mean())
        kind = {"version": "1", "encoder": f"mean-{to.encoder}", "precision": "float32", "feat_type": "slide"}
        file.attrs.update(kind | _about(slide))
    return (path,)


def _finish(slides: Sequence[Entry], to: Target) -> Sequence[str]:
    """The table of files and patients, and that of patients and labels, by the column names that STAMP looks for."""
    patients = {entry.slide_id: to.labels.of(entry.slide_id).patient or entry.slide_id for entry in slides}
    names = [(entry.slide_id, file.partition("/")[2]) for entry in slides for file in entry.files]
    write_sheet(to.folder / _SLIDES, ("PATIENT", "FILENAME"), [(patients[slide_id], file) for slide_id, file in names])
    labels: dict[str, set[str]] = {}
    for slide_id, patient in patients.items():
        if label := to.labels.of(slide_id).label:
            labels.setdefault(patient, set()).add(label)
    clear = [(patient, *found) for patient, found in labels.items() if len(found) == 1]
    if clear:
        write_sheet(to.folder / _CLINICAL, ("PATIENT", "label"), clear)
    mixed = sorted(patient for patient, found in labels.items() if len(found) > 1)
    return [f"slides of patient {patient!r} have different labels: left out of {_CLINICAL}" for patient in mixed]


_SLIDES, _CLINICAL = "slide_table.csv", "clini_table.csv"

STAMP = Format(_write, pooled=_write_pooled, finish=_finish, tables=(_SLIDES, _CLINICAL))
