"""Annotations and masks of the manifest through the stages tissue and tiles, as the command line takes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from wsi_features.cli.main import run_command
from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import SlideResult, read_record
from wsi_features.config import Config, config_from
from wsi_features.errors import AnnotationError, ConfigError
from wsi_features.geometry import Size
from wsi_features.stages.annotated import Drawn, check_drawn, drawn_on
from wsi_features.stages.encoders import encoder_plans
from wsi_features.stages.lineage import Lineage
from wsi_features.tiles import TileTable, read_tiles
from wsi_features.tissue import TissueMask, to_text
from wsi_features.tissue.shares import area_shares

WIDTH, HEIGHT = 3072, 2304
TUMOR, NECROSIS, TISSUE = (0, 0, 1000, HEIGHT), (300, 700, 1700, 1300), (512, 512, 2048, 1536)

ROWS = {
    "plain": {},
    "tumor": {"Tumor": TUMOR},
    "both": {"Tumor": TUMOR, "Necrosis": NECROSIS},
    "drawn": {"Tissue": TISSUE, "Tumor: Positive": TUMOR},
    "case": {"tumor": TUMOR},
    "other": {"Stroma": TUMOR},
    "fleck": {"Tumor": (900, 900, 905, 907)},
}
"""Slides, all of one file, by what is drawn on them."""


def box(left: int, top: int, right: int, bottom: int) -> Any:
    return [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]]


def geojson(path: Path, classes: dict[str, tuple[int, int, int, int]]) -> Path:
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": box(*at)}, "properties": {"classification": {"name": name}}}
        for name, at in classes.items()
    ]  # fmt: skip
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.fixture(scope="module")
def folder(slide_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort whose tissue is found: `out` beside `cohort.csv`."""
    made = tmp_path_factory.mktemp("annotated")
    lines = ["slide_id,path,annotations,mask"]
    for name, classes in ROWS.items():
        drawn = geojson(made / f"{name}.geojson", classes) if classes else ""
        lines.append(f"{name},{slide_folder / 'small.svs'},{drawn},")
    half = np.zeros((288, 384), np.uint16)
    half[:, 192:] = 7
    cv2.imwrite(str(made / "mask.png"), half)
    cv2.imwrite(str(made / "square.png"), half[:, :288])
    for name, mask, drawn in (
        ("masked", "mask", ""),
        ("square", "square", ""),
        ("twice", "mask", made / "drawn.geojson"),
    ):
        lines.append(f"{name},{slide_folder / 'small.svs'},{drawn},{made / f'{mask}.png'}")
    (made / "cohort.csv").write_text("\n".join(lines) + "\n")
    assert stage(made, "tissue", {"tiles": {"include": ["Tumor", "Stroma"]}}) == 1
    return made


def stage(folder: Path, name: str, config: dict[str, Any]) -> int:
    (folder / "config.yaml").write_text(yaml.safe_dump({"out": str(folder / "out"), **config}))
    return run_command([name, str(folder / "cohort.csv"), "--config", str(folder / "config.yaml")])


@pytest.fixture
def tables(folder: Path) -> Callable[..., dict[str, TileTable]]:
    """The tile tables of a config of tiles, by slide."""

    def made(**tiles: Any) -> dict[str, TileTable]:
        stage(folder, "tiles", {"tiles": {"size": 128, "mpp": 0.5, **tiles}})
        found = (folder / "out/tiles/128px_0.5mpp").glob("*.parquet")
        ended = read_record(Outputs(folder / "out").record("tiles", "00000"))
        return {path.stem: read_tiles(path.stem, path) for path in found if ended[path.stem].status != "failed"}

    return made


def result(folder: Path, stage: str, slide_id: str) -> SlideResult:
    return read_record(Outputs(folder / "out").record(stage, "00000"))[slide_id]


def test_a_tumour_alone_leaves_the_segmented_mask_and_its_fingerprint(folder: Path) -> None:
    plain, tumor, both = (result(folder, "tissue", name) for name in ("plain", "tumor", "both"))
    assert plain.fingerprint == tumor.fingerprint == both.fingerprint
    assert plain.facts["tissue_mm2"] == tumor.facts["tissue_mm2"] > 0.1


def test_drawn_tissue_and_a_mask_image_each_replace_the_segmented_mask(folder: Path) -> None:
    left, top, right, bottom = TISSUE
    area = (right - left) * (bottom - top) * 0.25e-6
    assert result(folder, "tissue", "drawn").facts["tissue_mm2"] == pytest.approx(area, rel=1e-3)
    assert result(folder, "tissue", "masked").facts["tissue_mm2"] == pytest.approx(WIDTH / 2 * HEIGHT * 0.25e-6)
    about = json.loads((folder / "out/slides/masked/tissue.geojson").read_text())["wsi_features"]
    assert about["source"] == "mask"


@pytest.mark.parametrize(
    ("slide_id", "why"),
    [
        ("case", "have the class 'tumor', the recipe names 'Tumor'. Write it the same way in both."),
        ("square", "has 288 x 288 pixels, the slide 3072 x 2304"),
        ("twice", "both the mask"),
    ],
)
def test_what_is_in_doubt_fails_its_slide_with_the_remedy(folder: Path, slide_id: str, why: str) -> None:
    found = result(folder, "tissue", slide_id)
    assert (found.status, found.reason) == ("failed", "annotations")
    assert why in found.message


def test_a_file_of_no_use_is_refused_unless_the_recipe_says_segment(folder: Path, tmp_path: Path) -> None:
    row = (folder / "cohort.csv").read_text().splitlines()
    (tmp_path / "cohort.csv").write_text("\n".join([row[0], row[1 + list(ROWS).index("other")]]) + "\n")
    assert stage(tmp_path, "tissue", {}) == 1
    assert "`tissue.without_class: segment`" in result(tmp_path, "tissue", "other").message
    assert stage(tmp_path, "tissue", {"tissue": {"without_class": "segment"}}) == 0
    assert result(tmp_path, "tissue", "other").fingerprint == result(folder, "tissue", "plain").fingerprint


def test_a_file_without_any_object_says_that_no_class_is_there(tmp_path: Path) -> None:
    row = ManifestRow(slide_id="s1", path="s1.svs", annotations=str(geojson(tmp_path / "none.geojson", {})))
    drawn = drawn_on(row)
    assert not drawn.replaces_mask("Tissue")
    check_drawn(row, drawn, config_from({"tiles": {"include": ["Tumor"]}}, "test"))
    with pytest.raises(AnnotationError, match="no object at all"):
        check_drawn(row, drawn, Config())
    (tmp_path / "none.geojson").write_text(
        to_text(TissueMask(np.zeros((3, 4), np.bool_), Size(40, 30)), mpp=1, class_name="Tissue", extra={})
    )
    assert drawn_on(row).replaces_mask("Tissue")


def test_included_tiles_are_those_with_enough_of_the_class(tables: Callable[..., dict[str, TileTable]]) -> None:
    import shapely

    every = tables()["tumor"]
    assert not every.extra
    shares = area_shares(shapely.box(*TUMOR), every.grid.origins, 128)
    wanted = shares >= 0.25
    found = tables(include=["Tumor"], min_include=0.25)["tumor"]
    assert 0 < len(found) == wanted.sum() < len(every)
    np.testing.assert_array_equal(found.grid.origins, every.grid.origins[wanted])
    np.testing.assert_array_equal(found.tissue_share, every.tissue_share[wanted])
    np.testing.assert_array_equal(found.extra["annotation:Tumor"], shares[wanted])
    assert found.extra["annotation:Tumor"].min() == 104 / 128


def test_excluded_tiles_are_left_out_where_the_class_is_and_nowhere_else(
    tables: Callable[..., dict[str, TileTable]],
) -> None:
    every, found = tables(), tables(exclude=["Necrosis"], max_exclude=0.0)
    x, y = every["both"].grid.origins.T
    touches = (x < 1700) & (x + 128 > 300) & (y < 1300) & (y + 128 > 700)
    np.testing.assert_array_equal(found["both"].grid.origins, every["both"].grid.origins[~touches])
    assert len(found["tumor"]) == len(every["tumor"])
    assert not found["tumor"].extra["annotation:Necrosis"].any()


def test_a_slide_without_the_class_is_empty_with_the_reason(
    folder: Path, tables: Callable[..., dict[str, TileTable]]
) -> None:
    found = tables(include=["Tumor"])
    assert (len(found["plain"]), len(found["other"]), len(found["tumor"]) > 10) == (0, 0, True)
    ended = result(folder, "tiles", "other")
    assert (ended.status, ended.reason) == ("empty", "not_annotated")
    assert "no object of class 'Tumor' (found: 'Stroma')" in ended.message
    assert "the manifest names no annotations" in result(folder, "tiles", "plain").message
    assert result(folder, "tiles", "fleck").reason == "none_included"
    assert "no tile with enough tissue has at least 0.5 of 'Tumor'." in result(folder, "tiles", "fleck").message


def test_a_slide_without_a_class_fails_where_the_recipe_asks_for_all(
    folder: Path, tables: Callable[..., dict[str, TileTable]]
) -> None:
    tables(include=["Tumor"], exclude=["Necrosis"], absent_class="fail")
    assert [result(folder, "tiles", name).status for name in ("both", "tumor", "plain")] == ["ok", "failed", "failed"]
    assert "no object of class 'Necrosis' (found: 'Tumor')" in result(folder, "tiles", "tumor").message


def test_a_slide_gets_at_most_so_many_tiles_in_raster_order(tables: Callable[..., dict[str, TileTable]]) -> None:
    every, found = tables()["plain"], tables(max_tiles=30)["plain"]
    places = [every.grid.index.tolist().index(at) for at in found.grid.index.tolist()]
    assert len(places) == 30
    assert places == sorted(places)
    assert len(tables(max_tiles=30, include=["Tumor"])["both"]) == 30


@pytest.mark.parametrize("tiles", [{"include": ["A"], "exclude": ["A"]}, {"include": [" "]}, {"include": "Tumor"}])
def test_classes_that_are_in_doubt_are_refused_by_the_config(tiles: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"`tiles"):
        config_from({"tiles": tiles}, "test")


def fingerprints(config: Config, drawn: Drawn) -> dict[str, str]:
    tiles, lineage = encoder_plans(config)[0].tiles, Lineage("s1", "c" * 64, {"mpp": None}, drawn)
    return {
        "tissue": lineage.tissue(config), "tiles": lineage.tiles(config, tiles),
        "stain": lineage.stain(config), "embed": lineage.embed(config, tiles, {}),
    }  # fmt: skip


USED = {"tiles": {"include": ["Tumor"]}}


@pytest.mark.parametrize(
    ("config", "before", "after", "stages"),
    [
        ({}, {"Tumor": "1"}, {"Tumor": "2", "Fat": "1"}, set()),
        ({}, {}, {"Tumor": "2"}, set()),
        ({}, {"Tissue": "1", "Tumor": "1"}, {"Tissue": "1", "Tumor": "2"}, set()),
        ({}, {"Tissue": "1", "Tumor": "1"}, {"Tissue": "2", "Tumor": "1"}, {"tissue", "tiles", "stain", "embed"}),
        (USED, {"Tumor": "1", "Fat": "1"}, {"Tumor": "1", "Fat": "2"}, set()),
        (USED, {"Tumor": "1"}, {"Tumor": "2"}, {"tiles", "embed"}),
        (USED, {}, {"Tumor": "2"}, {"tiles", "embed"}),
    ],
)
def test_an_edited_class_redoes_only_what_uses_it(
    config: dict[str, Any], before: dict[str, str], after: dict[str, str], stages: set[str]
) -> None:
    loaded = config_from(config, "test")
    first, second = (Drawn("a.geojson" if c else "", whole, classes=c) for c, whole in ((before, "w1"), (after, "w2")))
    old, new = fingerprints(loaded, first), fingerprints(loaded, second)
    assert {stage for stage in old if old[stage] != new[stage]} == stages


def test_a_file_of_tissue_alone_counts_by_its_bytes_as_before_and_a_mask_by_its_own() -> None:
    alone = Drawn("a.geojson", "w1", classes={"Tissue": "1"})
    assert (alone.for_tissue("Tissue"), Drawn("e.geojson", "w0", empty_mask=True).for_tissue("Tissue")) == ("w1", "w0")
    assert replace(alone, mask="m1").for_tissue("Tissue") == "mask:m1"
    assert Drawn().for_tissue("Tissue") == ""
