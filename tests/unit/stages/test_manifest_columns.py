"""What the manifest says of a slide itself: its scene, focal plane and SHA-256."""

import csv
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

import wsi_features
from wsi_features.cli.main import run_command
from wsi_features.geometry import Region
from wsi_features.slides.synthetic import SlideSpec, slide_pixels


def status(out: Path) -> dict[str, dict[str, str]]:
    with (out / "status.tsv").open(newline="") as file:
        return {row["slide_id"]: row for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture(scope="module")
def two_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OME-TIFF of two images with tissue at 0.5 um/px, the second of three focal planes."""
    path = tmp_path_factory.mktemp("ome") / "two.ome.tif"
    first = slide_pixels(SlideSpec(1536, 1024, seed=0, mpp=0.5), Region(0, 0, 1536, 1024))
    second = slide_pixels(SlideSpec(1280, 896, seed=3, mpp=0.5), Region(0, 0, 1280, 896))
    stack = np.stack([second // 2 + 100, second, second // 3 + 120]).astype(np.uint8)
    stated = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(first, tile=(256, 256), photometric="rgb", metadata={"axes": "YXS", **stated})
        tiff.write(stack, tile=(256, 256), photometric="rgb", metadata={"axes": "ZYXS", **stated})
    return path


def run(folder: Path, header: str, *rows: str) -> int:
    (folder / "cohort.csv").write_text("\n".join([header, *rows]) + "\n")
    return run_command(["run", str(folder / "cohort.csv"), "--out", str(folder / "out"), "--size", "128"])


def test_two_scenes_of_one_file_are_two_slides(two_scenes: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "slide_id,path,scene", f"a,{two_scenes},Image:0", f"b,{two_scenes},Image:1") == 0
    cohort = wsi_features.open(str(tmp_path / "out"))
    sizes = [cohort.store(name).attributes["slide_size"] for name in ("a", "b")]
    assert sizes == [[1536, 1024], [1280, 896]]
    assert len(cohort.store("a")) > 5
    assert len(cohort.store("b")) > 5


def test_a_focal_plane_is_chosen_by_its_number_and_the_middle_one_is_the_default(
    two_scenes: Path, tmp_path: Path
) -> None:
    rows = [f"{name},{two_scenes},Image:1,{plane}" for name, plane in (("low", "0"), ("mid", "1"), ("default", ""))]
    assert run(tmp_path, "slide_id,path,scene,plane", *rows) == 0
    cohort = wsi_features.open(str(tmp_path / "out"))
    low, mid, default = (cohort.store(name).features[:] for name in ("low", "mid", "default"))
    np.testing.assert_array_equal(mid, default)
    assert low.shape != mid.shape or not np.array_equal(low, mid)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("Image:7,", r"has no scene 'Image:7'; it holds 'Image:0', 'Image:1'\. Correct `scene` in the manifest"),
        ("Image:1,5", r"has 3 focal planes, 0 to 2; the manifest asks for 5\. Correct `plane` in the manifest"),
        ("Image:0,1", r"has one focal plane, 0; the manifest asks for 1"),
    ],
)
def test_a_choice_that_the_file_does_not_have_is_refused(
    two_scenes: Path, tmp_path: Path, columns: str, reason: str
) -> None:
    assert run(tmp_path, "slide_id,path,scene,plane", f"a,{two_scenes},{columns}") == 1
    row = status(tmp_path / "out")["a"]
    assert (row["status"], row["reason"]) == ("failed", "unreadable_slide")
    assert re.search(reason, row["message"])


def test_what_is_not_read_is_told(two_scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["inspect", str(two_scenes)]) == 0
    text = capsys.readouterr().out
    assert "'Image:0': 1536 x 1024 (read)" in text
    assert "'Image:1': 1280 x 896, 3 focal planes" in text
    assert "scene 'Image:0' is read, others are not: 'Image:1'; `scene` in the manifest chooses" in text


def test_a_sha256_that_is_right_lets_the_slide_through_in_any_case(slide_folder: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((slide_folder / "small.svs").read_bytes()).hexdigest().upper()
    assert run(tmp_path, "slide_id,path,sha256", f"a,{slide_folder / 'small.svs'},{digest}") == 0


def test_a_slide_of_another_sha256_is_refused_before_it_is_opened(slide_folder: Path, tmp_path: Path) -> None:
    wrong = "0" * 64
    assert run(tmp_path, "slide_id,path,sha256", f"a,{slide_folder / 'small.svs'},{wrong}") == 1
    row = status(tmp_path / "out")["a"]
    assert (row["status"], row["reason"], row["stage"]) == ("failed", "unreadable_slide", "tissue")
    assert f"the manifest says {wrong}. Copy the slide again, or correct `sha256` in the manifest." in row["message"]
