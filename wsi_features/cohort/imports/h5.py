"""Features in HDF5: the files of TRIDENT, CLAM, STAMP and AtlasPatch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.cohort.imports.foreign import Foreign, plain_attributes
from wsi_features.errors import CoordinatesError, ImportedFileError
from wsi_features.recipe import Json
from wsi_features.tiles.sources.h5 import read_h5


@contextmanager
def opened_h5(slide_id: str, path: Path) -> Iterator[Any]:
    """The file, open as long as its features are read. Raises ImportedFileError."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ImportedFileError.unreadable(slide_id, str(path), str(error)) from error
    with file:
        yield file


def trident(slide_id: str, path: Path, file: Any) -> Foreign:
    """`features` and `coords` with attributes on both; the footprint is that of `coords`."""
    features, coords = _dataset(slide_id, path, file, "features"), _dataset(slide_id, path, file, "coords")
    said = plain_attributes(features, coords)
    return Foreign(
        (path,),
        features,
        _corners(coords),
        tile_px=_whole(said, "patch_size"),
        native_mpp=said.get("mpp_native"),
        encoder=str(said.get("encoder", "")),
        said=said,
        **_listed(slide_id, path, said),
    )


def clam(slide_id: str, path: Path, file: Any, patches: Path | None) -> Foreign:
    """`features` and `coords` without attributes; the footprint is in the file of the same slide under `patches`."""
    features, coords = _dataset(slide_id, path, file, "features"), _dataset(slide_id, path, file, "coords")
    found = next((p for p in _patch_files(path, patches) if p.is_file()), None)
    if found is None:
        return Foreign((path,), features, _corners(coords))
    with opened_h5(slide_id, found) as other:
        patched = _dataset(slide_id, found, other, "coords")
        said = plain_attributes(patched)
        if not np.array_equal(_corners(patched), _corners(coords)):
            raise ImportedFileError.unreadable(slide_id, str(path), f"its positions are not those of {str(found)!r}")
    return Foreign(
        (path, found),
        features,
        _corners(coords),
        tile_px=_whole(said, "patch_size"),
        said=said,
        **_listed(slide_id, found, said),
    )


def stamp(slide_id: str, path: Path, file: Any) -> Foreign:
    """`feats` (`patch_embeddings` in older files) and corners in microns."""
    key = "feats" if "feats" in file else "patch_embeddings"
    features, coords = _dataset(slide_id, path, file, key), _dataset(slide_id, path, file, "coords")
    said = plain_attributes(file)
    in_um = said.get("tile_size") if said.get("unit") == "um" else None
    width = said.get("tile_size_um", in_um)
    if width is None:
        raise ImportedFileError.unreadable(slide_id, str(path), "it has neither `tile_size_um` nor `tile_size` in um")
    px = _whole(said, "tile_size_px")
    return Foreign(
        (path,),
        features,
        _corners(coords),
        unit="um",
        span=float(width),
        tile_px=px,
        tile_mpp=float(width) / px if px else None,
        encoder=str(said.get("extractor", "")),
        said=said,
    )


def atlaspatch(slide_id: str, path: Path, file: Any, encoder: str) -> Foreign:
    """One of the datasets of the group `features`, named by its extractor, and five numbers a tile in `coords`."""
    group = _dataset(slide_id, path, file, "features")
    names = sorted(group)
    if not encoder and len(names) != 1:
        raise ImportedFileError.needs(slide_id, str(path), f"which of {', '.join(names)}", "--encoder NAME")
    name = encoder if encoder in names else names[0]
    if encoder and encoder not in names and len(names) != 1:
        raise ImportedFileError.unreadable(slide_id, str(path), f"it has {', '.join(names)}, not {encoder}")
    said = plain_attributes(file, group[name])
    coords = _dataset(slide_id, path, file, "coords")
    return Foreign(
        (path,),
        group[name],
        _corners(coords),
        tile_px=_whole(said, "patch_size"),
        encoder=name,
        said=said,
        **_listed(slide_id, path, said),
    )


def _dataset(slide_id: str, path: Path, file: Any, key: str) -> Any:
    if key not in file:
        why = f"there is no {key!r}, but {', '.join(sorted(file)) or 'nothing'}"
        raise ImportedFileError.unreadable(slide_id, str(path), why)
    return file[key]


def _corners(coords: Any) -> Any:
    """(n, 2); the first two numbers of each tile."""
    values = np.asarray(coords[()], np.float64)
    return values.reshape(0, 2) if not values.size else np.atleast_2d(values)[:, :2]


def _listed(slide_id: str, path: Path, said: Json) -> Json:
    """Footprint and size of the slide, as tile lists of this kind are read; nothing where the file has no footprint."""
    level = int(said.get("patch_level", 0))
    if level and "downsample" not in said:
        return {}
    try:
        tiles = read_h5(slide_id, path, [(1.0, 1.0)] * (level + 1))
    except CoordinatesError as error:
        if "patch_size" in said or "patch_size_level0" in said:
            raise ImportedFileError.unreadable(slide_id, str(path), str(error)) from error
        return {}
    sizes: Sequence[float] = [] if tiles.sizes is None else tiles.sizes.tolist()
    return {"span": sizes[0] if sizes else _float(said, "patch_size_level0"), "slide": tiles.slide}


def _patch_files(path: Path, patches: Path | None) -> Iterator[Path]:
    """Where CLAM's patches of a feature file may lie: where the user says, else beside the features' folders."""
    if patches is not None:
        yield patches / path.name
    else:
        yield from (above / "patches" / path.name for above in list(path.resolve().parents)[:3])


def _whole(said: Json, name: str) -> int | None:
    return round(float(said[name])) if name in said else None


def _float(said: Json, name: str) -> float | None:
    return float(said[name]) if name in said else None
