"""Scores back on the slide: where they lie, what is refused, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import shapely
import tifffile

from wsi_features.cli.main import run_command
from wsi_features.cohort.marks import Marks, write_marks
from wsi_features.cohort.outputs import Outputs
from wsi_features.config import Tuning
from wsi_features.errors import HeatMapError, OutputError, ScoreTableError
from wsi_features.report.figures import OUTLINE, decoded, encoded
from wsi_features.slides import content_fingerprint
from wsi_features.stages.heatmaps import HeatMapRequest, heat_maps

from .conftest import CORNERS, SLIDE, SPAN, Run, TiledSlide

RunOf = Callable[..., Run]


def boxes(hot: Any, downsample: float) -> list[tuple[float, float, float, float]]:
    """Bounding boxes of the connected areas of a mask (h, w), in level-0 pixels, in raster order."""
    from scipy.ndimage import find_objects, label

    areas = find_objects(label(hot)[0])
    return [tuple(v * downsample for v in (x.start, y.start, x.stop, y.stop)) for y, x in areas]


def assert_on_tiles(found: list[tuple[float, float, float, float]], downsample: float) -> None:
    wanted = [(x, y, x + SPAN, y + SPAN) for x, y in CORNERS]
    assert len(found) == len(wanted)
    assert np.abs(np.array(found) - wanted).max() <= downsample


@pytest.mark.parametrize("downsample", [None, 7, 40])
def test_planted_tiles_are_found_at_their_corners_within_a_pixel_of_the_map(
    run_of: RunOf, downsample: int | None
) -> None:
    run = run_of(s1=TiledSlide())
    table = run.table({"s1": [1, 2, 3, 4, 5]})
    run.made("ome-tiff", scores=table, downsample=downsample, values=True)
    step = downsample or 16
    with openslide.OpenSlide(run.maps / "s1.ome.tiff") as slide:
        assert slide.dimensions == (-(-SLIDE[0] // step), -(-SLIDE[1] // step))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.5 * step)
        rgb = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[:, :, :3]
    assert_on_tiles(boxes((rgb < 255).any(axis=2), step), step)
    with tifffile.TiffFile(run.maps / "s1.ome.tiff") as file:
        np.testing.assert_array_equal(file.series[0].asarray(), rgb)
    values = tifffile.imread(run.maps / "s1.values.ome.tiff")
    assert_on_tiles(boxes(np.isfinite(values), step), step)
    middles = [values[int((y + SPAN / 2) / step), int((x + SPAN / 2) / step)] for x, y in CORNERS]
    assert middles == [1, 2, 3, 4, 5]


def test_the_map_has_the_resolution_that_is_asked_for(run_of: RunOf) -> None:
    run = run_of(s1=TiledSlide())
    run.made("ome-tiff", scores=run.table({"s1": [1, 2]}), mpp=20.3)
    with openslide.OpenSlide(run.maps / "s1.ome.tiff") as slide:
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.5 * 41)


def test_a_tile_is_drawn_over_its_own_tissue(run_of: RunOf, slide_file: Path) -> None:
    """Without opacity the picture is the slide; the same picture with it differs at the tiles alone."""
    run = run_of(s1=TiledSlide(slide_file))
    table = run.table({"s1": [1, 2, 3, 4, 5]})
    pictures = []
    for opacity in (0.0, 1.0):
        run.made("png", scores=table, opacity=opacity)
        pictures.append(decoded((run.maps / "s1.png").read_bytes()).astype(int))
    found = boxes((pictures[0] != pictures[1]).any(axis=2), 1)
    corner = np.array(found[0][:2] * 2)
    assert_on_tiles([tuple(box) for box in np.array(found) - corner], 0)


@pytest.mark.parametrize("other", [False, True])
def test_a_slide_that_is_gone_or_another_is_told_and_its_map_drawn_alone(
    run_of: RunOf, tmp_path: Path, *, other: bool
) -> None:
    path = tmp_path / "other.tif"
    if other:
        tifffile.imwrite(path, np.zeros((*SLIDE, 3), np.uint8), tile=(256, 256))
    run = run_of(s1=TiledSlide(path))
    tissue = np.zeros((9, 12), np.uint8)
    tissue[2:6, 3:10] = 255
    png = Outputs(run.out).slide("s1", "tissue.png")
    png.parent.mkdir(parents=True)
    png.write_bytes(encoded(np.repeat(tissue[:, :, None], 3, axis=2), "png"))
    said, note = run.made("png", "geojson", scores=run.table({"s1": [1, 2, 3, 4, 5]}))
    assert (said.said, said.failed, note.failed) == ("s1: 5 of 5 tiles; png, geojson", False, False)
    why = f"{str(path)!r} is not the slide that its features are of: it has 903 x 1201 pixels, wanted 1201 x 903"
    why = why if other else f"no file at {str(path)!r}"
    assert why in note.said
    assert note.said.endswith("Its map is drawn without the slide.")
    picture = decoded((run.maps / "s1.png").read_bytes())
    (outlined,) = boxes((picture == OUTLINE).all(axis=2), 1)
    assert (outlined[2] - outlined[0], outlined[3] - outlined[1]) == pytest.approx((7 * 100, 4 * 100), abs=5)


def test_scores_of_another_store_fail_alone(run_of: RunOf) -> None:
    run = run_of(s1=TiledSlide(), s2=TiledSlide())
    table = run.table({"s1": [1, 2]}, store="0" * 64)
    both = run.table({"s1": [1, 2], "s2": [1, 2]})
    good = [end.failed for end in run.made("geojson", scores=both)]
    bad = run.made("geojson", scores=run.table({"s1": [1], "s2": [2]}, store="0" * 64), slides=("s1",))
    assert (good, [end.failed for end in bad], table) == ([False, False], [True], both)
    assert "of the store with fingerprint 00000000" in bad[0].said


class TestGeoJson:
    def read(self, run: Run) -> list[dict[str, Any]]:
        found = json.loads((run.maps / "s1.geojson").read_text())
        assert found["type"] == "FeatureCollection"
        features: list[dict[str, Any]] = found["features"]
        return features

    def test_tiles_with_scores_are_squares_with_measurements(self, run_of: RunOf) -> None:
        run = run_of(s1=TiledSlide())
        run.made("geojson", scores=run.table({"s1": [0.25, float("nan"), 0.75]}), with_columns=True)
        first, second = self.read(run)
        assert second["properties"] == {
            "objectType": "detection",
            "measurements": {"row": 2, "attention": 0.75, "attention (rank)": 0.75, "focus": 0.5},
        }
        shape = shapely.from_geojson(json.dumps(second["geometry"]))
        assert shape.bounds == (401, 207, 401 + SPAN, 207 + SPAN)
        assert shape.area == SPAN**2
        assert first["properties"]["measurements"]["attention (rank)"] == 0.25

    def test_a_score_on_a_threshold_is_above_it(self, run_of: RunOf) -> None:
        run = run_of(s1=TiledSlide())
        run.made("geojson", scores=run.table({"s1": [0.05, 0.1, 0.3, 0.9]}), thresholds=(0.5, 0.1), colours="Greys")
        found = [feature["properties"]["classification"] for feature in self.read(run)]
        assert [c["name"] for c in found] == [
            "attention < 0.1",
            "attention 0.1 to 0.5",
            "attention 0.1 to 0.5",
            "attention >= 0.5",
        ]
        assert [found[0]["color"], found[3]["color"]] == [[255, 255, 255], [0, 0, 0]]

    def test_quantiles_are_of_the_slide_or_of_the_cohort(self, run_of: RunOf) -> None:
        run = run_of(s1=TiledSlide(), s2=TiledSlide())
        table = run.table({"s1": [1, 2, 3, 4], "s2": [10, 20, 30, 40, 50]})
        names = []
        for over in ("slide", "cohort"):
            run.made("geojson", scores=table, quantiles=(0.5,), over=over)
            names.append([feature["properties"]["classification"]["name"] for feature in self.read(run)])
        assert names[0] == ["attention lowest 50 %"] * 2 + ["attention top 50 %"] * 2
        assert names[1] == ["attention lowest 50 %"] * 4


def test_a_measured_column_or_marks_are_scores_too(run_of: RunOf) -> None:
    run = run_of(s1=TiledSlide(form=".zarr.zip"))
    run.made("geojson", column="focus")
    values = np.float32([[0, 9], [1, 8], [2, 7], [3, 6], [4, 5]])
    store = run.store("s1")
    path = Outputs(run.out).marks_of_slide("organs__01234567", "s1")
    write_marks(path, Marks("prompt", "ab" * 32, store.fingerprint, ("liver", "lung"), values))
    run.made("geojson", column="lung", marks="organs")
    text = (run.maps / "s1.geojson").read_text()
    assert [json.loads(line.rstrip(","))["properties"]["measurements"]["lung"] for line in text.splitlines()[1:-1]] == [
        *(9, 8, 7, 6, 5)
    ]
    with pytest.raises(HeatMapError, match="marks 'organs__01234567' has several columns: liver, lung"):
        run.made("geojson", marks="organs")
    with pytest.raises(HeatMapError, match="has no column 'blur'; it has focus"):
        run.made("geojson", column="blur")


def test_imported_tiles_of_an_unknown_slide_are_drawn_as_far_as_they_reach(run_of: RunOf) -> None:
    unknown = dict.fromkeys(("slide_size", "mpp_native", "slide_fingerprint"))
    run = run_of(s1=TiledSlide(said=unknown | {"imported": {"tool": "clam"}, "format_version": 2, "bounds": None}))
    _, *notes = run.made("png", "ome-tiff", scores=run.table({"s1": [1, 2, 3, 4, 5]}), downsample=10)
    assert notes[0].said == "note: slide 's1': its size is unknown, that of its tiles is taken"
    assert notes[-1].said == "note: slide 's1': its resolution is unknown, so its OME-TIFF has none"
    with openslide.OpenSlide(run.maps / "s1.ome.tiff") as slide:
        assert slide.dimensions == (121, 91)
        assert "openslide.mpp-x" not in slide.properties


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"downsample": 4, "mpp": 2.0}, "`--downsample` and `--mpp`"),
        ({"thresholds": (1.0,), "quantiles": (0.5,)}, "`--threshold` and `--quantile`"),
        ({"quantiles": (90.0,)}, "shares between 0 and 1"),
        ({"thresholds": (float("nan"),)}, "`--threshold` is"),
        ({"ends": (1.0, 1.0)}, "a lower and a higher value"),
        ({"colours": "rainbow"}, "one of turbo"),
        ({"marks": "organs"}, "`--scores` and `--marks`"),
    ],
)
def test_what_cannot_be_meant_is_refused(run_of: RunOf, asked: dict[str, Any], why: str) -> None:
    run = run_of(s1=TiledSlide())
    with pytest.raises(HeatMapError, match=why):
        run.made("png", "geojson", "ome-tiff", scores=run.table({"s1": [1]}), **asked)


def test_maps_among_the_files_of_the_run_are_refused(run_of: RunOf) -> None:
    run = run_of(s1=TiledSlide())
    asked = HeatMapRequest(to=("png",), folder=run.out / "slides", column="focus")
    with pytest.raises(OutputError, match="Give it a folder of its own"):
        list(heat_maps(run.out, asked))


def test_a_slide_that_the_run_does_not_have_is_refused(run_of: RunOf) -> None:
    with pytest.raises(OutputError, match="no slide 's9'"):
        run_of(s1=TiledSlide()).made("png", column="focus", slides=("s9",))


def test_two_slides_whose_maps_would_be_one_file_are_refused_before_any_is_made(run_of: RunOf) -> None:
    run = run_of(**{"s1": TiledSlide(), "s1.values": TiledSlide()})
    with pytest.raises(
        HeatMapError, match="values of slide 's1' and the colours of 's1.values' would both be 's1.values.ome"
    ):
        run.made("ome-tiff", column="focus", values=True)
    assert not run.maps.exists()
    run.made("ome-tiff", column="focus")
    assert sorted(path.name for path in run.maps.iterdir()) == ["s1.ome.tiff", "s1.values.ome.tiff"]


@pytest.mark.parametrize("asked", [{"values": True}, {"mpp": 8.0}, {"quantiles": (0.5,)}, {"with_columns": True}])
def test_an_option_of_files_that_are_not_made_is_refused(run_of: RunOf, asked: dict[str, Any]) -> None:
    run = run_of(s1=TiledSlide())
    with pytest.raises(HeatMapError, match=r"which was not asked for\. Add that"):
        run.made("png", column="focus", **asked)


def test_a_map_that_memory_could_not_hold_is_refused_with_one_that_it_can(run_of: RunOf) -> None:
    run = run_of(s1=TiledSlide(said={"slide_size": [300_000, 200_000]}))
    table = run.table({"s1": [1, 2]})
    (said,) = run.made("ome-tiff", scores=table, downsample=10)
    assert said.failed
    assert "has 600 megapixels, at most 268 are made. Give `--downsample 15`" in said.said
    assert list(run.maps.iterdir()) == []


def test_the_command_says_a_line_a_slide_and_fails_for_one(
    run_of: RunOf, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = run_of(s1=TiledSlide(), s2=TiledSlide(), glass=TiledSlide(origins=()), s3=TiledSlide())
    table = tmp_path / "scores.csv"
    table.write_text("slide_id,row,p\ns1,0,0.5\ns1,4,0.25\ns2,5,1\nelse,0,1\n")
    command = [
        "heatmap",
        str(run.out),
        "--scores",
        str(table),
        "--to",
        "geojson",
        "--to",
        "ome-tiff",
        "--feature-set",
        "t",
    ]
    assert run_command([*command, "--out", str(run.maps)]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "s1: 2 of 5 tiles; geojson, ome-tiff of 16 level-0 px a pixel",
        "glass: no tiles, left out",
        "s3: no scores, left out",
        "note: not in the cohort, but scored: 'else'",
    ]
    assert "'s2': its scores have row 5" in said.err
    assert sorted(path.name for path in run.maps.iterdir()) == ["s1.geojson", "s1.ome.tiff"]
    assert run_command([*command, "--out", str(run.maps), "--slide", "s3"]) == 2
    assert "has no score of any slide asked for" in capsys.readouterr().err


def test_a_folder_that_takes_no_file_is_named(run_of: RunOf) -> None:
    run = run_of(s1=TiledSlide())
    (run.maps / "s1.geojson").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"/maps' cannot be made or written \(Is a directory\)"):
        run.made("geojson", column="focus")
    assert [path.name for path in run.maps.iterdir()] == ["s1.geojson"]


def test_a_table_that_is_none_ends_the_command_with_2(run_of: RunOf, tmp_path: Path) -> None:
    run = run_of(s1=TiledSlide())
    (tmp_path / "scores.csv").write_text("slide_id,row,p\ns1,zero,1\n")
    with pytest.raises(ScoreTableError, match="line 2"):
        run.made("png", scores=tmp_path / "scores.csv")


def test_a_remote_slide_is_copied_drawn_on_and_forgotten(run_of: RunOf, slide_file: Path, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe_file("/slides/s1.tif", slide_file.read_bytes())
    fingerprint = content_fingerprint(slide_file)
    run = run_of(s1=TiledSlide("memory://slides/s1.tif", said={"slide_fingerprint": fingerprint}))
    (said,) = run.made("png", column="focus", opacity=0.0, tuning=Tuning(scratch=str(tmp_path / "scratch")))
    memory.rm("/slides", recursive=True)
    assert said.said == "s1: 5 of 5 tiles; png"
    assert list((tmp_path / "scratch").iterdir()) == []
