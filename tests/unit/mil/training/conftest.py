"""Cohorts whose features tell the label: a tenth of the tiles of a bag points into a direction of its class."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features import mil
from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs

SETS = "tiny__256px__none__00000000"
DIM = 7


def _samples() -> Any:
    path = Path(__file__).parents[2] / "store" / "conftest.py"
    spec = importlib.util.spec_from_file_location("store_samples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Samples


def write_cohort(out: Path, features: Sequence[Any], per_patient: int = 1, **changed: Any) -> Cohort:
    """The folder of a run with slides s0, s1 ... of these features; patient p0 has the first `per_patient`."""
    samples = _samples()
    rows = []
    for k, values in enumerate(features):
        content = samples.content(len(values), values.shape[1], slide_id=f"s{k}", fingerprint=f"{k:064x}", **changed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", lambda descriptor: None)  # noqa: ARG005 - flushing is most of the time of tiny stores
            samples.write(out / "features" / SETS, content, np.asarray(values, np.float32), bad=[2] if k == 0 else [])
        rows.append(ManifestRow(slide_id=f"s{k}", path=f"/s{k}.svs", patient_id=f"p{k // per_patient}"))
    Outputs(out).manifest.write_text(Manifest(tuple(rows)).to_json(4))
    return Cohort.open(out, SETS)


def planted(strengths: Sequence[float], tiles: int = 30, seed: int = 0) -> list[Any]:
    """Noise, in which the first tenth of the tiles of slide k is moved by `strengths[k]` along feature 3."""
    rng = np.random.default_rng(seed)
    found = []
    for strength in strengths:
        values = rng.standard_normal((tiles + int(rng.integers(0, 9)), DIM)) * 2 + np.arange(DIM) * 5
        values[: tiles // 10, 3] += strength
        found.append(values)
    return found


def labels(kind: str, cells: dict[str, Sequence[Any]], key: str = "patient_id", ids: str = "p") -> mil.Labels:
    """Labels of p0, p1 ... as `kind` reads them."""
    count = len(next(iter(cells.values())))
    rows = {f"{ids}{k}": {name: str(values[k]) for name, values in cells.items()} for k in range(count)}
    table = mil.Table("labels.csv", key, (key, *cells), rows)
    make: Callable[..., mil.Labels] = getattr(mil, kind)
    return make(table, *cells)


@pytest.fixture(scope="session")
def two_classes(tmp_path_factory: pytest.TempPathFactory) -> mil.BagDataset:
    """24 patients of one slide each, every second of class B, told by a tenth of the tiles."""
    cohort = write_cohort(tmp_path_factory.mktemp("classes"), planted([(k % 2) * 12.0 for k in range(24)]))
    return mil.BagDataset.open(cohort, labels("classification", {"grade": ["AB"[k % 2] for k in range(24)]}))
