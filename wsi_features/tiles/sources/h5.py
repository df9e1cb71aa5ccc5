"""Tile lists in HDF5: the patch files of TRIDENT, CLAM and AtlasPatch, read as those programs read them.

All hold a dataset `coords` of level-0 top-left corners. What a patch spans is in attributes of that dataset, or of the
file in AtlasPatch's: `patch_size_level0`; or `patch_size` with both magnifications; or CLAM's `patch_size` in pixels
of `patch_level`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.errors import CoordinatesError
from wsi_features.geometry import Size
from wsi_features.tiles.grid import Downsample
from wsi_features.tiles.sources.tile_list import TileList

SUFFIXES = (".h5", ".hdf5")
_WANTED = ("patch_size_level0", "patch_size with patch_level")


def read_h5(slide_id: str, path: Path, downsamples: Sequence[Downsample]) -> TileList:
    """The list in a patch file; `downsamples` are the slide's own, for CLAM's files that state none. Raises CoordinatesError."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            if "coords" not in file:
                raise CoordinatesError.no_column(slide_id, str(path), "coords", list(file))
            stored = file["coords"]
            stated = _plain(file.attrs) | _plain(stored.attrs)
            coords = np.asarray(stored[()], np.float64)
    except (OSError, ValueError, TypeError) as error:
        raise CoordinatesError.unreadable(slide_id, str(path), str(error)) from error
    if not coords.size:
        coords = coords.reshape(0, 2)
    if coords.ndim != 2 or coords.shape[1] < 2:
        raise CoordinatesError.unreadable(slide_id, str(path), f"coords have the shape {coords.shape}, wanted (n, 2)")
    span = _span(slide_id, path, stated, downsamples)
    return TileList(
        str(path),
        coords[:, 0],
        coords[:, 1],
        np.full(len(coords), span),
        centred=False,
        overlap=_overlap(stated, span),
        slide=_slide(stated),
    )


def _plain(attributes: Any) -> dict[str, Any]:
    """Attributes without those that say None, which TRIDENT stores as text."""
    return {name: value for name, value in attributes.items() if not (isinstance(value, str) and value == "None")}


def _span(slide_id: str, path: Path, stated: Mapping[str, Any], downsamples: Sequence[Downsample]) -> float:
    """Level-0 pixels that a patch is wide: what the program that wrote the file would read."""
    if "patch_size_level0" in stated:
        return float(stated["patch_size_level0"])
    size = stated.get("patch_size")
    magnifications = stated.get("level0_magnification"), stated.get("target_magnification")
    if size is not None and None not in magnifications:
        return float(size * magnifications[0] // magnifications[1])
    if size is None or "patch_level" not in stated:
        raise CoordinatesError.unsized(slide_id, str(path), _WANTED)
    level = int(stated["patch_level"])
    if not 0 <= level < len(downsamples):
        raise CoordinatesError.no_such_level(slide_id, str(path), level, len(downsamples))
    # CLAM states one downsample an axis; they differ by less than a pixel of the level over its whole length.
    downsample = np.mean(stated.get("downsample", downsamples[level]))
    return float(round(float(size) * float(downsample) * float(stated.get("custom_downsample", 1))))


def _overlap(stated: Mapping[str, Any], span: float) -> float:
    size = stated.get("patch_size")
    return float(stated.get("overlap", 0)) * span / float(size) if size else 0.0


def _slide(stated: Mapping[str, Any]) -> Size | None:
    """The size of the slide that was patched; CLAM states that of `patch_level`."""
    if "level0_width" in stated and "level0_height" in stated:
        return Size(int(stated["level0_width"]), int(stated["level0_height"]))
    if stated.get("patch_level") == 0 and "level_dim" in stated:
        width, height = (int(length) for length in stated["level_dim"])
        return Size(width, height)
    return None
