"""`annotate`, `curate` and `geojson` on a finished run: nothing is embedded anew."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely

from wsi_features import Cohort
from wsi_features.cli.main import run_command
from wsi_features.cohort.manifest import manifest_of_output
from wsi_features.cohort.marks import Marks, marks_of, read_marks
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import read_record
from wsi_features.errors import AnnotationError, ArtifactError, CurationError
from wsi_features.stages.annotation_marks import write_annotation_marks
from wsi_features.stages.curate import CurateRequest, kept_tiles, tile_colours
from wsi_features.stages.thumbnails import thumbnail_of
from wsi_features.store import FeatureStore, find_stores
from wsi_features.store.archive import pack
from wsi_features.tissue.shares import area_shares


def drawn(path: Path, **classes: tuple[int, int, int, int]) -> None:
    features = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(shapely.box(*box)),
            "properties": {"classification": {"name": name}},
        }
        for name, box in classes.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.fixture(scope="module")
def finished(slide_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the output `out` of three slides, of which one has annotations and one no tissue."""
    folder = tmp_path_factory.mktemp("commands")
    drawn(folder / "a.geojson", Tumor=(0, 0, 1000, 2304), Stroma=(600, 0, 3072, 1100))
    config = f"out: {folder / 'out'}\ntissue: {{without_class: segment}}\ntiles: {{size: 256, mpp: 0.5}}\n"
    (folder / "config.yaml").write_text(config)
    rows = [
        f"{name},{slide_folder / name}.svs,{folder / 'a.geojson' if name == 'small' else ''}"
        for name in ("small", "glass")
    ]
    (folder / "cohort.csv").write_text("\n".join(["slide_id,path,annotations", *rows]) + "\n")
    assert run_command(["run", str(folder / "cohort.csv"), "--config", str(folder / "config.yaml"), "--no-report"]) == 0
    return folder


@pytest.fixture
def out(finished: Path) -> Outputs:
    """The finished output without marks and exports of other tests."""
    for name in ("marks", "geojson"):
        shutil.rmtree(finished / "out" / name, ignore_errors=True)
    return Outputs(finished / "out")


@pytest.fixture
def store(out: Outputs) -> FeatureStore:
    return Cohort.open(out.root).store("small")


def marks(out: Outputs, store: FeatureStore) -> dict[str, Marks]:
    return {name.partition("__")[0]: found for name, found in marks_of(out, store)}


def test_annotated_classes_are_marks_of_their_exact_shares(out: Outputs, store: FeatureStore) -> None:
    assert run_command(["annotate", str(out.root)]) == 0
    found = marks(out, store)["annotation"]
    assert found.columns == ("annotation:Stroma", "annotation:Tumor")
    wanted = area_shares(shapely.box(0, 0, 1000, 2304), store.coords.astype(np.int64), store.provenance.span)
    np.testing.assert_array_equal(found.values[:, 1], wanted)
    assert 0 < wanted.mean() < 1
    assert "glass" not in {path.stem for path in out.marks.glob("*/*.parquet")}


def test_an_edited_annotation_makes_new_marks_and_leaves_the_store(
    out: Outputs, store: FeatureStore, tmp_path: Path
) -> None:
    row = next(row for row in manifest_of_output(out.root)[0] if row.slide_id == "small")
    path = write_annotation_marks(row, out, store)
    assert path is not None
    first, written = read_marks(path, store), path.stat().st_mtime_ns
    assert write_annotation_marks(row, out, store) == path
    assert path.stat().st_mtime_ns == written
    drawn(tmp_path / "b.geojson", Tumor=(0, 0, 50, 2304))
    write_annotation_marks(row.model_copy(update={"annotations": str(tmp_path / "b.geojson")}), out, store)
    assert read_marks(path, store).fingerprint != first.fingerprint
    assert read_marks(path, store).columns == ("annotation:Tumor",)
    assert write_annotation_marks(row.model_copy(update={"annotations": ""}), out, store) is None
    assert not path.exists()


def test_a_run_after_an_edit_of_a_class_that_nothing_uses_embeds_nothing(finished: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(finished, tmp_path / "copy")
    for file in ("cohort.csv", "config.yaml"):
        (copied / file).write_text((copied / file).read_text().replace(str(finished), str(copied)))
    drawn(copied / "a.geojson", Tumor=(0, 0, 50, 2304), Fat=(0, 0, 9, 9))
    assert run_command(["run", str(copied / "cohort.csv"), "--config", str(copied / "config.yaml"), "--no-report"]) == 0
    ended = read_record(Outputs(copied / "out").record("embed", "00000"))["small"]
    assert [store["reused"] for store in ended.facts["stores"].values()] == [True]


def test_a_damaged_annotation_file_leaves_no_marks(out: Outputs, store: FeatureStore, tmp_path: Path) -> None:
    row = next(row for row in manifest_of_output(out.root)[0] if row.slide_id == "small")
    (tmp_path / "b.geojson").write_text('{"type": "Feat')
    with pytest.raises(AnnotationError, match="not JSON"):
        write_annotation_marks(row.model_copy(update={"annotations": str(tmp_path / "b.geojson")}), out, store)
    assert not out.marks.exists()


@pytest.mark.parametrize("method", ["kmeans", "farthest", "cap"])
def test_curation_marks_as_many_tiles_as_asked(out: Outputs, store: FeatureStore, method: str) -> None:
    assert run_command(["curate", str(out.root), "--method", method, "--tiles", "9", "--name", "few"]) == 0
    found = marks(out, store)["few"]
    assert (found.kind, found.columns) == ("keep", ("keep",))
    assert sorted(set(found.values.ravel().tolist())) == [0.0, 1.0]
    assert (found.values.sum(), len(found.values)) == (9, len(store))
    assert found.about["method"] == method


def test_a_percentage_is_of_each_slide_and_the_same_request_changes_nothing(
    out: Outputs, store: FeatureStore, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["curate", str(out.root), "--method", "cap", "--percent", "20"]
    assert run_command(asked) == 0
    count = -(-len(store) // 5)
    assert f"{count} tiles of 2 slides chosen by cap, 2 slides of them now" in capsys.readouterr().out
    assert run_command(asked) == 0
    assert "0 slides of them now" in capsys.readouterr().out
    assert run_command([*asked, "--seed", "1"]) == 0
    assert len(list(out.marks.iterdir())) == 2


def test_the_colours_of_tiles_are_those_of_the_thumbnail_under_them(out: Outputs, store: FeatureStore) -> None:
    picture = np.zeros((9, 12, 3), np.uint8)  # a pixel is one tile of 256
    picture[..., 0], picture[..., 1] = np.arange(12) * 20, np.arange(9)[:, None] * 20
    np.testing.assert_allclose(tile_colours(picture, store)[:, :2], store.grid * 20)
    assert thumbnail_of(out, store).shape == (768, 1024, 3)


def test_cellularity_takes_the_tiles_of_most_nuclei(out: Outputs, store: FeatureStore) -> None:
    density = store.columns["nuclei_per_mm2"]
    kept = kept_tiles(out, store, CurateRequest("cellularity", tiles=5))
    assert kept.sum() == 5
    assert density[kept].min() >= np.median(density)


def test_cellularity_of_a_store_without_that_column_is_refused(out: Outputs, store: FeatureStore) -> None:
    bare = replace(store, attributes=store.attributes | {"column_names": ["tissue_share"]})
    with pytest.raises(CurationError, match=r"has no column 'nuclei_per_mm2' \(it has 'tissue_share'\)"):
        kept_tiles(out, bare, CurateRequest("cellularity", tiles=5))


@pytest.mark.parametrize("asked", [[], ["--tiles", "3", "--percent", "4"], ["--percent", "0"], ["--tiles", "0"]])
def test_a_request_in_doubt_is_refused(out: Outputs, asked: list[str]) -> None:
    assert run_command(["curate", str(out.root), "--method", "cap", *asked]) == 2
    assert not out.marks.exists()


def test_a_thumbnail_that_was_changed_is_refused(out: Outputs, store: FeatureStore) -> None:
    picture = out.slide("small", "thumbnail.jpg")
    whole = picture.read_bytes()
    picture.write_bytes(whole[:-20])
    with pytest.raises(ArtifactError, match="its SHA-256 has changed"):
        thumbnail_of(out, store)
    picture.write_bytes(whole)


def exported(out: Outputs, *asked: str, what: str = "tiles") -> dict[str, Any]:
    assert run_command(["geojson", str(out.root), "--what", what, *asked]) == 0
    files = sorted((out.root / "geojson" / what).glob("*.geojson"))
    return {file.stem: json.loads(file.read_text()) for file in files}


def test_tiles_go_to_qupath_with_columns_and_marks(out: Outputs, store: FeatureStore) -> None:
    assert run_command(["annotate", str(out.root)]) == 0
    assert run_command(["curate", str(out.root), "--method", "cap", "--tiles", "4"]) == 0
    found = exported(out)
    assert found["glass"]["features"] == []
    last = found["small"]["features"][-1]
    x, y = store.coords[-1].tolist()
    assert shapely.geometry.shape(last["geometry"]).bounds == (x, y, x + 256, y + 256)
    measured = last["properties"]["measurements"]
    assert set(measured) == {"row", *store.columns, "annotation:Tumor", "annotation:Stroma", "cap: keep"}
    assert measured["row"] == len(store) - 1
    assert measured["tissue_share"] == pytest.approx(float(store.columns["tissue_share"][-1]), rel=1e-6)


def test_stores_of_one_file_are_annotated_and_exported_too(finished: Path, tmp_path: Path) -> None:
    packed = Outputs(Path(shutil.copytree(finished / "out", tmp_path / "out")))
    for name in ("marks", "geojson", "tiles"):
        shutil.rmtree(packed.root / name, ignore_errors=True)
    for store in find_stores(packed.features):
        pack(store, store.with_name(store.name + ".zip"))
        shutil.rmtree(store)
    assert run_command(["annotate", str(packed.root)]) == 0
    measured = exported(packed)["small"]["features"][-1]["properties"]["measurements"]
    assert {"annotation:Tumor", "annotation:Stroma", "nuclei_per_mm2"} <= set(measured)


def test_before_embedding_tiles_come_from_their_tables(out: Outputs, store: FeatureStore, tmp_path: Path) -> None:
    copied = shutil.copytree(out.root, tmp_path / "out", ignore=shutil.ignore_patterns("features"))
    found = exported(Outputs(copied), "--slide", "small", "--as", "annotation")
    assert list(found) == ["small"]
    assert len(found["small"]["features"]) == len(store)
    assert found["small"]["features"][0]["properties"]["objectType"] == "annotation"


def test_outlines_and_annotations_are_written_too(out: Outputs) -> None:
    assert exported(out, what="tissue")["small"] == json.loads(out.slide("small", "tissue.geojson").read_text())
    names = [f["properties"]["classification"]["name"] for f in exported(out, what="annotations")["small"]["features"]]
    assert names == ["Stroma", "Tumor"]


def test_an_unknown_slide_and_a_run_without_tiles_are_refused(
    out: Outputs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["geojson", str(out.root), "--slide", "nobody"]) == 2
    assert "has no slide 'nobody'" in capsys.readouterr().err
    shutil.copy(out.manifest, tmp_path / "manifest.json")
    assert run_command(["geojson", str(tmp_path)]) == 2
    assert "holds no tiles" in capsys.readouterr().err
    assert run_command(["annotate", str(tmp_path)]) == 2
