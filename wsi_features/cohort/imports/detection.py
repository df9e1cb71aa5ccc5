"""Which program wrote a file of features, told by what is in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wsi_features.cohort.imports import plain
from wsi_features.cohort.imports.h5 import opened_h5
from wsi_features.cohort.imports.sources import by_slide, feature_files
from wsi_features.errors import ImportedError, ImportedFileError
from wsi_features.tiles.sources.h5 import SUFFIXES as H5_SUFFIXES

PLAIN = "plain"
"""Neither of the programs: an array, with positions or without."""

SUFFIXES = (*H5_SUFFIXES, ".zarr", *plain.SUFFIXES)
_SAID_BY_TRIDENT = {"patch_size", "patch_size_level0", "encoder"}


def detected(slide_id: str, path: Path) -> str:
    """`trident`, `clam`, `stamp`, `atlaspatch`, `tiatoolbox` or `plain`. Raises ImportedFileError for anything else."""
    if path.suffix in plain.SUFFIXES:
        return PLAIN
    if path.suffix == ".zarr":
        return "tiatoolbox"
    if path.suffix not in H5_SUFFIXES:
        why = f"its name ends in {path.suffix or 'nothing'}, not in one of {', '.join(SUFFIXES)}"
        raise ImportedFileError.unreadable(slide_id, str(path), why)
    with opened_h5(slide_id, path) as file:
        return _of_h5(file)


def _of_h5(file: Any) -> str:
    """Only TRIDENT's datasets have attributes, and only AtlasPatch keeps several encoders in one file."""
    if "feats" in file or "patch_embeddings" in file:
        return "stamp"
    features = file.get("features")
    if hasattr(features, "keys"):
        return "atlaspatch"
    said = {name for key in ("features", "coords") if key in file for name in file[key].attrs}
    return "trident" if said & _SAID_BY_TRIDENT else "clam"


def files_below(folder: Path) -> dict[str, Path]:
    """The files of features in a folder by slide: of one kind, the first there is of HDF5, Zarr, and plain ones.

    Raises ImportedError where there is none, or two of one name.
    """
    for tool in ("trident", "atlaspatch", "tiatoolbox"):
        if files := feature_files(tool, folder):
            return by_slide(files)
    for suffix in plain.SUFFIXES:
        if files := [path for path in sorted(folder.rglob(f"*{suffix}")) if not path.name.endswith(plain.BESIDE)]:
            return by_slide(files)
    raise ImportedError.nothing(str(folder), SUFFIXES)
