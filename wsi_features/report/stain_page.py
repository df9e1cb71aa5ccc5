"""The stain report as one HTML file: does normalization make tiles tell less of their slide, and what does it do to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.report.figures import encoded
from wsi_features.report.html import Picture, page_template, picture
from wsi_features.report.separation import Separation

_SHADES = 8

Rgb = npt.NDArray[np.uint8]
Stains = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far groups stand apart in the same tiles, before and after; `by` says what the groups are."""

    by: str
    before: Separation | None
    after: Separation | None


@dataclass(frozen=True, slots=True, eq=False)
class StainedSlide:
    """One slide of the report: how its fit was judged, its stain vectors where it has some, and tiles (k, h, w, 3)."""

    slide_id: str
    group: str
    status: str
    lines: tuple[str, ...]
    reason: str
    stains: Stains | None
    before: Rgb
    after: Rgb


@dataclass(frozen=True, slots=True)
class StainReport:
    """Everything that the page shows."""

    title: str
    method: str
    target: str
    encoder: str
    tiles: int
    comparisons: tuple[Comparison, ...]
    slides: tuple[StainedSlide, ...]
    left_out: tuple[tuple[str, str], ...]
    target_stains: Stains | None
    verdict: str


def verdict(comparisons: Sequence[Comparison]) -> str:
    """One sentence on what the numbers say."""
    first = next((c for c in comparisons if c.before and c.after), None)
    if first is None or first.before is None or first.after is None:
        return "Too few slides or tiles to compare: at least two slides with two tiles each are needed."
    before, after = (
        max(0.0, (s.same_neighbours - s.chance) / (1 - s.chance)) if s.chance < 1 else 0.0
        for s in (first.before, first.after)
    )
    if before < 0.1:
        return f"Without normalization tiles hardly tell their {first.by}: there is little for it to mend here."
    change = (before - after) / before
    if change >= 0.25:
        return f"Normalization takes away {change:.0%} of how strongly nearest tiles share a {first.by}: it does what it is for."
    if change <= -0.1:
        return f"With normalization tiles tell their {first.by} more than without: do not use it with this target and encoder."
    return (
        f"Normalization changes little of how strongly tiles tell their {first.by}: what sets the groups apart is "
        "tissue or something else than the stain, or the encoder looks past the stain by itself."
    )


def render_stain_report(report: StainReport) -> str:
    """The whole page. Equal reports give equal text."""
    shown = [(slide, _strip(slide.before), _strip(slide.after)) for slide in report.slides]
    groups = sorted({slide.group for slide in report.slides})
    legend = [(group, i % _SHADES) for i, group in enumerate(groups)] if len(groups) <= 2 * _SHADES else []
    return page_template("stain").render(report=report, slides=shown, marks=_plot(report, groups), legend=legend)


def _strip(tiles: Rgb) -> Picture | None:
    """Tiles side by side, with white between."""
    if not len(tiles):
        return None
    padded = np.pad(tiles, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=255)
    return picture(encoded(np.ascontiguousarray(np.concatenate(list(padded), axis=1)), "png"))


@dataclass(frozen=True, slots=True)
class _Mark:
    """One dye of one slide in the plot, in its pixels; `shade` 0 to 7 stands for the group, 8 for the target."""

    x: float
    y: float
    dye: str
    shade: int
    name: str


def _plot(report: StainReport, groups: Sequence[str]) -> list[_Mark]:
    """The stain vectors of all slides: the share of red and of green in what each dye absorbs."""
    known = [
        (slide.slide_id, groups.index(slide.group) % _SHADES, slide.stains) for slide in report.slides if slide.stains
    ]
    if report.target_stains:
        known.append(("target", _SHADES, report.target_stains))
    marks = []
    for name, shade, stains in known:
        for dye, vector in zip(("haematoxylin", "eosin"), stains, strict=True):
            red, green, _ = np.clip(np.array(vector) / sum(vector), 0, 1).tolist()
            x, y = 40 + 600 * min(1.0, red / 0.6), 300 - 280 * min(1.0, max(0.0, (green - 0.2) / 0.7))
            marks.append(_Mark(round(x, 1), round(y, 1), dye, shade, f"{name}: {dye}"))
    return marks
