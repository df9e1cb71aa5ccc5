"""CLAM, TRIDENT, Patho-Bench and STAMP: keys, types, shapes, chunks and attributes as their own writers leave them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from wsi_features.store import FeatureStore
from wsi_features.tiles.sources import read_list, span_of

To = Callable[..., Path]
MPP = 508 * 0.2521 / 256


def layout_of(path: Path) -> dict[str, Any]:
    """Every dataset of a file: type, shape, chunks, greatest shape, names of attributes; and those of the file."""
    with h5py.File(path) as file:
        found = {k: (str(v.dtype), v.shape, v.chunks, v.maxshape, sorted(v.attrs)) for k, v in file.items()}
        return found | {"/": sorted(file.attrs)}


def read(path: Path, key: str) -> Any:
    with h5py.File(path) as file:
        return file[key][()]


def attributes(path: Path, key: str = "/") -> dict[str, Any]:
    with h5py.File(path) as file:
        return dict(file[key].attrs)


def valid(store: FeatureStore) -> tuple[Any, Any]:
    return store.features[:][store.valid], store.coords[store.valid]


def test_the_features_of_clam_are_float32_with_int32_positions_and_no_attributes(to: To, first: FeatureStore) -> None:
    path = to("clam") / "h5_files" / "first.h5"
    assert layout_of(path) == {
        "features": ("float32", (6, 3), (32, 3), (None, 3), []),
        "coords": ("int32", (6, 2), (32, 2), (None, 2), []),
        "/": [],
    }
    features, coords = valid(first)
    np.testing.assert_array_equal(read(path, "features"), features.astype(np.float32))
    np.testing.assert_array_equal(read(path, "coords"), coords)


def test_the_tensors_of_clam_hold_the_same_rows_in_float32(to: To) -> None:
    import torch

    folder = to("clam")
    tensor = torch.load(folder / "pt_files" / "first.pt", weights_only=True)
    assert (tensor.dtype, tuple(tensor.shape)) == (torch.float32, (6, 3))
    np.testing.assert_array_equal(tensor.numpy(), read(folder / "h5_files" / "first.h5", "features"))


def test_the_patches_of_clam_state_the_footprint_on_the_dataset(to: To) -> None:
    path = to("clam") / "patches" / "first.h5"
    about = attributes(path, "coords")
    assert sorted(about) == sorted(
        ("patch_size", "patch_level", "downsample", "downsampled_level_dim", "level_dim", "name", "save_path")
    )
    assert (about["patch_size"], about["patch_level"], tuple(about["level_dim"])) == (508, 0, (4000, 3001))
    assert layout_of(path)["coords"][:4] == ("int64", (6, 2), (32, 2), (None, 2))


def test_labels_become_the_table_that_clam_trains_from(to: To, labels: Path) -> None:
    text = (to("clam", labels=labels) / "dataset.csv").read_text()
    assert text == "case_id,slide_id,label\np1,first,tumour\np2,second,normal\n"


def test_trident_finds_its_tree_chunks_and_attributes(to: To) -> None:
    folder = to("trident", name="tiny_v1") / "20x_256px_2px_overlap"
    found = layout_of(folder / "features_tiny_v1" / "first.h5")
    assert found["features"][:4] == ("float32", (6, 3), (1, 3), (None, 3))
    assert found["coords"][:4] == ("int64", (6, 2), (1, 2), (None, 2))
    assert found["/"] == []
    assert {"name", "savetodir", "encoder"} <= set(found["features"][4])
    patches = folder / "patches" / "first_patches.h5"
    assert layout_of(patches)["coords"] == found["coords"]


def test_trident_reads_the_effective_footprint_as_a_whole_number(to: To) -> None:
    about = attributes(to("trident") / "20x_256px_2px_overlap" / "features_tiny" / "first.h5", "coords")
    assert about["patch_size_level0"] == 508
    assert np.issubdtype(type(about["patch_size_level0"]), np.integer)
    assert (about["patch_size"], about["level0_magnification"], about["target_magnification"]) == (256, 40, 20.0)
    assert (about["level0_width"], about["level0_height"], about["overlap"]) == (4000, 3001, 2)
    assert about["mpp_effective"] == pytest.approx(MPP)
    assert (about["name"], about["savetodir"]) == ("first", "None")


def test_an_empty_slide_has_an_empty_file_for_trident(to: To) -> None:
    found = layout_of(to("trident") / "20x_256px_2px_overlap" / "features_tiny" / "glass.h5")
    assert (found["features"][1], found["coords"][1]) == ((0, 3), (0, 2))


def test_slide_vectors_have_one_axis_for_trident_and_two_for_patho_bench(to: To, first: FeatureStore) -> None:
    mean = valid(first)[0].astype(np.float64).mean(axis=0).astype(np.float32)
    trident = to("trident", pool="mean") / "20x_256px_2px_overlap" / "slide_features_mean-tiny" / "first.h5"
    assert layout_of(trident)["features"][:2] == ("float32", (3,))
    bench = to("patho-bench", pool="mean") / "slide_features" / "first.h5"
    assert layout_of(bench)["features"][:2] == ("float32", (1, 3))
    np.testing.assert_array_equal(read(bench, "features").squeeze(0), read(trident, "features"))
    np.testing.assert_array_equal(read(trident, "features"), mean)


def test_patho_bench_finds_flat_files_with_a_whole_footprint(to: To) -> None:
    folder = to("patho-bench") / "patch_features"
    assert sorted(path.name for path in folder.iterdir()) == ["first.h5", "second.h5"]
    assert read(folder / "first.h5", "coords").shape == (6, 2)
    about = attributes(folder / "first.h5", "coords")
    assert about["patch_size_level0"] == 508
    assert np.issubdtype(type(about["patch_size_level0"]), np.integer)
    assert attributes(folder / "first.h5", "features")["wsi_features_licence"] == "CC-BY-NC-4.0"


def test_stamp_reads_half_precision_and_microns(to: To, first: FeatureStore) -> None:
    path = to("stamp") / "tiny-0123abcd" / "first.h5"
    features, coords = valid(first)
    assert layout_of(path)["feats"] == ("float16", (6, 3), None, (6, 3), [])
    assert layout_of(path)["coords"] == ("float32", (6, 2), None, (6, 2), [])
    np.testing.assert_array_equal(read(path, "feats"), features)
    np.testing.assert_allclose(read(path, "coords"), coords * 0.2521, rtol=1e-6)


def test_the_attributes_of_stamp_give_the_true_resolution_and_no_version(to: To) -> None:
    about = attributes(to("stamp") / "tiny-0123abcd" / "first.h5")
    assert (about["unit"], about["feat_type"], about["extractor"], about["tile_size_px"]) == ("um", "tile", "tiny", 256)
    assert about["tile_size_um"] / about["tile_size_px"] == pytest.approx(MPP)
    assert about["code_hash"]
    assert "stamp_version" not in about


def test_a_slide_vector_of_stamp_has_no_positions(to: To) -> None:
    path = to("stamp", pool="mean") / "mean-tiny-0123abcd" / "first.h5"
    assert set(layout_of(path)) == {"feats", "/"}
    assert attributes(path)["feat_type"] == "slide"


def test_stamp_gets_the_tables_that_it_starts_from(to: To, labels: Path) -> None:
    folder = to("stamp", labels=labels)
    assert (folder / "slide_table.csv").read_text() == "PATIENT,FILENAME\np1,first.h5\np2,second.h5\n"
    assert (folder / "clini_table.csv").read_text() == "PATIENT,label\np1,tumour\np2,normal\n"


def test_a_patient_of_two_labels_has_none_for_stamp(to: To, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("slide_id,label,case_id\nfirst,a,p1\nsecond,b,p1\n")
    folder = to("stamp", labels=tmp_path / "l.csv")
    assert not (folder / "clini_table.csv").exists()
    assert "slides of patient 'p1' have different labels" in (tmp_path / "said.txt").read_text()


@pytest.mark.parametrize(
    ("layout", "path"), [("trident", "20x_256px_2px_overlap/patches/first_patches.h5"), ("clam", "patches/first.h5")]
)
def test_exported_positions_are_a_source_of_the_same_tiles(to: To, first: FeatureStore, layout: str, path: str) -> None:
    tiles = read_list("first", to(layout, slides=("first",)) / path, ((1.0, 1.0),))
    np.testing.assert_array_equal(np.stack([tiles.x, tiles.y], axis=1), first.coords[first.valid])
    assert span_of("first", tiles, 0.2521) == 508
