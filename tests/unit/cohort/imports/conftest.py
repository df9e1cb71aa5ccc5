"""Files as other programs leave them, written here in their layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from wsi_features.cohort.outputs import Outputs
from wsi_features.stages.imports import ImportRequest, imported
from wsi_features.store import FeatureStore, find_stores

CORNERS = np.array([[1024, 512], [0, 512], [512, 0], [0, 1024]])
"""In no order; in raster order they are rows 2, 1, 0, 3."""
FEATURES = (np.arange(4)[:, None] + np.arange(3) / 8).astype(np.float32)


@pytest.fixture
def trident_file(tmp_path: Path) -> Path:
    path = tmp_path / "features_uni" / "s 1.h5"
    path.parent.mkdir()
    about = {
        "patch_size": 256,
        "patch_size_level0": np.float64(512.0),
        "level0_magnification": 40,
        "target_magnification": 20.0,
        "overlap": 0,
        "name": "patient 7",
        "savetodir": "/home/someone",
        "level0_width": 4000,
        "level0_height": 3001,
    }
    with h5py.File(path, "w") as file:
        features = file.create_dataset("features", data=FEATURES, chunks=(1, 3), maxshape=(None, 3))
        features.attrs.update({"name": "patient 7", "savetodir": "/home/someone", "encoder": "uni_v1"})
        file.create_dataset("coords", data=CORNERS, chunks=(1, 2), maxshape=(None, 2)).attrs.update(about)
    return path


@pytest.fixture
def clam_folder(tmp_path: Path) -> Path:
    """A feature file without attributes, and its patches two folders above."""
    folder = tmp_path / "clam"
    for name in ("FEATURES/h5_files", "patches"):
        (folder / name).mkdir(parents=True)
    with h5py.File(folder / "FEATURES/h5_files/s1.h5", "w") as file:
        file["features"], file["coords"] = FEATURES, CORNERS.astype(np.int32)
    with h5py.File(folder / "patches/s1.h5", "w") as file:
        file["coords"] = CORNERS
        file["coords"].attrs.update({"patch_size": 128, "patch_level": 1, "downsample": (4.0, 4.0), "save_path": "/x"})
    return folder


@pytest.fixture
def stamp_file(tmp_path: Path) -> Path:
    path = tmp_path / "s1.h5"
    with h5py.File(path, "w") as file:
        file["feats"], file["coords"] = FEATURES.astype(np.float16), (CORNERS * 0.25).astype(np.float32)
        file.attrs.update({"extractor": "chief-ctranspath", "unit": "um", "tile_size_um": 128.0, "tile_size_px": 256})
    return path


@pytest.fixture
def atlas_file(tmp_path: Path) -> Path:
    path = tmp_path / "s1.h5"
    with h5py.File(path, "w") as file:
        file["coords"] = np.concatenate([CORNERS, np.full((4, 2), 512), np.zeros((4, 1), int)], axis=1).astype(np.int32)
        for name, factor in (("uni_v1", 1), ("conch_v1", 2)):
            file[f"features/{name}"] = FEATURES * factor
        about = {"patch_size": 256, "patch_size_level0": 512, "level0_width": 4000, "level0_height": 3001}
        file.attrs.update(about | {"wsi_path": "/home/someone/s1.svs"})
    return path


@pytest.fixture
def toolbox_folder(tmp_path: Path) -> Path:
    """As tiatoolbox writes it at 1 um/px: 128 px there are 512 px of a scan at 0.25."""
    import zarr

    path = tmp_path / "s1.zarr"
    zarr.create_group(store=path)
    corners = CORNERS // 4
    for name, values in (("features", FEATURES), ("coordinates", np.hstack([corners, corners + 128]))):
        zarr.create_array(store=path / name, data=values)
    return path


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., FeatureStore]:
    """Imports one file and opens its store, which passes the full check."""

    def imports(tool: str, *sources: Path, **asked: Any) -> FeatureStore:
        out = Outputs(tmp_path / "imported")
        results = list(imported(out, ImportRequest(tool, sources, **asked)))
        assert [result.message for result in results if not result.usable] == []
        (path,) = find_stores(out.features)
        store = FeatureStore.open(path)
        store.check()
        return store

    return imports
