"""A cohort of generated slides whose label is planted: positive patients have a lesion on each slide, the others none.

All else is drawn without a look at the label: stain, its strength, artefacts, the slide's size, what the tissue is made of, and its shape.
Used by the benchmark and by the tests.
"""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.slides.synthetic.spec import Stain

LABELS = ("none", "lesion")
LESION = (0.12, 0.15)
"""Least and largest share of a positive slide's tissue that is lesion."""

ARTEFACTS = {"pen": 0.15, "fold": 0.2, "blur": 0.2, "bubble": 0.15, "dust": 0.25, "holes": 0.3}
"""How often each occurs."""

_BLOCK = 4
"""Patients among whom one with one slide and one with two are positive: those with one and two alternate."""


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


def planted_cohort(slides: int = 60, seed: int = 0) -> tuple[PlantedSlide, ...]:
    """A multiple of six slides, half of them positive, of two patients to three slides."""
    rng = np.random.default_rng(seed)
    made: list[PlantedSlide] = []
    for block in range(slides // 6):
        positive = {int(rng.choice((0, 2))), int(rng.choice((1, 3)))}
        for place in range(_BLOCK):
            number = _BLOCK * block + place
            for part in "AB"[: 1 + place % 2]:
                spec = _drawn(rng, seed=10_000 * seed + len(made), positive=place in positive)
                made.append(PlantedSlide(f"P{number:02d}-{part}", f"P{number:02d}", spec))
    return tuple(made)


def _drawn(rng: np.random.Generator, *, seed: int, positive: bool) -> SlideSpec:
    width, height = int(rng.integers(2300, 2700)), int(rng.integers(1500, 1800))
    share, strength = float(rng.uniform(*LESION)), float(rng.uniform(0.8, 1.2))
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
        lesion=share if positive else 0.0,
        **artefacts,
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
