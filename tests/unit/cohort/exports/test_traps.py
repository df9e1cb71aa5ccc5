"""What other programs stumble over: empty slides, slides of one tile, odd footprints, patients of two magnifications."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from wsi_features.cohort.exports.formats import FORMATS
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.target import Target
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.stages.exports import ExportRequest, exported
from wsi_features.store import FeatureStore

from .conftest import SET, write_store

To = Callable[..., Path]


def one(folder: Path, n: int, **changed: Any) -> ExportedSlide:
    return ExportedSlide.of(FeatureStore.open(write_store(folder / SET / "only.zarr", n, [], **changed)))


@pytest.mark.parametrize("layout", FORMATS)
def test_an_empty_slide_has_files_where_readers_take_it_and_is_told_elsewhere(
    to: To, tmp_path: Path, layout: str
) -> None:
    files = [path for path in to(layout, slides=("glass",)).rglob("*") if path.name.startswith("glass")]
    said = (tmp_path / "said.txt").read_text().splitlines()[0]
    if layout in {"trident", "pt", "npy", "safetensors", "csv"}:
        assert (said, bool(files)) == ("glass: 0 tiles", True)
    else:
        assert (said, files) == ("glass: no tiles, left out", [])


def test_positions_of_a_slide_of_one_tile_lose_an_axis_beside_a_slide_vector_of_trident_only(tmp_path: Path) -> None:
    trident = FORMATS["trident"]
    assert trident.pooled is not None
    slide = one(tmp_path, 1)
    (vector,) = trident.pooled(slide, Target(tmp_path, "tiny", pooled=True))
    _, features = trident.write(slide, Target(tmp_path, "tiny"))
    with h5py.File(vector) as pooled, h5py.File(features) as file:
        assert (pooled["coords"].shape, pooled["features"].shape) == ((2,), (3,))
        assert (file["coords"].shape, file["features"].shape) == ((1, 2), (1, 3))
        assert pooled["coords"][:].tolist() == file["coords"][0].tolist() == [12, 100]


@pytest.mark.parametrize(("span", "centre"), [(508, [12 + 254, 100 + 254]), (507, [12 + 253, 100 + 253])])
def test_centres_of_slideflow_are_whole_numbers_also_of_odd_footprints(
    tmp_path: Path, span: int, centre: list[int]
) -> None:
    _, index = FORMATS["slideflow"].write(one(tmp_path, 2, span=span), Target(tmp_path, "tiny"))
    with np.load(index) as found:
        assert found["arr_0"].dtype == np.int64
        assert found["arr_0"][0].tolist() == centre


def mixed(folder: Path, *spans: int) -> Path:
    """A run of slides s0, s1 ... of one patient, whose tiles have these footprints."""
    out = Outputs(folder)
    for k, span in enumerate(spans):
        write_store(out.store(SET, f"s{k}"), 3, [], span=span)
    rows = tuple(ManifestRow(slide_id=f"s{k}", path="x.svs", patient_id="p1") for k in range(len(spans)))
    out.manifest.write_text(Manifest(rows).to_json(8))
    return out.root


def test_a_patient_of_two_footprints_is_told_since_patho_bench_refuses_to_combine_them(tmp_path: Path) -> None:
    out = mixed(tmp_path / "run", 508, 254, 508)
    notes = [e.said for e in exported(out, ExportRequest("patho-bench", tmp_path / "export", feature_set=SET))]
    assert next(note for note in notes if "Patho-Bench" in note).startswith("note: patient 'p1' has slides whose tiles")
    spans = []
    for path in sorted((tmp_path / "export" / "patch_features").iterdir()):
        with h5py.File(path) as file:
            spans.append(file["coords"].attrs["patch_size_level0"])
    assert spans == [508, 254, 508]


def test_a_patient_of_one_footprint_is_not_told(tmp_path: Path) -> None:
    out = mixed(tmp_path / "run", 508, 508)
    notes = [e.said for e in exported(out, ExportRequest("patho-bench", tmp_path / "export", feature_set=SET))]
    assert not [note for note in notes if "Patho-Bench" in note]


def test_microns_of_stamp_are_those_of_level_0_not_of_what_was_asked(tmp_path: Path) -> None:
    (path,) = FORMATS["stamp"].write(one(tmp_path, 3, mpp_native=0.25, span=520), Target(tmp_path, "tiny"))
    with h5py.File(path) as file:
        assert file["coords"][0].tolist() == [12 * 0.25, 100 * 0.25]
        assert (file.attrs["tile_size_um"], file.attrs["tile_size_px"]) == (130.0, 256)
