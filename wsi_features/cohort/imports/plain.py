"""Plain files of features: .pt of torch, .npy and .safetensors, with the positions that lie in or beside them, if any.

Such files say nothing of resolution, footprint or encoder. Those of slideflow and slide2vec are told by what lies
beside them.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.imports.foreign import StoredRows
from wsi_features.errors import ImportedFileError, one_line
from wsi_features.files import read_json
from wsi_features.recipe import Json

SUFFIXES = (".safetensors", ".pt", ".pth", ".npy")
BESIDE = ".coords.npy"
"""How the name of a file ends that holds the positions of an .npy beside it."""

_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


@dataclass(frozen=True, slots=True, eq=False)
class PlainFeatures:
    """Features (n, d), and corners (n, 2) or, where `centred`, centres of their tiles in level-0 pixels.

    Positions and `span` are None where no file has them. `dtype` is what the file holds: numpy has no bfloat16, so
    such numbers are in float32 here.
    """

    layout: str
    files: tuple[Path, ...]
    features: StoredRows
    dtype: str
    positions: npt.NDArray[np.float64] | None = None
    centred: bool = False
    span: float | None = None
    said: Json = field(default_factory=dict)


def plain_features(slide_id: str, path: Path) -> PlainFeatures:
    """What a file holds, with the files beside it. Raises ImportedFileError."""
    try:
        if path.suffix == ".npy":
            return _npy(path)
        content, dtypes = (_safetensors if path.suffix == ".safetensors" else _torch)(path)
        features = content["features"]
        positions = content.get("coords")
        made = PlainFeatures(path.suffix[1:], (path,), features, dtypes.get("features", str(features.dtype)), positions)
        return made if positions is not None else _beside(path, made)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ImportedFileError.unreadable(slide_id, str(path), one_line(error)) from error


def _npy(path: Path) -> PlainFeatures:
    features, beside = np.load(path, mmap_mode="r"), path.with_name(path.stem + BESIDE)
    if not beside.is_file():
        return PlainFeatures("npy", (path,), features, str(features.dtype))
    return PlainFeatures("npy", (path, beside), features, str(features.dtype), _numbers(np.load(beside)))


def _safetensors(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Arrays mapped from the file: eight bytes of length, JSON, and raw values."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if not 0 < size < path.stat().st_size:
            raise ValueError("it is no safetensors file")
        head = json.loads(file.read(size))
    found, dtypes = {}, {}
    for name in ("features", "coords"):
        if name not in head:
            continue
        kind, (start, end), shape = head[name]["dtype"], head[name]["data_offsets"], tuple(head[name]["shape"])
        dtype = np.dtype(_KINDS[kind])
        raw = np.memmap(path, np.uint8, "r", 8 + size + start, (end - start,)) if end > start else np.empty(0, np.uint8)
        values = raw.view(dtype).reshape(shape)
        found[name] = (values.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else values
        dtypes[name] = "bfloat16" if kind == "BF16" else str(dtype)
    if "features" not in found:
        raise ValueError(f"there is no 'features', but {', '.join(sorted(head)) or 'nothing'}")
    return found | ({"coords": _numbers(found["coords"])} if "coords" in found else {}), dtypes


def _torch(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A tensor, an array, a list of vectors, or a dict with `features` and perhaps `coords`."""
    import torch

    # TRIDENT saves arrays of numpy, which the safe loader takes apart only when it is told of their parts.
    with torch.serialization.safe_globals(_numpy_parts()):
        content = torch.load(path, map_location="cpu", weights_only=True)
    held = content if isinstance(content, Mapping) else {"features": content}
    if "features" not in held:
        raise ValueError(f"there is no 'features', but {', '.join(map(str, held)) or 'nothing'}")
    found: dict[str, Any] = {}
    dtypes: dict[str, str] = {}
    for name in ("features", "coords"):
        if held.get(name) is None:
            continue
        values = held[name]
        whole = torch.stack(list(values)) if isinstance(values, list | tuple) else torch.as_tensor(values)
        dtypes[name] = str(whole.dtype).removeprefix("torch.")
        found[name] = (whole.float() if whole.dtype == torch.bfloat16 else whole).numpy()
    return found | ({"coords": _numbers(found["coords"])} if "coords" in found else {}), dtypes


def _numpy_parts() -> list[Any]:
    dtypes = [type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64, np.int32, np.int64)]
    rebuild = np.zeros(1).__reduce__()[0]
    return [np.ndarray, np.dtype, rebuild, *dtypes]


def _beside(path: Path, made: PlainFeatures) -> PlainFeatures:
    """The same with the positions that slideflow and slide2vec keep in files of their own."""
    index = path.with_name(path.stem + ".index.npz")
    if index.is_file():
        with np.load(index) as held:
            centres = _numbers(held["arr_0"])
        return replace(made, layout="slideflow", files=(path, index), positions=centres, centred=True)
    meta = path.with_name(path.stem + ".meta.json")
    if not meta.is_file():
        return made
    said = read_json(meta)
    named = [
        Path(str(said.get("coordinates_npz_path", ""))),
        path.parent.parent / "tiles" / f"{path.stem}.coordinates.npz",
    ]
    found = next((p for p in named if p.is_file()), None)
    kept = {name: said[name] for name in _KEPT if name in said}
    span = said.get("tile_size_lv0")
    made = replace(made, layout="slide2vec", files=(path, meta), span=float(span) if span else None, said=kept)
    if found is None:
        return made
    with np.load(found) as held:
        corners = np.stack([held["x"], held["y"]], axis=1).astype(np.float64)
    return replace(made, files=(path, meta, found), positions=corners)


_KEPT = ("encoder_name", "requested_spacing_um", "requested_tile_size_px", "feature_dtype", "backend")


def _numbers(values: Any) -> npt.NDArray[np.float64]:
    found = np.asarray(values, np.float64)
    return found.reshape(0, 2) if not found.size else np.atleast_2d(found)[:, :2]
