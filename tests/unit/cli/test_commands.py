"""The commands as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import wsi_features
from wsi_features.cli.main import run_command


@pytest.fixture(scope="module")
def out(slide_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run over one slide with tissue and one without."""
    folder = tmp_path_factory.mktemp("run") / "out"
    slides = [str(slide_folder / name) for name in ("small.svs", "glass.svs")]
    assert run_command(["run", *slides, "--out", str(folder), "--size", "512", "--no-report"]) == 0
    return folder


@pytest.fixture
def copy(out: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    shutil.copytree(out, tmp_path / "out")
    return tmp_path / "out"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_help_lists_every_command_by_what_one_wants_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"]) == 0
    text = said(capsys)
    for name in (
        "demo",
        "inspect",
        "run",
        "tissue",
        "tiles",
        "stain",
        "embed",
        "manifest",
        "plan",
        "collect",
        "status",
    ):
        assert f"  {name} " in text
    for name in ("report", "check", "retry", "clean", "encoders", "doctor"):
        assert f"  {name} " in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "command", ["run", "tissue", "tiles", "stain", "embed", "inspect", "manifest", "check", "clean", "retry", "demo"]
)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([command, "--help"]) == 0
    assert len(said(capsys).splitlines()) > 5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run"], "Give at least one slide, folder or manifest"),
        (["runn"], "No such command 'runn'"),
        (["run", "x.svs", "--stain", "vahadine"], "Invalid value for '--stain'"),
        (["run", "gone.svs"], "no such file or folder"),
        (["run", "SLIDE", "--mpp", "fine"], "`tiles.mpp` is 'fine'"),
        (["run", "SLIDE", "--encoder", "unu"], "no encoder 'unu'"),
        (
            ["run", "SLIDE", "--encoder", "uni"],
            "Run `wsi-features weights fetch uni` where there is a network, or `wsi-features weights add uni FILE`",
        ),
        (["run", "SLIDE", "--weights", "other=w.pt"], "--weights NAME=FILE"),
        (["run", "SLIDE", "--mpp", "5"], "Set `tiles: {size: 256, mpp: 0.5}`"),
        (["run", "SLIDE", "--overlap", "256"], "`tiles.overlap` is 256"),
        (["run", "SLIDE", "--config", "gone.yaml"], "config 'gone.yaml' cannot be read"),
        (["run", "SLIDE", "--config", '{"tiles": {"sise": 1}}'], "`tiles.sise` is 1"),
        (["run", "SLIDE", "--config", '{"stain": {"method": "macenko", "target": "pink"}}'], "pink"),
        (["status", "."], "not an output folder"),
        (["embed", "--shard", "00000", "--out", "nowhere"], "'nowhere' is not an output folder"),
        (["run", "SLIDE", "--out", "/dev/null/results"], "'/dev/null/results' cannot be made"),
    ],
)
def test_wrong_usage_is_told_in_a_line_and_exits_with_2(
    arguments: list[str], told: str, slide_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    slide = str(slide_folder / "small.svs")
    assert run_command([slide if argument == "SLIDE" else argument for argument in arguments]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_inspect_gives_one_json_object_a_slide(slide_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["inspect", str(slide_folder), "--json"]) == 0
    fine = json.loads(said(capsys).splitlines()[0])
    assert set(fine) >= {"slide_id", "status", "reason", "reader", "mpp", "levels", "warnings"}
    assert (fine["slide_id"], fine["reader"]) == ("fine", "tiff")
    assert fine["mpp"]["value"] == 0.2431
    assert fine["mpp"]["candidates"][0] == {"source": "aperio text", "x": 0.2431, "y": 0.2431, "usable": True}
    assert {k: fine["levels"][1][k] for k in ("width", "height", "downsample")} == {
        "width": 1088,
        "height": 768,
        "downsample": 4.0,
    }
    assert fine["levels"][1]["difference"] < 5
    assert fine["estimate"]["tiles"] > 0


def test_inspect_says_what_is_wrong_and_what_to_do(
    broken_slides: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["inspect", str(broken_slides["nompp"]), str(broken_slides["text"])]) == 1
    lines = said(capsys).splitlines()
    assert lines[0].split()[:3] == ["slide", "status", "reader"]
    assert lines[1].split()[:4] == ["nompp", "failed", "[mpp]", "tiff"]
    assert lines[2].split()[:4] == ["text", "failed", "[unreadable_slide]", "-"]
    assert any("manifest column `mpp`" in line for line in lines)
    assert lines[-1] == "2 slides, 2 cannot be used; about 0 tiles"


def test_inspect_of_one_slide_says_all_that_is_known_of_it(
    slide_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["inspect", str(slide_folder / "fine.svs")]) == 0
    text = said(capsys)
    assert "reader      tiff (tiled TIFF, read directly)" in text
    assert "0.2431 um/px (aperio text: the file's first usable statement)" in text
    assert "of 256 px at 0.5" in text


def test_manifest_makes_a_sheet_that_run_accepts(
    slide_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["manifest", str(slide_folder)]) == 0
    text = said(capsys)
    assert (
        text.splitlines()[0]
        == "slide_id,path,patient_id,stain,block,mpp,scene,plane,sha256,annotations,mask,coordinates,skip"
    )
    (tmp_path / "cohort.csv").write_text(text)
    assert run_command(["manifest", str(tmp_path / "cohort.csv")]) == 0
    assert said(capsys) == text


def test_check_finds_a_flipped_bit_and_names_the_slide(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["check", str(copy)]) == 0
    assert "2 stores checked, 0 bad" in said(capsys)
    chunk = next(copy.rglob("small.zarr")) / "features/c/0/0"
    content = bytearray(chunk.read_bytes())
    content[77] ^= 4
    chunk.write_bytes(content)
    assert run_command(["check", str(copy), "--fast"]) == 0
    assert run_command(["check", str(next(copy.rglob("small.zarr")))]) == 1
    assert "small: feature store" in capsys.readouterr().err


def test_status_counts_and_judges(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["status", str(copy)]) == 0
    assert "2 slides: 1 ok, 1 empty" in said(capsys)
    (copy / "records/embed/00000.json").unlink()
    (copy / "records/tissue/00000.json").unlink()
    run_command(["collect", str(copy)])
    assert run_command(["status", str(copy)]) == 1
    assert run_command(["status", str(copy), "--accept", "not_run"]) == 0


def test_status_of_a_run_under_way_shows_its_stages_and_failures(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "status.tsv").unlink()
    (copy / "records/embed/00000.json").unlink()
    assert run_command(["status", str(copy)]) == 0
    lines = said(capsys).splitlines()
    assert lines[0].split() == ["stage", "slides", "ok", "empty", "skipped", "failed", "slides/h", "left"]
    assert [line.split()[:4] for line in lines if line.startswith(("tiles", "embed"))] == [
        ["tiles", "2/2", "1", "1"],
        ["embed", "0/2", "0", "0"],
    ]
    assert run_command(["status", str(copy), "--json"]) == 0
    told = json.loads(said(capsys))
    assert (told["finished"], told["stages"]["embed"]["done"], told["failures"]) == (False, 0, {})


def test_clean_shows_first_and_deletes_only_what_no_recipe_names(
    copy: Path, slide_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command(["run", str(slide_folder / "small.svs"), "--out", str(copy), "--size", "256", "--no-report"])
    said(capsys)
    before = set(copy.rglob("*"))
    assert run_command(["clean", str(copy)]) == 0
    listed = said(capsys)
    assert "glass.zarr" in listed
    assert "add --delete" in listed
    assert set(copy.rglob("*")) == before
    assert run_command(["clean", str(copy), "--delete"]) == 0
    assert [path.stem for path in copy.rglob("*.zarr")] == ["small"]
    assert wsi_features.open(str(copy)).store("small").attributes["tile_px"] == 256
    assert run_command(["clean", str(copy)]) == 0
    assert said(capsys).endswith("nothing to clean\n")


def test_clean_takes_marks_of_earlier_thresholds_and_of_earlier_stores(
    copy: Path, slide_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (current,) = (copy / "marks").glob("keep__*")
    for name in ("keep", "mine"):
        run_command(["quality", str(copy), "--threshold", "white_share<=0.9", "--name", name])
    (mine,) = (copy / "marks").glob("mine__*")
    assert run_command(["clean", str(copy), "--delete"]) == 0
    assert set((copy / "marks").iterdir()) == {current, mine}
    run_command(["run", str(slide_folder / "small.svs"), "--out", str(copy), "--size", "256", "--no-report"])
    said(capsys)
    assert run_command(["clean", str(copy), "--delete"]) == 0
    assert {str(current), str(mine)} <= set(said(capsys).splitlines())
    (left,) = (copy / "marks").iterdir()
    assert [path.name for path in left.iterdir()] == ["small.parquet"]


def test_the_stages_one_by_one_end_where_run_does(out: Path, slide_folder: Path, tmp_path: Path) -> None:
    slides = [str(slide_folder / name) for name in ("small.svs", "glass.svs")]
    for stage in ("tissue", "tiles", "stain", "embed"):
        assert run_command([stage, *slides, "--out", str(tmp_path), "--size", "512"]) == 0
    here, there = (wsi_features.open(str(folder)).store("small") for folder in (tmp_path, out))
    assert here.fingerprint == there.fingerprint
    assert (here.path / "commit.json").read_bytes() == (there.path / "commit.json").read_bytes()


def test_a_stage_without_the_one_before_says_which_to_run(
    slide_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["tiles", str(slide_folder / "small.svs"), "--out", str(tmp_path)]) == 1
    assert "no preflight at" in capsys.readouterr().err


def test_a_path_that_looks_like_an_option_works_behind_two_dashes(
    slide_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(slide_folder / "glass.svs", tmp_path / "-glass.svs")
    monkeypatch.chdir(tmp_path)
    assert run_command(["inspect", "--", "-glass.svs"]) == 0
    assert "glass: ok" in said(capsys)


def test_encoders_are_listed_shown_and_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["encoders", "list"]) == 0
    lines = said(capsys).splitlines()
    assert lines[0].split() == ["NAME", "DIM", "TILE", "PARAMETERS", "LICENCE", "WEIGHTS"]
    assert ["histo-texture", "213", "256", "@", "0.5", "-", "Apache-2.0", "none", "needed"] in map(str.split, lines)
    assert max(map(len, lines)) <= 100
    assert run_command(["encoders", "show", "histo-texture"]) == 0
    assert "builder: histo-texture" in said(capsys)
    assert run_command(["encoders", "check", "histo-texture"]) == 0
    assert "the same batch gives the same bytes" in said(capsys)


def test_doctor_finds_this_installation_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor"]) == 0
    text = said(capsys)
    assert "OpenSlide 4" in text
    assert "BAD" not in text
