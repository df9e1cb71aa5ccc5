"""slideflow: bags with the CENTRES of their tiles, and `bags_config.json`.

Looked up in slideflow 3 (`model/features.py`, `util/tfrecord2idx.py`, `mil/features.py`). Corners in place of centres would
shift every heatmap by half a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsi_features.cohort.exports.ledger import Entry
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.sheets import write_labels
from wsi_features.cohort.exports.target import Format, Target
from wsi_features.cohort.exports.tensors import write_tensor
from wsi_features.files import replacing, write_json
from wsi_features.recipe import Json


def _write(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    bag, index = to.folder / f"{slide.slide_id}.pt", to.folder / f"{slide.slide_id}.index.npz"
    write_tensor(bag, slide)
    with replacing(index) as temporary, temporary.open("wb") as file:
        np.savez(file, slide.origins + slide.made.span // 2)
    _write_config(slide, to)
    return bag, index


def _write_config(slide: ExportedSlide, to: Target) -> None:
    """How the bags were made: the same for all slides of a feature set, so each may write it."""
    made = slide.made
    method = made.stain.get("method", "none") if made.knows("stain") else "none"
    config: Json = {
        "extractor": {"class": to.encoder, "kwargs": {}},
        "normalizer": None if method == "none" else {"method": method, "fit": None},
        "num_features": slide.dim,
        "tile_px": int(made.tile_px),
        "tile_um": round(made.tile_px * (made.mpp_asked if made.knows("mpp_asked") else made.mpp_effective)),
        "wsi_features": {name: value for name, value in slide.about().items() if name in ("encoder", "licence")},
    }
    write_json(to.folder / "bags_config.json", config)


def _finish(slides: Sequence[Entry], to: Target) -> Sequence[str]:
    """The annotations, of the slides that have a label."""
    write_labels(to.folder / "annotations.csv", ("patient", "slide", "label"), slides, to.labels)
    return ()


SLIDEFLOW = Format(_write, finish=_finish, tables=("bags_config.json", "annotations.csv"))
