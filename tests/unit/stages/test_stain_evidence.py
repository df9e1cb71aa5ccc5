"""The stain report, measured targets and stain policies, on small slides of two laboratories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import wsi_features
from wsi_features.cli.main import run_command
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.records import read_record
from wsi_features.geometry import Region
from wsi_features.report.figures import encoded
from wsi_features.slides.synthetic import SlideSpec, slide_pixels, write_slide
from wsi_features.stain import load_target

SLIDES = {
    f"TCGA-{lab.upper()}1-{seed}": SlideSpec(
        width=1280, height=896, seed=seed, mpp=0.5, objective=20, levels=(1, 4), stain=lab
    )
    for lab in ("a", "b")
    for seed in (1, 2)
}
"""Two pieces of tissue, each stained by two laboratories."""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """cohort.csv of the slides, patient_id their laboratory."""
    folder = tmp_path_factory.mktemp("laboratories")
    rows = ["slide_id,path,patient_id,stain"]
    for slide_id, spec in SLIDES.items():
        write_slide(folder / f"{slide_id}.svs", spec)
        rows.append(f"{slide_id},{slide_id}.svs,lab-{spec.stain},H&E")
    rows.append("other,TCGA-A1-1.svs,lab-c,Ki-67")
    (folder / "cohort.csv").write_text("\n".join(rows) + "\n")
    return folder / "cohort.csv"


@pytest.fixture(scope="module")
def out(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with the stain report."""
    out = tmp_path_factory.mktemp("out")
    options = ["--out", str(out), "--size", "128", "--workers", "1", "--tiles", "12"]
    assert run_command(["stain", "report", str(cohort), *options, "--by", "patient_id", "--by", "tcga-site"]) == 0
    return out


def numbers(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "stain-report.json").read_text())
    return found


def test_features_tell_their_laboratory_less_with_normalization(out: Path) -> None:
    by = {comparison["by"]: comparison for comparison in numbers(out)["comparisons"]}
    assert set(by) == {"patient_id", "tcga-site", "slide"}
    lab = by["patient_id"]
    assert lab["before"]["explained"] > lab["before"]["by_chance"] > lab["after"]["explained"]
    assert lab["after"]["explained"] < 0.5 * lab["before"]["explained"]
    assert lab["after"]["same_neighbours"] < lab["before"]["same_neighbours"]
    assert lab["after"]["silhouette"] < lab["before"]["silhouette"]
    assert by["tcga-site"]["after"] == lab["after"]


def test_the_page_needs_nothing_beside_it_and_the_run_is_left_alone(out: Path) -> None:
    page = (out / "stain-report.html").read_text()
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")
    assert page.count("<figure>") == 2 * len(SLIDES)
    assert page.count("<circle") == len(SLIDES) + 1
    assert not (out / "records").exists()
    assert not (out / "features").exists()


def test_a_slide_that_cannot_be_compared_is_listed_with_its_reason(out: Path) -> None:
    assert "is stained 'Ki-67' in the manifest" in numbers(out)["left_out"]["other"]
    assert "Ki-67" in (out / "stain-report.html").read_text()


def test_the_median_of_a_runs_fits_is_a_target(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["stain", "target", str(out), "--median"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "lab.yaml").write_text(text)
    target = load_target(str(tmp_path / "lab.yaml"))
    fits = [json.loads(path.read_text())["transform"]["source"] for path in (out / "stain" / "macenko").glob("*.json")]
    wanted = np.median([fit["max_concentration"] for fit in fits], axis=0)
    assert target.stains.max_concentration == pytest.approx(wanted)
    assert "4 slides" in target.description
    assert target.reinhard is None


def test_a_reference_image_and_the_file_measured_of_it_are_one_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = SLIDES["TCGA-B1-1"]
    image = tmp_path / "reference.png"
    image.write_bytes(encoded(slide_pixels(spec, Region(0, 0, spec.width, spec.height)), "png"))
    assert run_command(["stain", "target", str(image)]) == 0
    (tmp_path / "lab.yaml").write_text(capsys.readouterr().out)
    measured, written = load_target(str(image)), load_target(str(tmp_path / "lab.yaml"))
    for method in ("macenko", "reinhard", "vahadane"):
        assert measured.numbers(method) == written.numbers(method)
    assert measured.stains.stains[0][0] > 0.6


@pytest.mark.full
def test_a_slide_is_a_target_too(cohort: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["stain", "target", str(cohort.parent / "TCGA-B1-1.svs")]) == 0
    target = yaml.safe_load(capsys.readouterr().out)
    assert target["description"] == "Measured of the slide TCGA-B1-1.svs"
    assert target["macenko"]["stains"][0][0] > 0.6


def test_an_image_without_tissue_is_no_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "white.png"
    image.write_bytes(encoded(np.full((40, 60, 3), 255, np.uint8), "png"))
    assert run_command(["stain", "target", str(image)]) == 2
    assert "no stain target can be measured" in capsys.readouterr().err


def test_another_stain_is_refused_and_other_slides_go_on(out: Path, cohort: Path) -> None:
    options = ["--out", str(out), "--stain", "macenko", "--workers", "1"]
    assert run_command(["tissue", str(cohort), *options]) == 0
    assert run_command(["stain", str(cohort), *options]) == 1
    record = read_record(Outputs(out).record("stain", "00000"))
    assert (record["other"].status, record["other"].reason) == ("failed", "not_he")
    assert {record[slide_id].status for slide_id in SLIDES} == {"ok"}
    assert record["TCGA-B1-1"].facts["stain_fit"]["status"] == "good"


def test_slides_left_raw_say_why_in_their_stain_file_their_store_and_the_status(cohort: Path, tmp_path: Path) -> None:
    sheet, config, out = tmp_path / "cohort.csv", tmp_path / "config.yaml", tmp_path / "out"
    path = cohort.parent / "TCGA-A1-1.svs"
    sheet.write_text(f"slide_id,path,stain\nfew,{path},HE\nki67,{path},Ki-67\n")
    stain = "{method: macenko, non_he: raw, on_bad_fit: raw, min_pixels: 100000000}"
    config.write_text(f"stain: {stain}\ntuning: {{workers: 1}}\n")
    assert run_command(["run", str(sheet), "--out", str(out), "--config", str(config), "--no-report"]) == 0
    status = (out / "status.tsv").read_text()
    for slide_id, kind, why in (("few", "bad", "wanted at least 100000000"), ("ki67", "none", "is stained 'Ki-67'")):
        written = json.loads(Outputs(out).stain("macenko", slide_id).read_text())
        about = wsi_features.open(str(out)).store(slide_id).provenance
        assert written["transform"] == about.stain == {"method": "none"}
        assert written["fit"] == about.stain_fit
        assert written["fit"]["status"] == kind
        assert why in written["fit"]["reason"]
        assert why in status
