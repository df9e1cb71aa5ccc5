"""CLAM: `h5_files` and `pt_files` of features, `patches` of positions, and the table of labels.

Looked up in CLAM 53e2409 (`extract_features_fp.py`, `wsi_core/WholeSlideImage.py`, `dataset_modules`). Its feature
files have no attributes at all: what a patch spans is only in the files under `patches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsi_features.cohort.exports.h5 import new_h5, write_array, write_features
from wsi_features.cohort.exports.ledger import Entry
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.sheets import write_labels
from wsi_features.cohort.exports.target import Format, Target
from wsi_features.cohort.exports.tensors import write_tensor

_CHUNK_ROWS = 32


def _write(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    """`coords` int32 and `features` float32 without attributes, the same features as a tensor, and the patches."""
    name = slide.slide_id
    features, tensor = to.folder / "h5_files" / f"{name}.h5", to.folder / "pt_files" / f"{name}.pt"
    patches = to.folder / "patches" / f"{name}.h5"
    with new_h5(features) as file:
        write_features(file, "features", slide, "float32", _CHUNK_ROWS)
        write_array(file, "coords", slide.origins.astype(np.int32), _CHUNK_ROWS)
    write_tensor(tensor, slide)
    _write_patches(patches, slide)
    return features, tensor, patches


def _write_patches(path: Path, slide: ExportedSlide) -> None:
    """Positions int64, with the footprint in pixels of level 0: exact, whatever level the tiles were read from."""
    about: dict[str, object] = {"patch_size": int(slide.made.span), "patch_level": 0, "downsample": (1.0, 1.0)}
    if slide.made.knows("slide_size"):
        about |= {"downsampled_level_dim": slide.made.slide_size, "level_dim": slide.made.slide_size}
    with new_h5(path) as file:
        coords = write_array(file, "coords", slide.origins, _CHUNK_ROWS)
        coords.attrs.update(about | {"name": slide.slide_id, "save_path": "."})


def _finish(slides: Sequence[Entry], to: Target) -> Sequence[str]:
    """The table that CLAM trains from, of the slides that have a label."""
    write_labels(to.folder / "dataset.csv", ("case_id", "slide_id", "label"), slides, to.labels)
    return ()


CLAM = Format(_write, finish=_finish, tables=("dataset.csv",))
