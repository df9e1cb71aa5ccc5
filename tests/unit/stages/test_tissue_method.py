"""The tissue stage with the method of the config, on a fluorescence slide with a dark background."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.config import Config, config_from
from wsi_features.errors import SegmentationError
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.tissue import tissue_of

DARK = SlideSpec(1200, 800, mpp=1.0, objective=10, seed=2, levels=(1, 4), stain="dapi")


@pytest.fixture(scope="module")
def inspector() -> Iterator[Inspector]:
    with Inspector(seconds=60, mib=512) as made:
        yield made


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> ManifestRow:
    path = tmp_path_factory.mktemp("dark") / "dark.svs"
    write_slide(path, DARK)
    return ManifestRow(slide_id="dark", path=str(path))


def test_the_default_method_finds_fluorescent_tissue(slide: ManifestRow, inspector: Inspector, tmp_path: Path) -> None:
    result = tissue_of(slide, Config(), Outputs(tmp_path), inspector)
    assert 0.2 < result.facts["tissue_mm2"] < 0.8


def test_a_method_that_cannot_see_it_fails_the_slide(slide: ManifestRow, inspector: Inspector, tmp_path: Path) -> None:
    config = config_from({"tissue": {"method": "tiatoolbox-otsu"}}, "test")
    with pytest.raises(SegmentationError, match="'dark' has a dark background"):
        tissue_of(slide, config, Outputs(tmp_path), inspector)
    assert not (tmp_path / "slides" / "dark" / "tissue.png").exists()
