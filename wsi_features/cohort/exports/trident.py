"""TRIDENT: its tree of patch files, feature files and slide vectors.

Looked up in TRIDENT 0.3.0 (`trident/IO.py`, `WSI.py`, `Processor.py`). Positions are int64, a row is a chunk, and
attributes belong to the datasets. `patch_size_level0` is the footprint that the tiles really have, as a whole number;
true microns per pixel stand in attributes that its readers pass over.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.cohort.exports.h5 import new_h5, write_array, write_features
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.target import Format, Target
from wsi_features.store import Provenance

_CHUNK_ROWS = 1
_FINEST = {0.16: 80, 0.2: 60, 0.3: 40, 0.6: 20, 1.2: 10, 2.4: 5}
"""Below so many um/px a scan counts as one of this magnification."""
_NOMINAL = (80.0, 60.0, 40.0, 20.0, 10.0, 5.0, 2.5, 1.25)


def magnification(mpp: float) -> float:
    """Of tiles at `mpp` microns per pixel, by 10/mpp: a nominal one where it is within a tenth."""
    exact = 10 / mpp
    near = min(_NOMINAL, key=lambda nominal: abs(nominal - exact))
    return near if abs(near - exact) <= near / 10 else round(exact, 2)


def job_folder(made: Provenance) -> str:
    """`20x_256px_0px_overlap`: by what was asked for, so that all slides of a run share it."""
    return f"{magnification(_asked(made)):g}x_{made.tile_px}px_{_overlap(made)}px_overlap"


def about_coords(slide: ExportedSlide) -> dict[str, Any]:
    """The attributes of `coords`."""
    made = slide.made
    native = next((times for mpp, times in _FINEST.items() if made.mpp_native < mpp), 1)
    return {
        "patch_size": int(made.tile_px),
        "patch_size_level0": int(made.span),
        "level0_magnification": native,
        "target_magnification": magnification(_asked(made)),
        "overlap": _overlap(made),
        "name": slide.slide_id,
        "savetodir": "None",
        "level0_width": int(made.slide_size[0]),
        "level0_height": int(made.slide_size[1]),
        "mpp_native": float(made.mpp_native),
        "mpp_effective": float(made.mpp_effective),
    }


def _asked(made: Provenance) -> float:
    """Microns per pixel that tiles were asked for; what they have where they are imported and nobody knows."""
    return made.mpp_asked if made.knows("mpp_asked") else made.mpp_effective


def _overlap(made: Provenance) -> int:
    """In pixels of the tile."""
    return max(0, round((1 - made.step / made.span) * made.tile_px))


def _about_features(slide: ExportedSlide, encoder: str) -> dict[str, Any]:
    own = {f"wsi_features_{name}": value for name, value in slide.about().items() if isinstance(value, str)}
    return {"name": slide.slide_id, "savetodir": "None", "encoder": encoder, **own}


def _write(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    job, about = to.folder / job_folder(slide.made), about_coords(slide)
    patches = job / "patches" / f"{slide.slide_id}_patches.h5"
    features = job / f"features_{to.encoder}" / f"{slide.slide_id}.h5"
    with new_h5(patches) as file:
        write_array(file, "coords", slide.origins, _CHUNK_ROWS).attrs.update(about)
    with new_h5(features) as file:
        stored = write_features(file, "features", slide, "float32", _CHUNK_ROWS)
        stored.attrs.update(_about_features(slide, to.encoder))
        write_array(file, "coords", slide.origins, _CHUNK_ROWS).attrs.update(about)
    return patches, features


def _write_pooled(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    """`features` (dim,) and `coords` without axes of length 1: (n, 2), and (2,) of a slide with one tile."""
    job = to.folder / job_folder(slide.made)
    path = job / f"slide_features_mean-{to.encoder}" / f"{slide.slide_id}.h5"
    coords = np.squeeze(slide.origins) if len(slide) == 1 else slide.origins
    with new_h5(path) as file:
        stored = write_array(file, "features", slide.mean(), _CHUNK_ROWS)
        stored.attrs.update(_about_features(slide, f"mean-{to.encoder}"))
        write_array(file, "coords", coords, _CHUNK_ROWS).attrs.update(about_coords(slide))
    return (path,)


TRIDENT = Format(_write, pooled=_write_pooled, empty=True)
