"""The page in a real browser: pictures are painted, nothing runs, nothing sticks out."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.report.figures import decoded
from wsi_features.report.html import render
from wsi_features.report.model import CohortReport

_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for path in map(shutil.which, names) if path), None)
    if found is None:
        pytest.skip(f"none of {', '.join(names)} is installed")
    return found


def opened(chromium: str, html: str, folder: Path, *arguments: str) -> str:
    """Open the page in a fresh profile and return what the browser writes to standard output."""
    page, profile = folder / "report.html", folder / "profile"
    page.write_text(html, encoding="utf-8")
    command = [chromium, *_FLAGS, f"--user-data-dir={profile}", *arguments, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def share(image: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> float:
    """Share of the screen within a few levels of a colour."""
    return float((np.abs(image.astype(int) - colour).max(axis=2) <= 6).mean())


def screen(chromium: str, report: CohortReport, folder: Path, *arguments: str) -> npt.NDArray[np.uint8]:
    out = folder / "screen.png"
    opened(chromium, render(report), folder, "--window-size=1280,2000", f"--screenshot={out}", *arguments)
    return decoded(out.read_bytes())


def test_the_pictures_are_painted(chromium: str, report: CohortReport, tmp_path: Path) -> None:
    image = screen(chromium, report, tmp_path)
    assert image.shape == (2000, 1280, 3)
    one_picture = 500 * 300 / (2000 * 1280)
    assert 0.7 * one_picture < share(image, (255, 0, 255)) < 1.3 * one_picture
    three_tiles = one_picture * 3 * 200 * 200 / (1000 * 600)
    assert 0.7 * three_tiles < share(image, (24, 232, 24)) < 1.3 * three_tiles


def test_the_style_sheet_is_let_through_in_light_and_dark(chromium: str, report: CohortReport, tmp_path: Path) -> None:
    light = screen(chromium, report, tmp_path, "--blink-settings=preferredColorScheme=1")
    dark = screen(chromium, report, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert share(light, (0xF4, 0xF6, 0xF8)) > 0.2
    assert share(dark, (0x0F, 0x13, 0x19)) > 0.2
    assert share(light, (0xFB, 0xE4, 0xE1)) > 0.0005


def test_a_script_smuggled_into_the_file_does_not_run(chromium: str, report: CohortReport, tmp_path: Path) -> None:
    script = "<script>document.body.dataset.ran = 'yes'</script></body>"
    smuggled = render(report).replace("</body>", script)
    assert 'data-ran="yes"' not in opened(chromium, smuggled, tmp_path, "--dump-dom")
    assert 'data-ran="yes"' in opened(chromium, _POLICY.sub("", smuggled), tmp_path, "--dump-dom")


def measured(chromium: str, html: str, folder: Path, script: str, *arguments: str) -> str:
    """What `script` says of the page as laid out; the page's own policy would stop it, so a copy without one is opened."""
    probe = f"<script>document.body.dataset.measured = {script}</script></body>"
    dom = opened(chromium, _POLICY.sub("", html).replace("</body>", probe), folder, "--dump-dom", *arguments)
    found = re.search(r'data-measured="([^"]*)"', dom)
    assert found
    return found[1]


@pytest.mark.parametrize("width", [1280, 600])
def test_nothing_sticks_out_to_the_right(chromium: str, report: CohortReport, tmp_path: Path, width: int) -> None:
    html = render(report).replace("Wrong stain.", "x" * 400)
    script = "document.documentElement.scrollWidth"
    assert measured(chromium, html, tmp_path, script, f"--window-size={width},900") == str(width)


@pytest.mark.parametrize(("chosen", "rows"), [("all", "4"), ("failed", "1")])
def test_the_table_shows_only_the_status_chosen(
    chromium: str, report: CohortReport, tmp_path: Path, chosen: str, rows: str
) -> None:
    html = (
        render(report)
        .replace('"only-all" checked', '"only-all"')
        .replace(f'"only-{chosen}"', f'"only-{chosen}" checked', 1)
    )
    script = "[...document.querySelectorAll('tbody tr')].filter(row => row.offsetHeight).length"
    assert measured(chromium, html, tmp_path, script) == rows
