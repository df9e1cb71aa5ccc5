"""Quality columns in stores, and the marks made of them: another threshold embeds nothing anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

import wsi_features
from wsi_features.cli.main import run_command
from wsi_features.cohort.keep import kept_columns, kept_rows
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import read_record
from wsi_features.encode.card import EncoderCard
from wsi_features.errors import ArtifactError
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.store import FeatureStore, find_stores
from wsi_features.tiles.quality import COLUMNS, QUALITY_VERSION

STRICT = {"thresholds": {"white_share": {"max": 0.2}, "pen_share": {"max": 0.05}}}


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "inked.svs"
    write_slide(path, SlideSpec(width=1792, height=1280, seed=3, mpp=0.5, objective=20, levels=(1, 4), pen=True))
    return path


def run(slide: Path, out: Path, *options: str, **quality: object) -> int:
    (out.parent / "config.yaml").write_text(yaml.safe_dump({"quality": quality}))
    config = ["--config", str(out.parent / "config.yaml"), "--out", str(out)]
    return run_command(["run", str(slide), *config, *options])


@pytest.fixture(scope="module")
def finished(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run without thresholds; copied before it is changed."""
    out = tmp_path_factory.mktemp("finished") / "out"
    assert run(slide, out, "--workers", "1") == 0
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "out", copy_function=shutil.copy2)
    return tmp_path / "out"


def only_store(out: Path) -> FeatureStore:
    (path,) = find_stores(out / "features")
    return FeatureStore.open(path)


def files(out: Path) -> dict[Path, tuple[int, int]]:
    """Every file of the stores with its inode and time of change."""
    found = (path for path in (out / "features").rglob("*") if path.is_file())
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def test_a_store_holds_the_columns_of_every_tile(finished: Path) -> None:
    columns = only_store(finished).columns
    assert tuple(columns) == ("tissue_share", *COLUMNS)
    assert all(np.isfinite(values).all() for values in columns.values())
    assert columns["pen_blue_share"].max() > 0.1
    recipe = only_store(finished).provenance.recipes["embed"]["quality"]
    assert recipe == {"columns": list(COLUMNS), "version": QUALITY_VERSION}


@pytest.mark.parametrize(("workers", "batch"), [("2", "5"), ("2", "1")])
def test_columns_do_not_depend_on_workers_and_batch(
    finished: Path, slide: Path, tmp_path: Path, workers: str, batch: str
) -> None:
    assert run(slide, tmp_path / "out", "--workers", workers, "--batch", batch, "--no-report") == 0
    chunk = "columns/c/0/0"
    assert (only_store(tmp_path / "out").path / chunk).read_bytes() == (only_store(finished).path / chunk).read_bytes()


def test_without_thresholds_every_tile_is_kept(finished: Path) -> None:
    store = only_store(finished)
    assert kept_rows(Outputs(finished), store).all()
    (path,) = (finished / "marks").glob("keep__*/inked.parquet")
    assert pq.read_table(path).column_names == ["row", "keep", "invalid"]


def test_another_threshold_changes_what_is_kept_and_no_store(out: Path, slide: Path) -> None:
    before, store = files(out), only_store(out)
    assert run(slide, out, **STRICT) == 0
    assert files(out) == before
    kept = wsi_features.open(out).kept("inked")
    columns = store.columns
    assert np.array_equal(kept, (columns["white_share"] <= 0.2) & (columns["pen_share"] <= 0.05))
    assert 0 < kept.sum() < len(store)
    assert run(slide, out) == 0
    assert kept_rows(Outputs(out), store).all()
    assert files(out) == before


def test_marks_say_which_thresholds_speak_against_a_tile(out: Path, slide: Path) -> None:
    assert run(slide, out, **STRICT) == 0
    facts = read_record(Outputs(out).record("marks", "00000"))["inked"].facts["marks"]
    (found,) = facts.values()
    marks, columns = pq.read_table(out / "marks" / found["folder"] / "inked.parquet"), only_store(out).columns
    assert marks["pen_share_high"].to_pylist() == (columns["pen_share"] > 0.05).astype(float).tolist()
    assert marks["keep"].to_numpy().sum() == found["kept"]
    assert found["reasons"]["white_share_high"] == (columns["white_share"] > 0.2).sum()
    assert set(found["reasons"]) == {"invalid", "white_share_high", "pen_share_high"}


def test_marks_of_another_store_and_damaged_ones_are_made_anew(out: Path, slide: Path) -> None:
    assert run(slide, out, **STRICT) == 0
    (path,) = (path for path in (out / "marks").glob("*/*.parquet") if pq.read_metadata(path).num_columns == 5)
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(ArtifactError, match="'inked': marks"):
        kept_rows(Outputs(out), only_store(out))
    assert run(slide, out, **STRICT) == 0
    assert path.read_bytes() == whole


def test_another_filter_can_be_made_of_a_finished_output(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, store = files(out), only_store(out)
    assert run_command(["quality", str(out)]) == 0
    assert "nuclei_per_mm2" in capsys.readouterr().out
    assert run_command(["quality", str(out), "--threshold", "white_share<=0.2", "--name", "mine"]) == 0
    assert f"of {len(store)} tiles of 1 slides kept" in capsys.readouterr().out
    kept = kept_rows(Outputs(out), store, "mine")
    assert np.array_equal(kept, store.columns["white_share"] <= 0.2)
    assert kept_rows(Outputs(out), store).all()  # that of the run stays what it was
    assert files(out) == before
    with pytest.raises(ArtifactError, match="keep marks 'theirs' are not one folder; there are keep__"):
        kept_rows(Outputs(out), store, "theirs")


def test_wrong_thresholds_are_refused(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["quality", str(out), "--threshold", "blur<=3"]) == 2
    assert "threshold 'blur<=3' cannot be read" in capsys.readouterr().err
    assert run_command(["quality", str(out), "--suggested", "--name", "../x"]) == 2


def test_dropped_tiles_are_in_no_store_and_are_counted(finished: Path, slide: Path, tmp_path: Path) -> None:
    assert run(slide, tmp_path / "out", "--no-report", drop=True, **STRICT) == 0
    whole, part = only_store(finished), only_store(tmp_path / "out")
    columns = whole.columns
    kept = (columns["white_share"] <= 0.2) & (columns["pen_share"] <= 0.05)
    assert np.array_equal(part.coords, whole.coords[kept])
    np.testing.assert_allclose(part.features[:], whole.features[:][kept], rtol=1e-5)
    assert part.provenance.recipes["embed"]["quality"]["drop"] == STRICT["thresholds"]
    for reused in (False, True):
        record = json.loads((tmp_path / "out/records/embed/00000.json").read_text())
        (facts,) = record["slides"]["inked"]["facts"]["stores"].values()
        assert (facts["tiles"], facts["dropped"], facts["reused"]) == (kept.sum(), (~kept).sum(), reused)
        assert run(slide, tmp_path / "out", "--no-report", drop=True, **STRICT) == 0


def test_stores_without_columns_are_those_of_earlier_releases(
    slide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(slide, tmp_path / "out", "--no-report", measure=False) == 0
    store = only_store(tmp_path / "out")
    assert tuple(store.columns) == ("tissue_share",)
    assert "quality" not in store.provenance.recipes["embed"]
    assert run_command(["quality", str(tmp_path / "out"), "--suggested"]) == 2
    assert "has no column 'blood_share'" in capsys.readouterr().err


def test_encoders_of_one_reading_share_the_columns(
    finished: Path, slide: Path, tmp_path: Path, tiny_card: Callable[..., EncoderCard], tiny_weights: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_card(tile_px=256).model_dump(mode="json")))
    both = ["--encoder", "histo-texture", "--encoder", str(tmp_path / "tiny.yaml")]
    weights = ["--weights", f"{tmp_path / 'tiny.yaml'}={tiny_weights}", "--device", "cpu", "--no-report"]
    assert run(slide, tmp_path / "out", *both, *weights) == 0
    stores = [FeatureStore.open(path) for path in find_stores(tmp_path / "out")]
    assert len(stores) == 2
    for name, wanted in only_store(finished).columns.items():
        assert all(np.array_equal(store.columns[name], wanted) for store in stores)


def test_an_invalid_tile_is_not_kept_and_what_is_not_known_speaks_against_none() -> None:
    columns = {"sharpness": np.array([0.2, np.nan, 0.01, 0.2], np.float32)}
    valid = np.array([True, True, True, False])
    names, values = kept_columns(columns, valid, {"sharpness": {"min": 0.05, "max": 0.5}})
    assert names == ("keep", "invalid", "sharpness_high", "sharpness_low")
    assert values.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0]]
