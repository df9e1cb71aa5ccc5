"""The cohort report as one HTML file that opens anywhere: no script, no network, nothing beside it.

Slide names and messages may hold anything a file name or a damaged header holds. All
text is escaped by the template engine, and the page's own security policy lets nothing
run or load but its one style sheet and its embedded pictures.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from wsi_features.report.figures import decoded, encoded, grid_is_drawn, outline_figure
from wsi_features.report.model import CohortReport, FeatureMap, ScoreMap, SlideFigure, SlideRow, Status
from wsi_features.report.quality import QualityMap
from wsi_features.resources import share

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_UNKNOWN = "\u2013"

# Control characters but tab and newline, and the marks that turn the direction of writing, which can disguise a name.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")  # undecodable bytes of a file name; UTF-8 cannot hold them


@dataclass(frozen=True, slots=True)
class Picture:
    """An image inside the page: its data URI and size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _BarPart:
    """One status in the bar of the header, in percent of its width."""

    status: Status
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class _FigureView:
    """One slide's pictures, drawn; `number` is the place of its `row` in the table, from 1."""

    anchor: str
    slide_id: str
    number: int
    row: SlideRow | None
    lines: tuple[str, ...]
    tissue: bool
    tiles: int
    span: int
    filled: bool
    outline: Picture
    maps: tuple[tuple[FeatureMap, Picture], ...]
    scores: tuple[tuple[ScoreMap, Picture], ...]
    quality: tuple[QualityMap, Picture] | None


def render(report: CohortReport) -> str:
    """The whole page. Equal reports give equal text."""
    numbered = list(enumerate(report.rows, start=1))
    failed = [(number, row) for number, row in numbered if row.status == "failed"]
    places = {row.slide_id: (number, row) for number, row in numbered}
    figures = [_figure_view(i, figure, places) for i, figure in enumerate(report.figures, start=1)]
    return page_template("report").render(
        report=report,
        bar=_bar(report),
        failed=failed,
        reasons=Counter(row.reason or "no reason code" for _, row in failed).most_common(),
        without=[(number, row) for number, row in numbered if row.status in {"empty", "skipped"}],
        figures=figures,
        anchors={view.slide_id: view.anchor for view in figures},
        mapped=any(view.maps for view in figures),
    )


def picture(png: bytes) -> Picture:
    """Embed a PNG; one that JPEG makes smaller, as it does photographs, goes in as JPEG."""
    image = decoded(png)
    jpeg = encoded(image, "jpeg")
    kind, data = ("jpeg", jpeg) if len(jpeg) < len(png) else ("png", png)
    return Picture(f"data:image/{kind};base64,{base64.b64encode(data).decode()}", image.shape[1], image.shape[0])


def _figure_view(i: int, figure: SlideFigure, places: Mapping[str, tuple[int, SlideRow]]) -> _FigureView:
    number, row = places.get(figure.slide_id, (0, None))
    outline = outline_figure(
        figure.thumbnail, figure.mask, figure.origins, figure.span, figure.size, mask_scale=figure.mask_scale
    )
    return _FigureView(
        anchor=f"slide-{i}",
        slide_id=figure.slide_id,
        number=number,
        row=row,
        lines=figure.lines,
        tissue=bool(figure.mask.any()),
        tiles=len(figure.origins),
        span=figure.span,
        filled=not grid_is_drawn(figure.span, figure.size, figure.thumbnail.shape[1]),
        outline=picture(outline),
        maps=tuple((drawn, picture(drawn.image)) for drawn in figure.maps),
        scores=tuple((drawn, picture(drawn.image)) for drawn in figure.scores),
        quality=(figure.quality, picture(figure.quality.image)) if figure.quality else None,
    )


def _bar(report: CohortReport) -> list[_BarPart]:
    """The statuses that occur, in proportion, but none too thin to be seen: one failure in 5,000 slides matters."""
    widths = {status: max(0.8, 100 * count / len(report.rows)) for status, count in report.counts.items() if count}
    parts, start = [], 0.0
    for status, width in widths.items():
        share_of_bar = 100 * width / sum(widths.values())
        parts.append(_BarPart(status, round(start, 3), round(share_of_bar, 3)))
        start += share_of_bar
    return parts


@cache
def page_template(name: str) -> Template:
    """The template of a page, compiled once in a process: that takes longer than filling a small page."""
    return _environment().get_template(f"{name}.html.j2")


def _environment() -> Environment:
    """The template engine of all pages: everything is escaped, and an unknown name is an error. All have one style sheet."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_page_file),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.globals["css"] = Markup(_page_file("page.css"))  # noqa: S704 - the project's own text: nothing of a slide is in it
    environment.filters.update(
        thousands=_thousands,
        decimals=_decimals,
        duration=_duration,
        percent=_percent,
        short=_short,
        csp_hash=_csp_hash,
        number=_number,
    )
    return environment


def _page_file(name: str) -> str:
    """A file of the pages' own: templates and the style sheet."""
    return share("resources", "report", name).read_text(encoding="utf-8")


def _printable(value: object) -> object:
    """Every text on its way into the page, without what a reader could not see. The template's own markup passes."""
    from markupsafe import Markup

    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", value))


def _csp_hash(css: str) -> str:
    """The style sheet's entry in the Content-Security-Policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()


def _thousands(value: int | None) -> str:
    return _UNKNOWN if value is None else f"{value:,}"


def _decimals(value: float | None, places: int) -> str:
    return _UNKNOWN if value is None else f"{value:,.{places}f}"


def _number(value: float) -> str:
    """Three decimals, fewer of what is large; a dash for NaN."""
    return _UNKNOWN if value != value else f"{value:.3f}" if abs(value) < 10 else f"{value:,.1f}"  # noqa: PLR0124


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}"


def _percent(share_of_one: float) -> str:
    return f"{100 * share_of_one:.1f}\u00a0%"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return _UNKNOWN
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min\u00a0{rest:02}\u00a0s"
    return f"{minutes // 60:,}\u00a0h\u00a0{minutes % 60:02}\u00a0min"
