"""Usefulness: trained models find a lesion that was planted on generated slides, look at it, and find nothing where there is nothing.

Cohorts go through the commands as a user types them: `run`, then `train` with the settings that it comes with.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.planted_cohort import (
    LABELS,
    MOST_COVERED,
    PlantedSlide,
    Planting,
    covered,
    planted_cohort,
)
from tests.benchmarks.planted_label import command, embedded, shares_inside, shuffled, trained
from wsi_features.cohort.scores import SlideScores, read_scores, write_scores

Study = tuple[Path, tuple[PlantedSlide, ...]]

SMALL = Planting(width=1400, height=950, lesion=(0.2, 0.25))
"""Fewer and smaller slides with more lesion: what is left of the study in seconds."""


@pytest.fixture(scope="module")
def cohort() -> tuple[PlantedSlide, ...]:
    return planted_cohort()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder, cohort = tmp_path_factory.mktemp("small"), planted_cohort(42, planting=SMALL)
    embedded(folder, cohort)
    trained(folder, "abmil")
    return folder, cohort


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cohort: tuple[PlantedSlide, ...]) -> Study:
    folder = tmp_path_factory.mktemp("whole")
    embedded(folder, cohort)
    trained(folder, "abmil")
    return folder, cohort


def test_half_of_the_slides_and_patients_are_positive(cohort: tuple[PlantedSlide, ...]) -> None:
    by_patient: dict[str, set[str]] = {}
    for slide in cohort:
        by_patient.setdefault(slide.patient_id, set()).add(slide.label)
    assert len(cohort) == len({slide.spec.seed for slide in cohort}) == 60
    assert sum(slide.label == "lesion" for slide in cohort) == 30
    assert all(len(labels) == 1 for labels in by_patient.values())
    assert sum(labels == {LABELS[1]} for labels in by_patient.values()) == len(by_patient) / 2 == 20


def test_only_the_lesion_tells_the_classes_apart(cohort: tuple[PlantedSlide, ...]) -> None:
    drawn = {label: [s.spec for s in cohort if s.label == label] for label in LABELS}
    for name in ("width", "strength", "tumour", "lymphocytes", "pen", "fold", "blur", "bubble", "dust", "holes"):
        with_lesion, without = (np.array([getattr(spec, name) for spec in drawn[label]], float) for label in LABELS)
        deviation = np.hypot(with_lesion.std(), without.std()) / np.sqrt(len(without))
        assert abs(with_lesion.mean() - without.mean()) < 4 * deviation, name


def test_no_lesion_lies_behind_an_artefact(cohort: tuple[PlantedSlide, ...]) -> None:
    assert max(covered(slide.spec) for slide in cohort) <= MOST_COVERED
    assert sum(slide.spec.pen or slide.spec.fold or slide.spec.blur or slide.spec.bubble for slide in cohort) > 20


def test_a_tile_is_inside_where_its_centre_is() -> None:
    slide = next(s for s in planted_cohort(6, planting=SMALL) if s.spec.lesion)
    every = np.stack(np.meshgrid(np.arange(0, 1200, 16), np.arange(0, 800, 16)), axis=-1).reshape(-1, 2)
    centres = every[slide.inside(every.astype(np.int32), 16)] + 8
    moved = centres - 60
    assert slide.inside(moved.astype(np.int32), 120).all()
    assert not slide.inside(moved[:, ::-1].astype(np.int32), 120).all()


@pytest.mark.ci
def test_attention_finds_a_plain_lesion_on_few_slides(small: Study) -> None:
    folder, cohort = small
    auc = trained(folder, "abmil")["metrics"]["auc"]["value"]
    shares = shares_inside(folder, "abmil", cohort)
    assert auc >= 0.9
    assert sorted(shares) == sorted(s.slide_id for s in cohort if s.label == "lesion")
    assert np.mean(list(shares.values())) >= 0.6


@pytest.mark.ci
def test_attention_that_is_dealt_to_other_tiles_points_nowhere(small: Study) -> None:
    folder, cohort = small
    table = read_scores(folder / "abmil" / "attention.parquet")
    rng = np.random.default_rng(0)
    dealt = [
        SlideScores(s.slide_id, s.rows, s.columns, rng.permutation(s.values), s.store)
        for s in map(table.of, table.slide_ids)
    ]
    (folder / "dealt").mkdir()
    write_scores(folder / "dealt" / "attention.parquet", table.columns, dealt)
    assert np.mean(list(shares_inside(folder, "dealt", cohort).values())) < 0.4


@pytest.mark.full
def test_gated_attention_tells_the_planted_label(whole: Study) -> None:
    folder, _ = whole
    found = trained(folder, "abmil")
    assert found["counts"]["patients"] == 40
    assert found["metrics"]["auc"]["value"] >= 0.9


@pytest.mark.full
def test_attention_points_at_the_lesion_on_slides_of_unseen_patients(whole: Study) -> None:
    folder, cohort = whole
    shares = shares_inside(folder, "abmil", cohort)
    assert len(shares) == 30
    assert np.mean(list(shares.values())) >= 0.6


@pytest.mark.full
def test_shuffled_labels_are_told_by_chance_only(whole: Study) -> None:
    """The mean of several: one permutation of 40 patients scatters by about 0.1."""
    folder, _ = whole
    assert 0.4 <= np.mean(shuffled(folder)) <= 0.6


@pytest.mark.full
def test_the_heat_map_of_a_positive_slide_is_drawn(whole: Study) -> None:
    folder, cohort = whole
    slide = next(s.slide_id for s in cohort if s.spec.lesion)
    scores = ("--scores", folder / "abmil" / "attention.parquet", "--column", "attention")
    command("heatmap", folder / "out", *scores, "--to", "png", "--slide", slide, "--out", folder / "heat")
    assert (folder / "heat" / f"{slide}.png").is_file()
