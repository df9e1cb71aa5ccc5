"""What a cohort report shows: plain values that the caller fills in.

Nothing here is read from disk or computed from pixels, and there is no date: equal
values give an identical report.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size, SlidePx
from wsi_features.report.quality import QualityMap
from wsi_features.report.scores import ScoredClass

Status = Literal["ok", "empty", "skipped", "failed"]

STATUSES: tuple[Status, ...] = ("ok", "empty", "skipped", "failed")
"""In the order in which they are counted and listed."""


@dataclass(frozen=True, slots=True)
class SlideRow:
    """One slide of the cohort and what became of it; None and empty text mean unknown.

    `reason` is the reason code and `message` the one-line explanation with its remedy.
    `seconds` is the time that all stages of the slide took together; `kept` counts the tiles that keep marks keep.
    """

    slide_id: str
    status: Status
    reason: str = ""
    stage: str = ""
    message: str = ""
    tiles: int | None = None
    tissue_mm2: float | None = None
    mpp: float | None = None
    mpp_source: str = ""
    reader: str = ""
    encoders: str = ""
    seconds: float | None = None
    kept: int | None = None


@dataclass(frozen=True, slots=True)
class FeatureMap:
    """One encoder's features drawn over one slide.

    `image` is the PNG of `component_map`; `explained` holds the share of variance, 0 to 1,
    behind red, green and blue, and may be shorter than three. `missing` counts the tiles
    without features, which are hatched.
    """

    encoder: str
    image: bytes
    explained: tuple[float, ...]
    tiles: int
    missing: int = 0


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """Scores of classes drawn over one slide: `name` is that of the marks, `encoder` whose features were scored.

    `image` is a PNG like that of `component_map`, in the colours of `score_colours`, whose legend is `classes`.
    """

    name: str
    encoder: str
    image: bytes
    classes: tuple[ScoredClass, ...]
    missing: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class SlideFigure:
    """The pictures of one slide.

    `thumbnail` uint8 (h, w, 3) shows the whole slide of `size` level-0 pixels. `mask` bool
    (h, w) is the tissue, `mask_scale` its level-0 pixels per mask pixel; None means that the
    mask covers the slide exactly. `origins` int64 (n, 2) are the tiles' level-0 top-left
    x, y and `span` their width. `lines` stand under the slide's name.
    """

    slide_id: str
    thumbnail: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    origins: npt.NDArray[np.int64]
    span: SlidePx
    size: Size
    mask_scale: float | None = None
    lines: tuple[str, ...] = ()
    maps: tuple[FeatureMap, ...] = ()
    scores: tuple[ScoreMap, ...] = ()
    quality: QualityMap | None = None


@dataclass(frozen=True, slots=True, eq=False)
class CohortReport:
    """Everything on the page. `speed`, `recipe` and `versions` are (name, value) pairs, shown in their order.

    `figures` may cover any part of `rows`: the page says how many slides are shown.
    """

    title: str
    rows: tuple[SlideRow, ...]
    figures: tuple[SlideFigure, ...] = ()
    recipe: tuple[tuple[str, str], ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    speed: tuple[tuple[str, str], ...] = ()

    @property
    def counts(self) -> Mapping[Status, int]:
        """Number of slides of each status, also where it is 0."""
        found = [row.status for row in self.rows]
        return {status: found.count(status) for status in STATUSES}

    @property
    def tiles(self) -> int:
        """Tiles of all slides together."""
        return sum(row.tiles or 0 for row in self.rows)

    @property
    def tissue_mm2(self) -> float:
        """Tissue of all slides together."""
        return sum(row.tissue_mm2 or 0.0 for row in self.rows)

    @property
    def seconds(self) -> float:
        """Working time of all slides together; slides run side by side, so it is not the wall clock."""
        return sum(row.seconds or 0.0 for row in self.rows)
