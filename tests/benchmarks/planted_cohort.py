"""A cohort of generated slides whose label is planted: positive patients have a lesion on each slide, the others none.

All else is drawn without a look at the label: stain, its strength, artefacts, the slide's size, what the tissue is made
of, and its shape. Where an artefact would cover a good part of the lesion, also of one that a negative slide might have
had, the tissue is drawn anew: what is out of focus has no label to be found.
Used by the benchmark and by the tests.
"""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from wsi_features.slides.synthetic import SlideSpec, ground_truth, write_slide
from wsi_features.slides.synthetic.spec import Stain

LABELS = ("none", "lesion")
ARTEFACTS = {"pen": 0.15, "fold": 0.2, "blur": 0.2, "bubble": 0.15, "dust": 0.25, "holes": 0.3}
"""How often each occurs."""

MOST_COVERED = 0.2
"""Share of a lesion that pen, fold, blur or bubble may cover."""

_BLOCK = 4
"""Patients among whom one with one slide and one with two are positive: those with one and two alternate."""


@dataclass(frozen=True, slots=True)
class Planting:
    """How large the slides are, about, in pixels of 0.5 um, and the least and largest share of tissue that is lesion."""

    width: int = 2500
    height: int = 1650
    lesion: tuple[float, float] = (0.12, 0.15)


@dataclass(frozen=True, slots=True)
class PlantedSlide:
    """One slide of the cohort, and whose it is."""

    slide_id: str
    patient_id: str
    spec: SlideSpec

    @property
    def label(self) -> str:
        """What a study is to tell."""
        return LABELS[self.spec.lesion > 0]

    def inside(self, coords: npt.NDArray[np.int32], span: int) -> npt.NDArray[np.bool_]:
        """Whether the centre of each tile, with level-0 corners `coords` (n, 2) and width `span`, lies in the lesion."""
        truth = ground_truth(self.spec)
        if truth.lesion is None:
            return np.zeros(len(coords), np.bool_)
        column, row = ((coords + span / 2) // truth.downsample).astype(np.int64).T
        return np.asarray(truth.lesion[row, column])


def planted_cohort(slides: int = 60, seed: int = 0, planting: Planting | None = None) -> tuple[PlantedSlide, ...]:
    """A multiple of six slides, half of them positive, of two patients to three slides."""
    rng = np.random.default_rng(seed)
    made: list[PlantedSlide] = []
    for block in range(slides // 6):
        positive = {int(rng.choice((0, 2))), int(rng.choice((1, 3)))}
        for place in range(_BLOCK):
            patient = f"P{_BLOCK * block + place:02d}"
            for part in "AB"[: 1 + place % 2]:
                spec = _uncovered(_drawn(rng, 10_000 * seed + len(made), planting or Planting()))
                spec = spec if place in positive else replace(spec, lesion=0.0)
                made.append(PlantedSlide(f"{patient}-{part}", patient, spec))
    return tuple(made)


def _drawn(rng: np.random.Generator, seed: int, planting: Planting) -> SlideSpec:
    """A positive slide. Nothing of it but the lesion may tell: a negative one is the same without."""
    width, height = (int(side * rng.uniform(0.92, 1.08)) for side in (planting.width, planting.height))
    share, strength = float(rng.uniform(*planting.lesion)), float(rng.uniform(0.8, 1.2))
    stain: Stain = "a" if rng.random() < 0.5 else "b"
    tumour, lymphocytes = float(rng.uniform(0.3, 0.75)), float(rng.uniform(0.03, 0.35))
    artefacts = {name: bool(rng.random() < often) for name, often in ARTEFACTS.items()}
    return SlideSpec(
        width,
        height,
        mpp=0.5,
        objective=20,
        seed=seed,
        levels=(1, 4),
        stain=stain,
        strength=strength,
        tumour=tumour,
        lymphocytes=lymphocytes,
        lesion=share,
        **artefacts,
    )


def _uncovered(spec: SlideSpec) -> SlideSpec:
    """The slide, with the next tissue whose lesion can be seen."""
    while covered(spec) > MOST_COVERED:
        spec = replace(spec, seed=spec.seed + 1_000_000)
    return spec


def covered(spec: SlideSpec) -> float:
    """The largest share of a lesion that one artefact covers."""
    if not any((spec.pen, spec.fold, spec.blur, spec.bubble)):
        return 0.0
    truth = ground_truth(spec)
    masks = [mask for mask in (truth.pen, truth.fold, truth.blur, truth.bubble) if mask is not None]
    return (
        max(float((mask & truth.lesion).sum() / truth.lesion.sum()) for mask in masks)
        if truth.lesion is not None
        else 0.0
    )


def write_cohort(folder: Path, cohort: tuple[PlantedSlide, ...]) -> None:
    """FOLDER/slides, FOLDER/cohort.csv (the manifest) and FOLDER/labels.csv (one row a slide). Slides that are there stay."""
    (folder / "slides").mkdir(parents=True, exist_ok=True)
    missing = [(folder / "slides" / f"{s.slide_id}.svs", s.spec) for s in cohort]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda pair: pair[0].exists() or write_slide(*pair, threads=1), missing))
    _table(folder / "cohort.csv", "path", {s: f"slides/{s.slide_id}.svs" for s in cohort})
    _table(folder / "labels.csv", "label", {s: s.label for s in cohort})


def _table(path: Path, column: str, values: dict[PlantedSlide, str]) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["slide_id", "patient_id", column])
        table.writerows([s.slide_id, s.patient_id, value] for s, value in values.items())
