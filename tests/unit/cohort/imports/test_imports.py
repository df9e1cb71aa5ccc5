"""Features of other programs as stores: nothing lost, nothing invented."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from wsi_features import Cohort
from wsi_features.cli.main import run_command
from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import ArtifactError, ImportedError, StoreError
from wsi_features.recipe import canonical_json
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages.imports import ImportRequest, imported
from wsi_features.store import FeatureStore, find_stores

Take = Callable[..., FeatureStore]
RASTER = [2, 1, 0, 3]
ORDERED = [[512, 0], [0, 512], [1024, 512], [0, 1024]]
FEATURES = (np.arange(4)[:, None] + np.arange(3) / 8).astype(np.float32)


def refused(tool: str, path: Path, out: Path, **asked: object) -> str:
    (result,) = imported(Outputs(out), ImportRequest(tool, (path,), **asked))  # type: ignore[arg-type]
    assert result.status == "failed"
    return result.message


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A manifest of one small scanned slide."""
    write_slide(tmp_path / "s 1.svs", SlideSpec(width=1600, height=1536, seed=4, mpp=0.2431, objective=40, levels=(1,)))
    path = tmp_path / "slides.csv"
    path.write_text("slide_id,path,patient_id\ns-1,s 1.svs,p1\n")
    return path


def test_rows_are_sorted_and_remember_their_place_in_the_file(take: Take, trident_file: Path) -> None:
    store = take("trident", trident_file)
    assert store.coords.tolist() == ORDERED
    assert store.columns["list_row"].tolist() == RASTER
    np.testing.assert_array_equal(store.features[:], FEATURES[RASTER])
    assert (store.features.dtype, store.provenance.slide_id) == (np.float32, "s-1")


def test_a_file_of_trident_says_its_footprint_but_no_resolution(take: Take, trident_file: Path) -> None:
    made = take("trident", trident_file).provenance
    assert (made.format_version, made.span, made.tile_px, made.step) == (2, 512, 256, 512)
    assert (made.encoder_name, made.slide_size) == ("uni_v1", (4000, 3001))
    assert not any(made.knows(name) for name in ("mpp_native", "mpp_effective", "licence", "stain", "level", "device"))
    with pytest.raises(StoreError, match="imported from trident, whose file does not say `mpp_native`"):
        _ = made.mpp_native
    assert made.imported is not None
    assert made.imported["said"]["target_magnification"] == 20.0


def test_no_path_and_no_name_of_a_slide_enters_the_store(take: Take, trident_file: Path) -> None:
    text = canonical_json(take("trident", trident_file).attributes)
    assert "someone" not in text
    assert "patient" not in text


def test_the_resolution_that_the_user_gives_is_recorded_as_theirs(take: Take, trident_file: Path) -> None:
    made = take("trident", trident_file, mpp=0.2521, licence="CC0").provenance
    assert (made.mpp_native, made.mpp_source, made.licence) == (0.2521, "--mpp", "CC0")
    assert made.mpp_effective == pytest.approx(512 * 0.2521 / 256)


def test_a_manifest_brings_resolution_size_and_content_of_the_slide_itself(
    take: Take, trident_file: Path, sheet: Path, tmp_path: Path
) -> None:
    with h5py.File(trident_file, "r+") as file:
        file["coords"].attrs.update({"level0_width": 1600, "level0_height": 1536})
    made = take("trident", trident_file, slide_manifest=sheet).provenance
    assert made.mpp_native == pytest.approx(0.2431)
    assert (made.slide_size, made.mpp_source) == ((1600, 1536), "aperio text")
    assert len(made.slide_fingerprint) == 64
    assert Cohort.open(tmp_path / "imported").slide("s-1").patient_id == "p1"


def test_a_file_of_another_slide_than_the_manifest_says_is_refused(
    trident_file: Path, sheet: Path, tmp_path: Path
) -> None:
    message = refused("trident", trident_file, tmp_path / "out", slide_manifest=sheet)
    assert "is of a slide of 4000 x 3001 pixels, the manifest's has 1600 x 1536" in message


def test_clam_takes_the_footprint_from_the_patches_of_the_slide(take: Take, clam_folder: Path) -> None:
    store = take("clam", clam_folder, encoder="resnet50")
    assert (store.provenance.span, store.provenance.tile_px) == (512, 128)
    np.testing.assert_array_equal(store.features[:], FEATURES[RASTER])


def test_features_of_clam_without_patches_need_a_footprint(clam_folder: Path, tmp_path: Path) -> None:
    (clam_folder / "patches" / "s1.h5").unlink()
    message = refused("clam", clam_folder, tmp_path / "out", encoder="resnet50")
    assert "does not say how wide its tiles are in level-0 pixels, and it is not guessed. Give --span" in message


def test_features_of_clam_with_patches_of_another_run_are_refused(clam_folder: Path, tmp_path: Path) -> None:
    with h5py.File(clam_folder / "patches/s1.h5", "r+") as file:
        file["coords"][0, 0] += 1
    assert "its positions are not those of" in refused("clam", clam_folder, tmp_path / "out", encoder="resnet50")


def test_stamp_gives_half_precision_at_level_0_pixels(take: Take, stamp_file: Path) -> None:
    store = take("stamp", stamp_file, mpp=0.25)
    assert (store.coords.tolist(), store.provenance.span, store.provenance.mpp_asked) == (ORDERED, 512, 0.5)
    assert (store.features.dtype, store.provenance.encoder_name) == (np.float16, "chief-ctranspath")


def test_microns_without_a_resolution_are_refused(stamp_file: Path, tmp_path: Path) -> None:
    assert "does not say level-0 pixels, and it is not guessed. Give --mpp" in refused(
        "stamp", stamp_file, tmp_path / "o"
    )


def test_atlaspatch_holds_several_encoders_of_which_one_is_chosen(take: Take, atlas_file: Path, tmp_path: Path) -> None:
    assert "which of conch_v1, uni_v1" in refused("atlaspatch", atlas_file, tmp_path / "other")
    store = take("atlaspatch", atlas_file, encoder="conch_v1")
    assert (store.coords.tolist(), store.provenance.span) == (ORDERED, 512)
    np.testing.assert_array_equal(store.features[:], 2 * FEATURES[RASTER])


def test_positions_of_tiatoolbox_are_scaled_to_level_0(take: Take, toolbox_folder: Path) -> None:
    store = take("tiatoolbox", toolbox_folder, mpp=0.25, tile_mpp=1.0, encoder="resnet50")
    assert store.coords.tolist() == ORDERED
    assert (store.provenance.span, store.provenance.tile_px, store.provenance.mpp_effective) == (512, 128, 1.0)
    np.testing.assert_array_equal(store.features[:], FEATURES[RASTER])


def test_tiatoolbox_without_the_resolution_asked_is_refused(toolbox_folder: Path, tmp_path: Path) -> None:
    assert "Give --tile-mpp" in refused("tiatoolbox", toolbox_folder, tmp_path / "out", encoder="e")


def test_a_position_that_occurs_twice_is_taken_once_and_told(trident_file: Path, tmp_path: Path) -> None:
    with h5py.File(trident_file, "r+") as file:
        file["coords"][3] = file["coords"][1]
    (result,) = imported(Outputs(tmp_path / "out"), ImportRequest("trident", (trident_file,)))
    assert "3 tiles; 1 positions twice, left out" in result.message


def test_a_row_that_is_not_finite_is_marked_not_valid(take: Take, trident_file: Path) -> None:
    with h5py.File(trident_file, "r+") as file:
        file["features"][2, 1] = np.nan
    store = take("trident", trident_file)
    assert store.valid.tolist() == [False, True, True, True]
    assert store.attributes["bad_tiles"] == [[0, 512, 0, "not finite in the imported file"]]


def test_a_tile_across_the_edge_is_kept_and_one_beside_the_slide_refused(
    take: Take, trident_file: Path, tmp_path: Path
) -> None:
    with h5py.File(trident_file, "r+") as file:
        file["coords"][0] = [3999, 3000]
    assert take("trident", trident_file).coords[-1].tolist() == [3999, 3000]
    with h5py.File(trident_file, "r+") as file:
        file["coords"][0] = [4000, 3000]
    assert "the position of row 3 is [4000, 3000]" in refused("trident", trident_file, tmp_path / "out")


def test_double_precision_that_single_cannot_hold_is_refused(trident_file: Path, tmp_path: Path) -> None:
    with h5py.File(trident_file, "r+") as file:
        del file["features"]
        file["features"] = FEATURES.astype(np.float64) / 3
    message = refused("trident", trident_file, tmp_path / "out", encoder="uni")
    assert "float64 holds more than float32 can" in message
    assert find_stores(tmp_path / "out") == []


@pytest.mark.parametrize("shape", [(3, 3), (4, 3, 1), (0,)])
def test_features_that_do_not_fit_their_positions_are_refused(
    trident_file: Path, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    with h5py.File(trident_file, "r+") as file:
        del file["features"]
        file["features"] = np.zeros(shape, np.float32)
    assert "cannot be imported" in refused("trident", trident_file, tmp_path / "out", encoder="uni")


def test_a_folder_of_imports_opens_as_a_cohort_and_grows(take: Take, trident_file: Path, tmp_path: Path) -> None:
    take("trident", trident_file)
    trident_file.rename(trident_file.with_name("s2.h5"))
    out = Outputs(tmp_path / "imported")
    list(imported(out, ImportRequest("trident", (trident_file.parent,))))
    cohort = Cohort.open(out.root)
    assert [store.provenance.slide_id for store in cohort] == ["s-1", "s2"]
    assert {row.status for row in cohort.status} == {"ok"}


def test_imported_tiles_have_no_table_of_a_run(take: Take, trident_file: Path, tmp_path: Path) -> None:
    take("trident", trident_file)
    with pytest.raises(ArtifactError, match="no tile table"):
        Cohort.open(tmp_path / "imported").tile_columns("s-1")


def test_a_second_import_keeps_the_store(take: Take, trident_file: Path) -> None:
    before = take("trident", trident_file).path.stat().st_ino
    assert take("trident", trident_file).path.stat().st_ino == before


def test_files_of_positions_and_of_slides_are_passed_over(take: Take, trident_file: Path) -> None:
    for name in ("patches/s 1_patches.h5", "slide_features_mean/s 1.h5"):
        (trident_file.parent / name).parent.mkdir()
        (trident_file.parent / name).write_bytes(b"")
    assert len(take("trident", trident_file.parent)) == 4


def test_the_folder_of_a_run_is_not_imported_into(trident_file: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ImportedError, match="is the output folder of a run"):
        list(imported(Outputs(tmp_path), ImportRequest("trident", (trident_file,))))


def test_two_files_of_one_slide_are_refused(trident_file: Path, tmp_path: Path) -> None:
    other = trident_file.with_name("s-1.h5")
    other.write_bytes(b"")
    with pytest.raises(ImportedError, match="would both be slide 's-1'"):
        list(imported(Outputs(tmp_path / "out"), ImportRequest("trident", (trident_file, other))))


def test_the_command_exits_1_when_a_file_is_none(tmp_path: Path, trident_file: Path) -> None:
    (trident_file.parent / "broken.h5").write_bytes(b"not HDF5")
    out = str(tmp_path / "out")
    assert run_command(["import", str(trident_file.parent), "--from", "trident", "--out", out]) == 1
    assert run_command(["check", out]) == 0
    assert run_command(["status", out]) == 1
