"""AnnData: one `.h5ad` a slide, a tile an observation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsi_features.cohort.exports.anndata_tree import H5Backend, write_anndata
from wsi_features.cohort.exports.h5 import new_h5
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.target import Format, Target


def _write(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    path = to.folder / f"{slide.slide_id}.h5ad"
    with new_h5(path) as file:
        write_anndata(file, H5Backend(), slide, [f"{to.encoder}_{k}" for k in range(slide.dim)])
    return (path,)


ANNDATA = Format(_write, tells_whose=True)
