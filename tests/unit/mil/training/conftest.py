"""A cohort of patients whose features tell their label: some tiles of a bag point into a direction of its class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.store.conftest import Samples
from wsi_features import mil
from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.store import layout

SETS = "tiny__256px__none__00000000"
DIM = 7
QUICK: dict[str, Any] = {
    "hidden": 12,
    "attention": 5,
    "learning_rate": 0.02,
    "epochs": 9,
    "batch": 4,
    "folds": 3,
    "resamples": 50,
    "strengths": (0.1, 10.0),
}


def write_cohort(out: Path, features: Sequence[Any], per_patient: int = 1, **changed: Any) -> Cohort:
    """The folder of a run with slides s0, s1 ... of these features; patient p0 has the first `per_patient`."""
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_ROWS", 16)  # so that most slides have several
        for k, values in enumerate(features):
            fields = {"slide_id": f"s{k}", "fingerprint": f"{k:064x}"} | changed
            content = Samples.content(len(values), values.shape[1], **fields)
            Samples.write(out / "features" / SETS, content, np.asarray(values, np.float32), bad=[2] if k == 1 else [])
            rows.append(ManifestRow(slide_id=f"s{k}", path=f"/s{k}.svs", patient_id=f"p{k // per_patient}"))
    Outputs(out).manifest.write_text(Manifest(tuple(rows)).to_json(4))
    return Cohort.open(out, SETS)


def planted(strengths: Sequence[float], tiles: int = 20, seed: int = 0) -> list[Any]:
    """Noise of another place and width in each feature, in which the first quarter of slide k is moved along feature 3."""
    rng = np.random.default_rng(seed)
    found = []
    for strength in strengths:
        values = rng.standard_normal((tiles + int(rng.integers(0, 9)), DIM)) * 2 + np.arange(DIM) * 5
        values[: tiles // 4, 3] += strength
        found.append(values)
    return found


def labels(kind: str, cells: dict[str, Sequence[Any]]) -> mil.Labels:
    """Labels of patients p0, p1 ... as `kind` reads them."""
    count = len(next(iter(cells.values())))
    rows = {f"p{k}": {name: str(values[k]) for name, values in cells.items()} for k in range(count)}
    table = mil.Table("labels.csv", "patient_id", ("patient_id", *cells), rows)
    make: Callable[..., mil.Labels] = getattr(mil, kind)
    return make(table, tuple(cells)) if kind == "regression" else make(table, *cells)


LEVEL = [k % 3 for k in range(24)]
TOLD = {
    "classification": {"grade": ["ABB"[level] for level in LEVEL]},
    "survival": {
        "months": [9 - 3 * level + k / 24 for k, level in enumerate(LEVEL)],
        "dead": [int(k % 4 > 0) for k in range(24)],
    },
    "regression": {
        "age": [50 + 7 * level + k / 100 for k, level in enumerate(LEVEL)],
        "score": [-level - k / 99 for k, level in enumerate(LEVEL)],
    },
}
"""What the features of `tiny` tell, for each task."""


class Cohorts:
    """What tests make cohorts of."""

    write = staticmethod(write_cohort)
    planted = staticmethod(planted)
    labels = staticmethod(labels)
    feature_set = SETS


@pytest.fixture(scope="session")
def cohorts() -> type[Cohorts]:
    return Cohorts


@pytest.fixture(scope="session")
def samples() -> Any:
    """What the tests of the store write."""
    return Samples


@pytest.fixture(scope="session")
def recipe() -> Callable[..., mil.TrainingRecipe]:
    """A recipe for bags of a few tiles, with some fields changed."""
    return lambda **changed: mil.TrainingRecipe(**(QUICK | changed))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """24 patients of one slide each, at three levels."""
    return write_cohort(tmp_path_factory.mktemp("tiny"), planted([9.0 * level for level in LEVEL]))


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """12 patients of two slides each, of which the second says more."""
    return write_cohort(
        tmp_path_factory.mktemp("pairs"), planted([k // 2 % 2 * (9.0 + 6 * (k % 2)) for k in range(24)]), 2
    )


@pytest.fixture(scope="session")
def told(tiny: Cohort) -> dict[str, mil.BagDataset]:
    """The bags of `tiny` with labels of each task."""
    return {task: mil.BagDataset.open(tiny, labels(task, cells)) for task, cells in TOLD.items()}


@pytest.fixture(scope="session")
def graded(told: dict[str, mil.BagDataset], recipe: Any) -> mil.CrossValidation:
    """Classes, cross-validated with attention."""
    return mil.cross_validated(told["classification"], recipe())


@pytest.fixture(scope="session")
def fused(pairs: Cohort) -> dict[bool, mil.BagDataset]:
    """Bags of patients with two classes, fused late or not."""
    grades = labels("classification", {"grade": ["AB"[k % 2] for k in range(12)]})
    return {
        late: mil.BagDataset.open(pairs, grades, mil.BagRecipe(unit="patient", late=late)) for late in (True, False)
    }
