"""Finished runs of tiny stores whose tiles lie where a test puts them, with score tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.cohort.exports.conftest import SET, provenance
from wsi_features.cohort.manifest import Manifest, ManifestRow
from wsi_features.cohort.outputs import Outputs
from wsi_features.cohort.scores import SlideScores, write_scores
from wsi_features.files import write_text
from wsi_features.slides import content_fingerprint
from wsi_features.stages.boundary import Told
from wsi_features.stages.heatmaps import HeatMapRequest, heat_maps
from wsi_features.store import FeatureStore, Provenance, StoreContent, StoreWriter, in_any_form

SLIDE, SPAN = (1201, 903), 99
CORNERS = ((0, 0), (1201 - SPAN, 0), (401, 207), (0, 903 - SPAN), (1201 - SPAN, 903 - SPAN))
"""Tiles in the corners of the slide and one anywhere, in raster order."""


@dataclass(frozen=True)
class TiledSlide:
    """`path` is of the slide, which need not be there; `said` changes the store's provenance, `form` ends its name."""

    path: Path | str = "gone.svs"
    origins: Sequence[tuple[int, int]] = CORNERS
    said: dict[str, Any] = field(default_factory=dict)
    form: str = ".zarr"


@dataclass(frozen=True)
class Run:
    """An output folder and where its heat maps go."""

    out: Path
    maps: Path

    def store(self, slide_id: str) -> FeatureStore:
        return FeatureStore.open(in_any_form(Outputs(self.out).store(SET, slide_id)))

    def table(self, scores: dict[str, Sequence[float]], store: str | None = None) -> Path:
        """A score table of one column, `attention`, for the first rows of each slide."""
        path = self.out.parent / "scores.parquet"
        slides = [
            SlideScores(
                name,
                np.arange(len(values)),
                ("attention",),
                np.array([values], np.float32).T,
                self.store(name).fingerprint if store is None else store,
            )
            for name, values in scores.items()
        ]
        write_scores(path, ("attention",), slides)
        return path

    def made(self, *to: Any, **asked: Any) -> list[Told]:
        return list(heat_maps(self.out, HeatMapRequest(to, self.maps, feature_set=SET, **asked)))


def write_store(out: Outputs, slide_id: str, slide: TiledSlide) -> None:
    n = len(slide.origins)
    said = {"slide_size": list(SLIDE), "span": SPAN, "step": SPAN, "mpp_native": 0.5, **slide.said}
    if Path(slide.path).is_file():
        said["slide_fingerprint"] = content_fingerprint(Path(slide.path))
    attributes = {k: v for k, v in (provenance(slide_id, n).to_attributes() | said).items() if v is not None}
    origins = np.array(slide.origins, np.int64).reshape(-1, 2)
    columns = (np.arange(n)[:, None] / 4).astype(np.float32)
    about = Provenance.of_attributes(attributes)
    grid = np.stack([np.arange(n), np.zeros(n)], axis=1).astype(np.int32)
    content = StoreContent(origins, grid, columns, ("focus",), 3, "float16", about)
    with StoreWriter(out.store(SET, slide_id).with_name(slide_id + slide.form), content) as writer:
        writer.append(np.ones((n, 3), np.float32), np.ones(n, np.bool_))
        writer.commit([])


@pytest.fixture(scope="session")
def slide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide of that size whose pixels tell where they are."""
    import tifffile

    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    rgb = np.empty((SLIDE[1], SLIDE[0], 3), np.uint8)
    rgb[:, :, :2] = (np.arange(SLIDE[0]) // 16).astype(np.uint8)[:, None]
    rgb[:, :, 2] = (np.arange(SLIDE[1]) // 16).astype(np.uint8)[:, None]
    tifffile.imwrite(path, rgb, tile=(256, 256))
    return path


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., Run]:
    """Makes a run of the slides given by id."""

    def made(**slides: TiledSlide) -> Run:
        out = Outputs(tmp_path / "run")
        for slide_id, slide in slides.items():
            write_store(out, slide_id, slide)
        rows = tuple(ManifestRow(slide_id=name, path=str(slide.path)) for name, slide in slides.items())
        write_text(out.manifest, Manifest(rows).to_json(32))
        return Run(out.root, tmp_path / "maps")

    return made
