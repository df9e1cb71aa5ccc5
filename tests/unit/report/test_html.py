from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from wsi_features.geometry import SlidePx
from wsi_features.report.figures import decoded, encoded
from wsi_features.report.html import picture, render
from wsi_features.report.model import CohortReport, SlideFigure, SlideRow

HOSTILE = "a'b\"</title><script src=//evil.example/x.js>&amp;{{ 7*7 }}<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What a browser makes of the text: the elements with their attributes, and the words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]

    def values(self, attribute: str) -> list[str]:
        return [attributes[attribute] or "" for _, attributes in self.elements if attribute in attributes]


def everywhere(report: CohortReport, text: str) -> CohortReport:
    """The report with `text` in each of its texts."""
    row = replace(report.rows[3], slide_id=text, reason=text, stage=text, message=text, reader=text, encoders=text)
    maps = (replace(report.figures[0].maps[0], encoder=text),)
    figure = replace(report.figures[0], slide_id=text, lines=(text,), maps=maps)
    return CohortReport(text, (replace(row, mpp_source=text),), (figure,), ((text, text),), ((text, text),))


def test_hostile_text_stays_text_wherever_it_stands(report: CohortReport) -> None:
    page = Page(render(everywhere(report, HOSTILE)))
    assert not page.all("script")
    assert len(page.all("img")) == 2
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.words.count(HOSTILE) >= 15


def test_control_bytes_and_direction_marks_are_dropped(report: CohortReport) -> None:
    html = render(everywhere(report, "a\x00b\x1b[31mc\x7fd\x9be\u202ef\u2066g\rh\u2028i"))
    assert "ab[31mcdefghi" in html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", html)


def test_undecodable_bytes_of_a_file_name_can_be_written(report: CohortReport) -> None:
    assert "x\ufffdy".encode() in render(everywhere(report, b"x\xffy".decode("utf-8", "surrogateescape"))).encode()


def test_the_policy_lets_nothing_load_but_the_style_and_embedded_pictures(report: CohortReport) -> None:
    html = render(report)
    (policy,) = [meta["content"] for meta in Page(html).all("meta") if "content" in meta and "http-equiv" in meta]
    css = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert css
    digest = base64.b64encode(hashlib.sha256(css[1].encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_the_page_refers_to_nothing_outside_itself(report: CohortReport) -> None:
    html = render(report)
    page = Page(html)
    assert not re.search(r"https?://|@import|url\(", html)
    assert all(source.startswith("data:image/") for source in page.values("src"))
    assert all(link.startswith("#") for link in page.values("href"))
    assert not page.values("style")


def test_every_link_leads_somewhere_and_no_name_is_given_twice(report: CohortReport) -> None:
    page = Page(render(replace(report, rows=report.rows * 2)))
    names = page.values("id")
    assert len(set(names)) == len(names)
    assert {link[1:] for link in page.values("href")} <= set(names)


def test_equal_reports_give_equal_bytes(report: CohortReport) -> None:
    assert render(report) == render(replace(report))


def test_a_failed_slide_comes_first_with_stage_reason_and_remedy(report: CohortReport) -> None:
    words = Page(render(report)).words
    attention = words[words.index("What needs attention\n") : words.index("All slides\n", words.index("1 of 4"))]
    assert "1 of 4 slides failed" in attention
    for expected in ("broken", "preflight", "mpp", "No resolution. Give it in the manifest."):
        assert expected in attention
    assert "good" not in attention


def test_empty_and_skipped_slides_are_listed_with_their_reasons(report: CohortReport) -> None:
    html = render(report)
    details = html[html.index("<details") : html.index("</details>")]
    assert "2 slides without features" in details
    assert "No tissue was found." in details
    assert "Wrong stain." in details


def test_failures_of_several_kinds_are_tallied_most_frequent_first(report: CohortReport) -> None:
    rows = [replace(report.rows[3], slide_id=f"s{i}", reason=code) for i, code in enumerate(["mpp", "io", "io"])]
    assert re.search(r"<b>2</b> io.*<b>1</b> mpp", render(replace(report, rows=tuple(rows))), re.DOTALL)


def test_a_cohort_without_failures_says_so(report: CohortReport) -> None:
    assert "No slide failed." in render(replace(report, rows=report.rows[:3]))


def test_a_row_of_the_table_holds_what_is_known(report: CohortReport) -> None:
    html = render(report)
    row = html[html.index('id="row-1"') :].split("</tr>")[0]
    cells = [cell for cell in Page(f"<tr {row}").words.split("\n") if cell]
    assert cells == [
        "good",
        "ok",
        "3",
        "1.25",
        "0.2500aperio.MPP",
        "openslide",
        "histo-texture",
        "1\u00a0min\u00a015\u00a0s",
    ]


def test_what_is_unknown_is_a_dash_and_a_measured_zero_is_a_zero(report: CohortReport) -> None:
    html = render(report)
    assert '<td class="number">0</td>\n<td class="number">0.00</td>' in html
    assert '<td class="number">\u2013</td>\n<td class="number">\u2013</td>' in html


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (3599.6, "1 h 00 min"), (4_000_000, "1,111 h 06 min")],
)
def test_durations_are_read_at_a_glance(report: CohortReport, seconds: float, text: str) -> None:
    rows = (replace(report.rows[0], seconds=seconds),)
    assert f'<td class="number">{text.replace(" ", chr(0xA0))}</td>' in render(replace(report, rows=rows))


def test_the_page_says_how_many_slides_have_figures(report: CohortReport) -> None:
    assert "1 of 4 slides are shown" in render(report)


def test_a_map_stands_with_the_variance_behind_each_colour(report: CohortReport) -> None:
    html = render(report)
    assert re.findall(r"(red|green|blue) (\d+\.\d)\xa0%", html) == [("red", "50.0"), ("green", "25.0")]
    assert "without features</li>" not in html


def test_tiles_without_features_are_counted_under_the_map(report: CohortReport) -> None:
    figure = replace(report.figures[0], maps=(replace(report.figures[0].maps[0], missing=1234),))
    assert "1,234 without features</li>" in render(replace(report, figures=(figure,)))


def test_a_map_of_too_few_tiles_explains_itself(report: CohortReport) -> None:
    figure = replace(report.figures[0], maps=(replace(report.figures[0].maps[0], explained=()),))
    assert "too little variation for colours" in render(replace(report, figures=(figure,)))


def test_an_empty_slide_is_shown_without_tissue_tiles_and_features(report: CohortReport, figure: SlideFigure) -> None:
    blank = replace(figure, slide_id="blank", mask=figure.mask & False, origins=figure.origins[:0], maps=())
    page = Page(render(replace(report, figures=(blank,))))
    assert "Tissue and tiles. No tissue.\nNo tiles." in page.words
    assert "No tiles, so no features to show." in page.words
    assert len(page.all("img")) == 1


@pytest.mark.parametrize(
    ("span", "words"), [(200, "Thin lines: 3 tiles, 200 level"), (2, "Blue tint: 3 tiles, 2 level")]
)
def test_the_caption_tells_how_tiles_are_drawn(report: CohortReport, span: int, words: str) -> None:
    figure = replace(report.figures[0], span=SlidePx(span))
    assert words in Page(render(replace(report, figures=(figure,)))).words


def test_the_mask_is_drawn_at_the_scale_it_was_given(report: CohortReport) -> None:
    stretched, exact, half = (replace(report.figures[0], mask_scale=scale) for scale in (None, 100.0, 50.0))
    pages = [render(replace(report, figures=(figure,))) for figure in (stretched, exact, half)]
    assert pages[0] == pages[1] != pages[2]


def test_pictures_carry_their_size_and_a_description(report: CohortReport) -> None:
    outline, features = Page(render(report)).all("img")
    assert (outline["width"], outline["height"]) == (features["width"], features["height"]) == ("500", "300")
    assert outline["alt"] == "Slide good with the outline of its tissue and 3 tiles"
    assert "histo-texture on slide good" in (features["alt"] or "")


def test_photographs_are_embedded_as_jpeg_and_drawings_as_png() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (60, 100, 3)).astype(np.uint8)
    photo, drawing = picture(encoded(noise, "png")), picture(encoded(np.zeros((60, 100, 3), np.uint8), "png"))
    assert (photo.width, photo.height) == (100, 60)
    assert photo.uri.startswith("data:image/jpeg;base64,")
    assert drawing.uri.startswith("data:image/png;base64,")
    assert decoded(base64.b64decode(photo.uri.split(",")[1])).shape == noise.shape


def test_headers_of_the_table_say_what_they_head(report: CohortReport) -> None:
    heads = Page(render(report)).all("th")
    assert [head["scope"] for head in heads] == ["col"] * 8 + ["row"] * 4


def test_an_empty_cohort_still_has_a_page() -> None:
    html = render(CohortReport("nothing", ()))
    assert "There is no slide in this cohort." in html
    assert "No figure was asked for." in html
    assert "<table" not in html


def test_one_failure_among_thousands_is_seen_in_the_bar() -> None:
    rows = [SlideRow(f"s{i}", "ok", tiles=i) for i in range(4999)]
    html = render(CohortReport("many", (*rows, SlideRow("bad", "failed", "mpp"))))
    widths = [float(width) for width in re.findall(r'<rect class="\w+" x="[\d.]+" y="0" width="([\d.]+)"', html)]
    assert html.count('<tr class="') == 5000
    assert widths[1] > 0.5
    assert sum(widths) == pytest.approx(100, abs=0.01)


def test_the_speed_of_the_cohort_stands_beside_how_it_was_made(report: CohortReport) -> None:
    assert ">Speed<" not in render(report)
    page = render(replace(report, speed=(("tiles a second", "50.0"), ("advice", "reading-bound: stage <the> slides"))))
    assert ">Speed<" in page
    assert "reading-bound: stage &lt;the&gt; slides" in page
