"""The quality of each slide's tiles in the report: from its first store, and the keep marks of the last run."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.keep import INVALID, KEEP, Recorded, keep_counts, marks_of_last_run
from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import ArtifactError
from wsi_features.geometry import Size, SlidePx
from wsi_features.report.figures import component_map
from wsi_features.report.quality import QualityMap, column_limits, histograms, kept_colours
from wsi_features.store import FeatureStore

Limits = dict[str, tuple[float, float]]


def quality_limits(slides: Mapping[str, Mapping[str, FeatureStore]]) -> Limits:
    """The scales of the histograms, for all slides together."""
    return column_limits(next(iter(stores.values())).columns for stores in slides.values() if stores)


def quality_map(
    out: Outputs, store: FeatureStore, last: Recorded, thumbnail: npt.NDArray[np.uint8], slide: Size, limits: Limits
) -> QualityMap | None:
    """What is shown of one store, with the marks of the `last` run; None where nothing was measured and no tile is left out."""
    try:
        marks = marks_of_last_run(out, store, last)
    except ArtifactError:  # damaged: the next run makes them anew
        marks = None
    known = {name: values[store.valid] for name, values in store.columns.items()}
    bars = histograms(known, limits)
    if marks is None or not (bars or marks.values[:, marks.columns.index(KEEP)].min(initial=1) < 1):
        return None
    keep = marks.values[:, marks.columns.index(KEEP)] == 1
    counts = keep_counts(marks)
    span, origins = SlidePx(store.provenance.span), store.coords.astype(np.int64)
    image = component_map(thumbnail, origins, span, slide, kept_colours(keep), store.valid)
    reasons = tuple((_words(name), count) for name, count in counts["reasons"].items() if count)
    return QualityMap(image, counts["tiles"], counts["kept"], reasons, bars)


def _words(reason: str) -> str:
    """`pen_share_high` as people say it."""
    name, _, side = reason.rpartition("_")
    return "unreadable" if reason == INVALID else f"{name.removesuffix('_share').replace('_', ' ')} too {side}"
