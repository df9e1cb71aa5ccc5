"""Tiles from lists, at random and in grids that belong together, through whole runs into stores."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from wsi_features import Cohort, FeatureStore
from wsi_features.cli.main import run_command
from wsi_features.cohort.relatives import parent_rows
from wsi_features.errors import StoreError
from wsi_features.geometry import Size
from wsi_features.slides import open_slide
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages.plan import plan_of
from wsi_features.tiles import ReadRecipe, tile_batches
from wsi_features.tiles.grid import scale_of_span
from wsi_features.tiles.sources import place, read_list

SPOTS = [(700.0, 300.5), (300.0, 500.0), (900.0, 300.5), (500.5, 700.0)]
"""Centres, not in raster order."""


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "one.svs"
    write_slide(path, SlideSpec(width=1536, height=1152, seed=3, mpp=0.5, objective=20, levels=(1, 4)))
    return path


def run(folder: Path, rows: dict[str, Path | str], slide: Path, code: int = 0, **tiles: Any) -> Path:
    """Take the slide through a run with these values of `tiles`, once for each list by the name to give the slide."""
    lines = [f"{name},{slide},{path}" for name, path in rows.items()]
    (folder / "cohort.csv").write_text("\n".join(["slide_id,path,coordinates", *lines]) + "\n")
    (folder / "config.yaml").write_text(json.dumps({"tiles": {"size": 128, "mpp": 0.5} | tiles}))
    command = ["run", str(folder / "cohort.csv"), "--config", str(folder / "config.yaml"), "--no-report"]
    assert run_command([*command, "--out", str(folder / "out")]) == code
    return folder / "out"


def status(out: Path) -> dict[str, dict[str, str]]:
    with (out / "status.tsv").open(newline="") as file:
        return {row["slide_id"]: row for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture(scope="module")
def stores(slide: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, FeatureStore]]:
    """The checked stores of the slide by tiling, after a run with these values of `tiles`; all runs share one mask."""
    folder = tmp_path_factory.mktemp("run")

    def run_and_open(**tiles: Any) -> dict[str, FeatureStore]:
        out = run(folder, {"one": ""}, slide, **tiles)
        found = [FeatureStore.open(out / path) for path in status(out)["one"]["stores"].split(";")]
        for store in found:
            store.check()
        return {store.path.parent.name.split("__")[1]: store for store in found}

    return run_and_open


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One set of tiles as spots, as TRIDENT's file and as CLAM's, with the layout that each writes."""
    folder = tmp_path_factory.mktemp("lists")
    rows = [f"spot-{i},{i % 2},{x},{y},128" for i, (x, y) in enumerate(SPOTS)]
    (folder / "spots.csv").write_text("\n".join(["barcode,cluster,x,y,size", *rows]) + "\n")
    corners = np.array([[int(np.floor(x - 64 + 0.5)), int(np.floor(y - 64 + 0.5))] for x, y in SPOTS])
    about = {"patch_size": 64, "patch_size_level0": np.float64(128.0), "level0_magnification": 20}
    about |= {"target_magnification": 10.0, "overlap": 0, "name": "one", "savetodir": "None"}
    write_coords(folder / "trident.h5", corners, (1, 2), about | {"level0_width": 1536, "level0_height": 1152})
    clam = {"patch_size": 32, "patch_level": 1, "downsample": (4.0, 4.0), "downsampled_level_dim": (384, 288)}
    clam |= {"level_dim": (384, 288), "name": "one", "save_path": "patches"}
    write_coords(folder / "clam.h5", corners, (32, 2), clam)
    return {path.stem: path for path in sorted(folder.iterdir())}


def write_coords(path: Path, corners: np.ndarray[Any, Any], chunks: tuple[int, int], about: dict[str, Any]) -> None:
    with h5py.File(path, "w") as file:
        made = file.create_dataset("coords", data=corners.astype(np.int64), chunks=chunks, maxshape=(None, 2))
        made.attrs.update(about)


@pytest.fixture(scope="module")
def listed(slide: Path, lists: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("listed")
    (folder / "wrong.csv").write_text("x,y\n100,100\n1500,70\n100,100\nnan,3\n")
    rows = {"wrong": folder / "wrong.csv", **lists}
    return Cohort.open(run(folder, rows, slide, code=1, source="coordinates", coordinates_at="centre"))


def test_a_list_is_taken_whole_and_its_rows_stay_known(listed: Cohort) -> None:
    store = listed.store("spots")
    store.check()
    rows = store.columns["list_row"].astype(int)
    assert rows.tolist() == [0, 2, 1, 3]
    assert store.coords.tolist() == [[636, 237], [836, 237], [236, 436], [437, 636]]
    assert store.columns["list:cluster"].tolist() == [0, 0, 1, 1]
    assert listed.tile_columns("spots")["list:id"].tolist() == [f"spot-{row}" for row in rows]


def test_lists_of_other_programs_give_the_same_features(listed: Cohort) -> None:
    spots = listed.store("spots")
    for name in ("trident", "clam"):
        store = listed.store(name)
        np.testing.assert_array_equal(store.coords, spots.coords)
        np.testing.assert_array_equal(store.features[:], spots.features[:])
        assert store.provenance.span == 128


def test_tiles_are_the_pixels_that_clam_reads(slide: Path, lists: dict[str, Path]) -> None:
    openslide = pytest.importorskip("openslide")
    with openslide.OpenSlide(slide) as source:
        downsamples = tuple((d, d) for d in source.level_downsamples)
        corners = np.array([[236, 436], [404, 640]])  # whole pixels of level 1
        tiles = replace(read_list("one", lists["clam"], downsamples), x=corners[:, 0] * 1.0, y=corners[:, 1] * 1.0)
        tiles = replace(tiles, sizes=np.full(2, 128.0))
        scale = scale_of_span("one", downsamples, native=0.5, asked=2.0, size=32, span=128, step=128)
        grid = place("one", tiles, Size(1536, 1152), span=128, size=32).grid
        wanted = [np.asarray(source.read_region(corner, 1, (32, 32)).convert("RGB")) for corner in corners.tolist()]
    (batch,) = tile_batches(lambda: open_slide("one", slide), grid, scale, ReadRecipe(), batch=4, workers=1)
    np.testing.assert_array_equal(batch.pixels, wanted)


def test_a_list_that_was_changed_reruns_its_shard_and_no_other(
    slide: Path, lists: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_bytes(lists["spots"].read_bytes())
    (tmp_path / "cohort.csv").write_text(f"slide_id,path,coordinates\na,{slide},list.csv\nb,{slide},\n")
    values = {"manifest": str(tmp_path / "cohort.csv"), "out": str(tmp_path), "tuning": {"slides_per_shard": 1}}
    before = [plan_of(values).slides(shard) for shard in ("00000", "00001")]
    (tmp_path / "list.csv").write_text("x,y\n1,2\n")
    after = [plan_of(values).slides(shard) for shard in ("00000", "00001")]
    assert (before[0] != after[0], before[1] == after[1]) == (True, True)


def test_inspect_counts_the_tiles_of_a_list_and_finds_its_faults(
    slide: Path, lists: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wrong.csv").write_text("x,y\n1500,2\n")
    rows = [f"a,{slide},{lists['trident']}", f"b,{slide},wrong.csv"]
    (tmp_path / "cohort.csv").write_text("\n".join(["slide_id,path,coordinates", *rows]) + "\n")
    (tmp_path / "config.yaml").write_text("tiles: {size: 128}")
    command = ["inspect", str(tmp_path / "cohort.csv"), "--config", str(tmp_path / "config.yaml"), "--json"]
    assert run_command(command) == 1
    good, wrong = map(json.loads, capsys.readouterr().out.splitlines())
    assert (good["estimate"]["tiles"], wrong["reason"]) == (4, "coordinates")
    assert "line 2: x=1500, y=2" in wrong["remedy"]


def test_a_store_names_the_list_by_its_digest(listed: Cohort) -> None:
    own = [listed.store(name).provenance for name in ("spots", "trident", "clam")]
    assert len({about.fingerprints["coordinates"] for about in own}) == 3
    assert own[0].recipes["tiles"]["source"] == "coordinates"


def test_a_slide_with_a_wrong_list_fails_alone(listed: Cohort) -> None:
    rows = status(listed.out.root)
    assert {name for name, row in rows.items() if row["status"] == "ok"} == {"spots", "trident", "clam"}
    assert rows["wrong"]["reason"] == "coordinates"
    assert "line 3: x=1500, y=70; a tile of 128 px there is not wholly on" in rows["wrong"]["message"]
    assert "(3 of 4 rows are at fault)" in rows["wrong"]["message"]


def test_parents_hold_the_tiles_that_name_them(stores: Callable[..., dict[str, FeatureStore]]) -> None:
    found = stores(nested="parents", factors=[2, 4])
    fine, middle, coarse = (found[name] for name in ("128px_0.5mpp", "128px_1.0mpp_parent2", "128px_2.0mpp_parent4"))
    for child, parent in ((fine, middle), (middle, coarse)):
        rows = parent_rows(child, parent)
        inside = child.coords - parent.coords[rows]
        assert (inside >= 0).all()
        assert (inside + child.provenance.span <= parent.provenance.span).all()
        assert set(rows.tolist()) == set(range(len(parent)))
    with pytest.raises(StoreError, match="is not of the tiles around those of"):
        parent_rows(fine, coarse)
    assert coarse.provenance.mpp_effective == 2.0


def test_regions_are_whole(stores: Callable[..., dict[str, FeatureStore]]) -> None:
    store = stores(nested="regions", factors=[4])["128px_0.5mpp"]
    order = np.lexsort((store.columns["region:column"], store.columns["region:row"], store.columns["region"]))
    blocks = store.coords[order].reshape(-1, 4, 4, 2)
    assert len(np.unique(blocks[:, 0, 0], axis=0)) == len(blocks) > 0
    np.testing.assert_array_equal(blocks[:, 2, 3] - blocks[:, 0, 0], [[384, 256]] * len(blocks))


def test_contexts_are_centred_on_random_tiles_row_by_row(stores: Callable[..., dict[str, FeatureStore]]) -> None:
    found = stores(source="random", sample=7, min_tissue=0.5, nested="context", factors=[3])
    tile, context = found["128px_0.5mpp"], found["128px_1.5mpp_context3"]
    np.testing.assert_array_equal(context.coords + 128, tile.coords)
    assert (tile.columns["tissue_share"] >= 0.5).all()
    assert context.columns["drawn"].tolist() == tile.columns["drawn"].tolist()
    assert parent_rows(tile, context).tolist() == list(range(7))
    assert (context.provenance.span, context.provenance.mpp_asked) == (384, 1.5)
