"""The whole chain on small made slides, as a user calls it."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import wsi_features
from wsi_features.cli.main import run_command
from wsi_features.errors import SlideError


def tree(folder: Path) -> dict[str, str]:
    """Every file below `folder` with its SHA-256."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def status(out: Path) -> dict[str, dict[str, str]]:
    with (out / "status.tsv").open(newline="") as file:
        return {row["slide_id"]: row for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture(scope="module")
def cohort(slide_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder of two slides with tissue and one without."""
    out = tmp_path_factory.mktemp("out")
    assert run_command(["run", str(slide_folder), "--out", str(out), "--stain", "macenko"]) == 0
    return out


def test_every_slide_ends_with_a_status(cohort: Path) -> None:
    rows = status(cohort)
    assert {name: row["status"] for name, row in rows.items()} == {"fine": "ok", "glass": "empty", "small": "ok"}
    assert int(rows["small"]["tiles"]) > 10
    assert float(rows["fine"]["tissue_mm2"]) > 0.1
    assert (rows["fine"]["mpp"], rows["fine"]["mpp_source"]) == ("0.2431", "aperio text")


def test_a_slide_without_tissue_has_a_valid_store_of_no_rows(cohort: Path) -> None:
    store = wsi_features.open(str(cohort)).store("glass")
    assert (len(store), store.status, store.features[:].shape) == (0, "empty", (0, store.dim))
    store.check()


def test_a_store_tells_how_its_numbers_were_made(cohort: Path) -> None:
    about = wsi_features.open(str(cohort)).store("fine").attributes
    assert (about["mpp_asked"], about["mpp_native"], about["span"], about["tile_px"]) == (0.5, 0.2431, 527, 256)
    assert about["stain"]["method"] == "macenko"
    assert set(about["recipes"]) == {"tissue", "tiles", "stain", "embed"}
    assert set(about["fingerprints"]) >= {"preflight", "tissue", "tiles", "stain"}


def test_rows_are_in_raster_order_and_tiles_hold_tissue(cohort: Path) -> None:
    store = wsi_features.open(str(cohort)).store("fine")
    columns, rows = store.grid.T.astype(np.int64)
    assert (np.diff(rows * 100_000 + columns) > 0).all()
    assert (store.columns["tissue_share"] >= 0.1).all()
    np.testing.assert_array_equal(store.coords, store.grid * store.attributes["step"])


def test_the_outline_opens_as_geojson_and_can_be_fed_back(cohort: Path, slide_folder: Path, tmp_path: Path) -> None:
    outline = json.loads((cohort / "slides/small/tissue.geojson").read_text())
    outline["features"] = outline["features"][:1]
    edited = tmp_path / "edited.geojson"
    edited.write_text(json.dumps(outline))
    sheet = tmp_path / "cohort.csv"
    sheet.write_text(f"slide_id,path,annotations\nsmall,{slide_folder / 'small.svs'},{edited}\n")
    assert run_command(["run", str(sheet), "--out", str(tmp_path / "out"), "--no-report"]) == 0
    edited_mm2, whole_mm2 = (float(status(o)["small"]["tissue_mm2"]) for o in (tmp_path / "out", cohort))
    assert 0 < edited_mm2 <= whole_mm2
    assert int(status(tmp_path / "out")["small"]["tiles"]) <= int(status(cohort)["small"]["tiles"])


def test_two_runs_give_the_same_bytes(cohort: Path, slide_folder: Path, tmp_path: Path) -> None:
    options = ["--out", str(tmp_path), "--stain", "macenko", "--workers", "1"]
    assert run_command(["run", str(slide_folder), *options]) == 0
    for part in ("features", "tiles", "stain", "slides"):
        assert tree(tmp_path / part) == tree(cohort / part)


def test_a_finished_run_redoes_nothing(cohort: Path, slide_folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (cohort / "features").rglob("*")}
    assert run_command(["run", str(slide_folder), "--out", str(cohort), "--stain", "macenko"]) == 0
    assert {path: path.stat().st_mtime_ns for path in (cohort / "features").rglob("*")} == before


def test_another_recipe_gets_another_feature_set(cohort: Path, slide_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(cohort, out)
    run_command(["run", str(slide_folder), "--out", str(out), "--stain", "none", "--no-report"])
    names = sorted(path.name.split("__")[2] for path in (out / "features").iterdir())
    assert names == ["macenko", "none"]
    assert wsi_features.open(str(out)).feature_set.split("__")[2] == "none"


def test_broken_slides_do_not_stop_the_others(
    broken_slides: dict[str, Path], slide_folder: Path, tmp_path: Path, cohort: Path
) -> None:
    sheet = tmp_path / "cohort.csv"
    files = {**broken_slides, "small": slide_folder / "small.svs"}
    sheet.write_text("slide_id,path\n" + "".join(f"{name},{path}\n" for name, path in files.items()))
    out = tmp_path / "out"
    assert run_command(["run", str(sheet), "--out", str(out), "--stain", "macenko"]) == 1
    rows = status(out)
    assert {name: row["reason"] for name, row in rows.items()} == {
        "nompp": "mpp", "small": "", "text": "unreadable_slide", "truncated": rows["truncated"]["reason"], "zero": "unreadable_slide",
    }  # fmt: skip
    assert rows["truncated"]["reason"] in {"unreadable_slide", "bad_tiles"}
    for name in broken_slides:
        assert rows[name]["status"] == "failed"
        assert f"slide '{name}'" in rows[name]["message"]
        assert not list(out.rglob(f"{name}.zarr"))
    small = next(path for path in (out / "features").rglob("small.zarr"))
    assert tree(small) == tree(next((cohort / "features").rglob("small.zarr")))


def test_annotations_that_cannot_be_used_fail_their_slide(slide_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.geojson").write_text("no outline")
    (tmp_path / "tumour.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    sheet = tmp_path / "cohort.csv"
    slide = slide_folder / "glass.svs"
    rows = [
        f"{name},{slide},{tmp_path / file}"
        for name, file in (("a", "text.geojson"), ("b", "tumour.geojson"), ("c", "."))
    ]
    sheet.write_text("\n".join(["slide_id,path,annotations", *rows, ""]))
    assert run_command(["run", str(sheet), "--out", str(tmp_path / "out"), "--no-report"]) == 1
    assert {(row["reason"], row["stage"]) for row in status(tmp_path / "out").values()} == {("annotations", "tissue")}


def test_a_failure_is_one_line_on_the_terminal(broken_slides: dict[str, Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wsi_features", "run", str(broken_slides["zero"]), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"zero failed [unreadable_slide]: slide 'zero': '{broken_slides['zero']}' has 0 bytes. Copy the slide again, then rerun."]  # fmt: skip
    assert "1 slides: 1 failed" in done.stdout


def test_a_run_killed_while_embedding_ends_with_the_same_bytes(
    slide_folder: Path, tmp_path: Path, cohort: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "wsi_features", "run", str(slide_folder), "--out", str(out), "--stain", "macenko"]
    running = subprocess.Popen([*command, "--batch", "1"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob("features/*/.*.zarr.*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert list(out.glob("features/*/.*.zarr.*")), "it was not killed while a store was being written"
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    assert tree(out / "features") == tree(cohort / "features")


@pytest.mark.full
@pytest.mark.parametrize("seed", range(30))
def test_a_run_killed_at_any_time_ends_with_the_same_bytes(
    slide_folder: Path, tmp_path: Path, cohort: Path, seed: int
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "wsi_features", "run", str(slide_folder), "--out", str(out), "--stain", "macenko"]
    for wait in np.random.default_rng(seed).uniform(0.2, 3.0, 3):
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(wait)
        running.kill()
        running.wait()
        begun = (out / "manifest.json").is_file()  # on a busy machine the imports alone take longer than some waits
        assert run_command(["check", str(out)]) == (0 if begun else 2), "a store is visible that is not complete"
    assert subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
    for part in ("features", "tiles", "stain", "slides"):
        assert {k: v for k, v in tree(out / part).items() if not k.endswith(".tmp")} == tree(cohort / part)


def test_the_python_call_gives_the_same_store(slide_folder: Path, cohort: Path, tmp_path: Path) -> None:
    store = wsi_features.embed(slide_folder / "fine.svs", out=tmp_path, stain={"method": "macenko"})
    assert tree(store.path) == tree(wsi_features.open(str(cohort)).store("fine").path)


def test_the_python_call_raises_what_the_status_says(broken_slides: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(SlideError, match="slide 'text'.*it holds plain text"):
        wsi_features.embed(broken_slides["text"], out=tmp_path)


def test_damaged_artifacts_are_made_again(cohort: Path, slide_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(cohort, out)
    (out / "slides/fine/tissue.png").write_bytes(b"")
    table = next((out / "tiles").rglob("small.parquet"))
    table.write_bytes(table.read_bytes()[:100])
    chunk = next((out / "features").rglob("small.zarr")) / "features/c/0/0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    assert run_command(["run", str(slide_folder), "--out", str(out), "--stain", "macenko"]) == 0
    for part in ("features", "tiles", "slides"):
        assert tree(out / part) == tree(cohort / part)


def test_with_overlap_and_another_scale_the_store_says_so(slide_folder: Path, tmp_path: Path) -> None:
    options = ["--mpp", "1.0", "--size", "128", "--overlap", "64", "--no-report"]
    assert run_command(["run", str(slide_folder / "fine.svs"), "--out", str(tmp_path), *options]) == 0
    about = wsi_features.open(str(tmp_path)).store("fine").attributes
    assert (about["tile_px"], about["level"], about["span"], about["step"]) == (128, 1, 527, 264)
    assert about["mpp_effective"] == pytest.approx(1.0, rel=0.002)
    assert (tmp_path / "tiles/128px_1.0mpp_64/fine.parquet").is_file()
