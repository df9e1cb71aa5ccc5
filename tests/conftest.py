"""Fixtures for all tests: small slides, made once for a test run."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from wsi_features.slides.synthetic import SlideSpec, write_slide

# Snakemake runs and torch otherwise use all cores in each of several test processes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SMALL = SlideSpec(width=3072, height=2304, seed=3, mpp=0.5, objective=20, levels=(1, 4))
"""A slide with tissue at 0.5 um/px: its tiles are read one to one."""

FINE = SlideSpec(width=4352, height=3072, seed=4, mpp=0.2431, objective=40)
"""A slide at an odd finer resolution: its tiles are downsampled."""

GLASS = SlideSpec(width=2560, height=1792, seed=5, mpp=0.5, objective=20, tissue=False)
"""A slide without tissue."""


@pytest.fixture(scope="session")
def slide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small.svs`, `fine.svs` and `glass.svs`; tests must not change them."""
    folder = tmp_path_factory.mktemp("slides")
    for name, spec in (("small", SMALL), ("fine", FINE), ("glass", GLASS)):
        write_slide(folder / f"{name}.svs", spec)
    return folder


@pytest.fixture
def broken_slides(tmp_path: Path, slide_folder: Path) -> dict[str, Path]:
    """Files that no feature may come from, by what is wrong with them."""
    folder = tmp_path / "broken"
    folder.mkdir()
    whole = (slide_folder / "small.svs").read_bytes()
    (folder / "truncated.svs").write_bytes(whole[: len(whole) // 2])
    (folder / "zero.svs").touch()
    (folder / "text.svs").write_text("not a slide\n")
    write_slide(folder / "nompp.tif", SlideSpec(width=1536, height=1280, seed=6, mpp=None, objective=None))
    return {path.stem: path for path in sorted(folder.iterdir())}


@pytest.fixture
def rng() -> np.random.Generator:
    """Seeded random numbers."""
    return np.random.default_rng(0)
