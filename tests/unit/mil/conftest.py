"""A finished output folder of tiny slides: 7 patients, one site for two each; features tell slide and row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.store.conftest import Samples
from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.store import layout

SETS = "tiny__256px__none__00000000"
DIM = 6
TILES = (9, 23, 0, 14, 31, 5, 17, 40, 12, 8, 27, 11, 3)
"""Of slides s0 to s12, two a patient; s2 is empty, s12 the only one of its patient."""
BAD = {1: [0, 7], 5: [1]}


def features_of(number: int, tiles: int) -> Any:
    """Columns 0 and 1 are the slide's number and the row, all exact in float16."""
    values = np.ones((tiles, DIM), np.float32)
    values[:, 0], values[:, 1] = number, np.arange(tiles)
    return values


def write_cohort(out: Path, tiles: tuple[int, ...] = TILES, *, patients: bool = True, **changed: Any) -> Cohort:
    """The folder of a run whose slides are s0, s1 ... with so many tiles."""
    rows = []
    for k, n in enumerate(tiles):
        name = f"s{k}"
        content = Samples.content(n, DIM, slide_id=name, fingerprint=f"{k:064x}", **changed)
        Samples.write(out / "features" / SETS, content, features_of(k, n), bad=[b for b in BAD.get(k, []) if b < n])
        patient = f"p{k // 2}" if patients else ""
        whose = {"patient_id": patient, "stain": ("H&E", "Ki-67")[k % 2], "block": f"B{k}" if patients else ""}
        rows.append(ManifestRow(slide_id=name, path=f"/{name}.svs", **whose))
    Outputs(out).manifest.write_text(Manifest(tuple(rows)).to_json(4))
    return Cohort.open(out, SETS)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Chunks of 8 rows, so that most slides have several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_ROWS", 8)
        return write_cohort(tmp_path_factory.mktemp("mil"))


@pytest.fixture(scope="session")
def nameless(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Three slides of which nobody says whose they are."""
    return write_cohort(tmp_path_factory.mktemp("nameless"), (4, 6, 5), patients=False)


@pytest.fixture(scope="session")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels by patient, of all kinds; p1 has none."""
    path = tmp_path_factory.mktemp("labels") / "patients.csv"
    lines = ["patient_id,grade,months,status,age,site"]
    lines += [f"p{k},{'' if k == 1 else 'AB'[k % 2]},{k + 0.5},{k % 2},{50 + k},site{k // 2}" for k in range(7)]
    path.write_text("\n".join(lines) + "\n")
    return path
