"""A cohort over an output folder that a run has left."""

from pathlib import Path

import numpy as np
import pytest

import wsi_features
from wsi_features import Cohort
from wsi_features.cli.main import run_command
from wsi_features.errors import OutputError, StoreError


@pytest.fixture(scope="module")
def out(slide_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three slides, of which one is empty, in two feature sets; the second was written last."""
    folder = tmp_path_factory.mktemp("cohort")
    for size in ("256", "512"):
        assert run_command(["run", str(slide_folder), "--out", str(folder), "--size", size, "--no-report"]) == 0
    return folder


def test_it_opens_what_was_run_last(out: Path) -> None:
    cohort = wsi_features.open(str(out))
    assert [store.provenance.slide_id for store in cohort] == ["fine", "glass", "small"]
    assert {store.provenance.tile_px for store in cohort} == {512}
    assert len(cohort) == 3


def test_an_earlier_feature_set_is_opened_by_how_its_name_begins(out: Path) -> None:
    assert Cohort.open(out, "histo-texture__256px").store("small").provenance.tile_px == 256
    with pytest.raises(OutputError, match=r"holds several feature sets: histo-texture__256px.*, histo-texture__512px"):
        Cohort.open(out, "histo")


def test_a_slide_without_a_store_is_refused_by_its_path(out: Path) -> None:
    with pytest.raises(StoreError, match="no feature store at .*nobody.zarr"):
        Cohort.open(out).store("nobody")


def test_a_folder_that_no_run_wrote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not an output folder"):
        Cohort.open(tmp_path)


def test_rows_of_the_manifest_are_found_by_slide(out: Path, slide_folder: Path) -> None:
    assert Cohort.open(out).slide("glass").path == str(slide_folder / "glass.svs")


def test_all_features_are_one_lazy_array(out: Path) -> None:
    cohort = Cohort.open(out)
    features, bounds = cohort.lazy_features()
    fine, glass, small = cohort
    assert bounds.tolist() == [0, len(fine), len(fine), len(fine) + len(small)]
    assert features.shape == (bounds[-1], fine.dim)
    np.testing.assert_array_equal(features[bounds[2] :].compute(), small.features[:])
    np.testing.assert_allclose(
        features.mean(axis=0).compute(), np.concatenate([fine.features[:], small.features[:]]).mean(axis=0), atol=1e-6
    )
    assert not len(glass)
