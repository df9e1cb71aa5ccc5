"""What preflight says of a slide's resolution: every candidate, and where they contradict each other."""

import json

import numpy as np
import pytest

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.slides import ArraySlide, MppCandidate
from wsi_features.slides.resolution import NOMINAL
from wsi_features.stages.preflight import describe

ROW = ManifestRow(slide_id="s1", path="s1.svs")


def stating(*candidates: MppCandidate) -> ArraySlide:
    slide = ArraySlide(np.zeros((4, 6, 3), np.uint8))
    slide.mpp_candidates = candidates
    return slide


def warnings(*candidates: MppCandidate, row: ManifestRow = ROW) -> list[str]:
    found: list[str] = describe(row, stating(*candidates))["warnings"]
    return found


def test_each_candidate_is_listed_with_whether_it_may_be_used() -> None:
    slide = stating(MppCandidate("a", 0.5, 0.502), MppCandidate(NOMINAL, 0.25, 0.25, usable=False))
    assert describe(ROW, slide)["mpp"]["candidates"] == [
        {"source": "a", "x": 0.5, "y": 0.502, "usable": True},
        {"source": NOMINAL, "x": 0.25, "y": 0.25, "usable": False},
    ]


def test_a_statement_that_is_no_number_is_shown_as_its_word_in_valid_json() -> None:
    row = ROW.model_copy(update={"mpp": 0.25})
    about = describe(row, stating(MppCandidate("a", float("inf"), float("nan"))))
    assert json.loads(json.dumps(about, allow_nan=False))["mpp"]["candidates"][1]["x"] == "inf"
    assert about["mpp"]["value"] == 0.25


@pytest.mark.parametrize("values", [(0.5, 0.53), (0.53, 0.5), (0.5, 0.51, 0.53)])
def test_usable_statements_more_than_5_percent_apart_are_told(values: tuple[float, ...]) -> None:
    (told,) = warnings(*(MppCandidate(f"source {v}", v, v) for v in values))
    assert told == "the file states 0.5 um/px (source 0.5) and 0.53 um/px (source 0.53)"


def test_near_or_unusable_statements_are_no_contradiction() -> None:
    assert warnings(MppCandidate("a", 0.5, 0.5), MppCandidate("b", 0.52, 0.52)) == []
    assert warnings(MppCandidate("a", 0.5, 0.5), MppCandidate("tiff resolution", 352.8, 352.8, usable=False)) == []


@pytest.mark.parametrize(("mpp", "fits"), [(0.25, False), (0.34, False), (0.36, True), (0.64, True), (0.66, False)])
def test_a_resolution_far_from_the_nominal_of_the_objective_is_refused(mpp: float, fits: bool) -> None:
    slide = stating(MppCandidate("a", mpp, mpp), MppCandidate(NOMINAL, 0.5, 0.5, usable=False))
    about = describe(ROW, slide)
    assert (about["status"], about["reason"]) == (("ok", "") if fits else ("failed", "mpp"))
    if not fits:
        assert f"states {mpp:g} um/px (a), and an objective power of 20, which mostly gives 0.5" in about["remedy"]
        assert "manifest column `mpp`" in about["remedy"]


def test_the_manifests_value_may_contradict_the_objective_and_the_file_and_is_told() -> None:
    row = ManifestRow(slide_id="s1", path="s1.svs", mpp=0.25)
    told = warnings(MppCandidate("a", 0.5, 0.5), MppCandidate(NOMINAL, 0.5, 0.5, usable=False), row=row)
    assert told == [
        "the manifest's 0.25 um/px is used; the file states 0.5 (a)",
        "0.25 um/px does not fit the stated objective power (about 0.5 um/px)",
    ]
