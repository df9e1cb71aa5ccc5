"""A small cohort report: one slide with features, one empty, one skipped, one failed."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_features.geometry import Size, SlidePx
from wsi_features.report.figures import component_map
from wsi_features.report.model import CohortReport, FeatureMap, SlideFigure, SlideRow

MAGENTA, GREEN = (255, 0, 255), (24, 232, 24)
SLIDE, SPAN = Size(1000, 600), SlidePx(200)  # never square: a swapped axis must fail
ORIGINS = np.array([[0, 0], [200, 0], [800, 400]], np.int64)


@pytest.fixture
def figure() -> SlideFigure:
    """A magenta thumbnail of 500 x 300 pixels with three tiles, all of them green in the feature map."""
    thumbnail = np.full((300, 500, 3), MAGENTA, np.uint8)
    image = component_map(thumbnail, ORIGINS, SPAN, SLIDE, np.full((3, 3), GREEN, np.uint8))
    mask = np.zeros((6, 10), np.bool_)
    mask[0:3, 0:4] = True
    features = FeatureMap("histo-texture", image, (0.5, 0.25), tiles=3)
    return SlideFigure("good", thumbnail, mask, ORIGINS, SPAN, SLIDE, lines=("1,000 x 600 px",), maps=(features,))


@pytest.fixture
def report(figure: SlideFigure) -> CohortReport:
    rows = (
        SlideRow("good", "ok", "", "", "", 3, 1.25, 0.25, "aperio.MPP", "openslide", "histo-texture", 75.0),
        SlideRow("blank", "empty", "no_tissue", "tissue", "No tissue was found.", 0, 0.0, 0.5),
        SlideRow("left-out", "skipped", "manifest", message="Wrong stain."),
        SlideRow("broken", "failed", "mpp", "preflight", "No resolution. Give it in the manifest."),
    )
    return CohortReport("Pilot", rows, (figure,), (("tile size", "256 px"),), (("numpy", "2.4"),))
