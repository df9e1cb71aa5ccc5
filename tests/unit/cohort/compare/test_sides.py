"""Files of every layout as sides: what was exported compares as the same, what lies beside a file is found."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.cohort.compare.conftest import CORNERS, NATIVE, SPAN, written
from wsi_features.cohort.compare.collections import collection
from wsi_features.cohort.compare.sides import Reading, opened_side
from wsi_features.cohort.compare.slide import Compared, compared
from wsi_features.cohort.exports.formats import FORMATS
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.target import Target
from wsi_features.errors import ImportedError, ImportedFileError, OutputError, StoreError
from wsi_features.recipe import Json

Values = npt.NDArray[Any]


def against(store: Path, file: Path, **reading: Any) -> Compared:
    asked = Reading(**({"mpp": NATIVE} | reading))
    with opened_side("s1", store, asked) as one, opened_side("s1", file, asked) as two:
        return compared("s1", one, two, 1.0)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize(
    "layout", ["trident", "clam", "stamp", "patho-bench", "slideflow", "eva", "pt", "npy", "safetensors"]
)
def test_what_is_exported_compares_as_the_same(tmp_path: Path, features: Values, layout: str, dtype: str) -> None:
    store = written(tmp_path / "a__b__c__0123abcd/s1.zarr", features.astype(dtype), bad=5)
    FORMATS[layout].write(ExportedSlide.of(store), Target(tmp_path / "x", "tiny"))
    (path,) = collection(tmp_path / "x").paths.values()
    found = against(store.path, path)
    rounds = layout == "stamp" and dtype == "float32"
    assert found.verdict == ("equal within rounding" if rounds else "identical")
    assert len(found.evidence.pairing) == len(features) - 1
    assert 5 not in found.evidence.pairing.first
    assert found.evidence.by_order == (layout == "eva")


def test_files_of_atlaspatch_and_tiatoolbox_are_told_by_their_content(tmp_path: Path, features: Values) -> None:
    import zarr

    store = written(tmp_path / "a__b__c__0123abcd/s1.zarr", features)
    with h5py.File(tmp_path / "s1.h5", "w") as file:
        file["coords"] = np.concatenate([CORNERS, np.full((len(CORNERS), 3), SPAN)], axis=1).astype(np.int32)
        file["features/uni"], file["features/other"] = features, features + 9
        file.attrs.update({"patch_size": 256, "patch_size_level0": SPAN})
    assert against(store.path, tmp_path / "s1.h5", encoder="uni").verdict == "identical"
    boxes = np.rint(CORNERS * NATIVE / 2).astype(np.int64)
    zarr.create_group(store=tmp_path / "t/s1.zarr")
    for name, values in (("features", features), ("coordinates", np.hstack([boxes, boxes + 64]))):
        zarr.create_array(store=tmp_path / "t/s1.zarr" / name, data=values)
    found = against(store.path, tmp_path / "t/s1.zarr", tile_mpp=2.0)
    assert (found.verdict, len(found.evidence.pairing)) == ("identical", len(features))
    with pytest.raises(ImportedFileError, match="Give --tile-mpp"):
        against(store.path, tmp_path / "t/s1.zarr")


def test_slide2vec_says_in_files_beside_where_its_tiles_are(tmp_path: Path, features: Values) -> None:
    import json

    import torch

    for name in ("tile_embeddings", "tiles"):
        (tmp_path / name).mkdir()
    path = tmp_path / "tile_embeddings/s1.pt"
    order = np.random.default_rng(2).permutation(len(features))
    torch.save(torch.from_numpy(features[order]).to(torch.bfloat16), path)
    about: Json = {
        "tile_size_lv0": SPAN,
        "encoder_name": "prost",
        "image_path": "/a/b.svs",
        "coordinates_npz_path": "/gone",
    }
    path.with_suffix(".meta.json").write_text(json.dumps(about))
    np.savez(tmp_path / "tiles/s1.coordinates.npz", x=CORNERS[order, 0], y=CORNERS[order, 1], tile_index=order)
    with opened_side("s1", path, Reading()) as side:
        assert (side.layout, side.dtype, side.span, side.said) == (
            "slide2vec",
            "bfloat16",
            SPAN,
            {"encoder_name": "prost"},
        )
    found = against(written(tmp_path / "a__b__c__0123abcd/s1.zarr", features).path, path)
    assert found.verdict == "equal within rounding"
    assert found.hints[0].text == "B is A rounded to bfloat16, and nothing else differs."


def test_tensors_of_every_shape_that_programs_leave_are_read(tmp_path: Path, features: Values) -> None:
    import torch

    store = written(tmp_path / "a__b__c__0123abcd/s1.zarr", features)
    tensor = torch.from_numpy(features)
    for number, content in enumerate(
        (tensor, features, list(tensor), {"features": tensor, "coords": torch.from_numpy(CORNERS)})
    ):
        path = tmp_path / f"{number}.pt"
        torch.save(content, path)
        assert against(store.path, path).verdict == "identical"


def test_rows_in_another_order_than_the_store_are_brought_into_it(tmp_path: Path, features: Values) -> None:
    store = written(tmp_path / "a__b__c__0123abcd/s1.zarr", features)
    order = np.random.default_rng(1).permutation(len(features))
    with h5py.File(tmp_path / "s1.h5", "w") as file:
        file["features"], file["coords"] = features[order], CORNERS[order]
        file["coords"].attrs["patch_size_level0"] = SPAN
    found = against(store.path, tmp_path / "s1.h5")
    assert found.verdict == "identical"
    assert found.evidence.pairing.second.tolist() == np.argsort(order).tolist()


@pytest.mark.parametrize("name", ["x.pt", "x.npy", "x.safetensors", "x.h5", "x.txt"])
def test_a_file_that_is_none_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no features" * 9)
    with pytest.raises(ImportedFileError, match=name), opened_side("x", tmp_path / name, Reading()):
        pass


def test_microns_without_a_resolution_are_refused(tmp_path: Path, features: Values) -> None:
    with h5py.File(tmp_path / "s1.h5", "w") as file:
        file["feats"], file["coords"] = features, CORNERS * NATIVE
        file.attrs.update({"unit": "um", "tile_size_um": 128.0, "extractor": "x"})
    with pytest.raises(ImportedFileError, match="Give --mpp"), opened_side("s1", tmp_path / "s1.h5", Reading()):
        pass


def test_stores_of_one_file_are_compared_as_those_of_folders(tmp_path: Path, features: Values) -> None:
    one = written(tmp_path / "a__b__c__0123abcd/s1.zarr", features, bad=3)
    two = written(tmp_path / "other/s1.zarr.zip", features, bad=3)
    assert two.path.is_file()
    (path,) = collection(tmp_path / "other").paths.values()
    found = against(one.path, path)
    assert (found.verdict, int((~found.evidence.compared).sum())) == ("identical", 1)


def test_a_folder_is_its_stores_or_its_files_and_one_without_any_is_refused(tmp_path: Path, features: Values) -> None:
    written(tmp_path / "stores/s1.zarr", features)
    assert list(collection(tmp_path / "stores").paths) == ["s1"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImportedError, match="no .*in"):
        collection(tmp_path / "empty")
    for name in ("s1.npy", "s1.coords.npy", "s2.npy"):
        np.save(tmp_path / "empty" / name, features)
    assert sorted(collection(tmp_path / "empty").paths) == ["s1", "s2"]


def test_an_unfinished_store_is_no_file_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "s1.zarr").mkdir()
    with pytest.raises(StoreError):
        collection(tmp_path / "s1.zarr")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/manifest.json").write_text("{}")
    with pytest.raises(OutputError):
        collection(tmp_path / "out")
