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
from wsi_features.cohort.exports.rows import SlideRows
from wsi_features.cohort.exports.target import Format, Target


def _folder(slide: SlideRows, to: Target) -> Path:
    return to.folder / f"{to.encoder}-{slide.store.path.parent.name.rpartition('__')[2]}"


def _about(slide: SlideRows) -> dict[str, Any]:
    own = {f"wsi_features_{name}": value for name, value in slide.about().items() if isinstance(value, str)}
    return {"code_hash": slide.store.fingerprint, **own}


def _write(slide: SlideRows, to: Target) -> Sequence[Path]:
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


def _write_pooled(slide: SlideRows, to: Target) -> Sequence[Path]:
    folder = _folder(slide, to)
    path = folder.with_name(f"mean-{folder.name}") / f"{slide.slide_id}.h5"
    with new_h5(path) as file:
        write_array(file, "feats", slide.mean())
        kind = {"version": "1", "encoder": f"mean-{to.encoder}", "precision": "float32", "feat_type": "slide"}
        file.attrs.update(kind | _about(slide))
    return (path,)


STAMP = Format(_write, pooled=_write_pooled)
