"""Words that name patients, people, files or dates, planted in a slide, occur in nothing that a run writes or says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import SlideSpec, slide_pixels

CANARY = "CANARY7531"
DESCRIPTION = (
    "Aperio Image Library v11.2.1\r\n1536x1280 (256x256)|AppMag = 20|MPP = 0.5000|"
    f"User = {CANARY}user|Date = {CANARY}date|Filename = {CANARY}file|Patient = {CANARY}patient|"
    f"MRN = {CANARY}mrn|Barcode = {CANARY}barcode|Title = {CANARY}title|ScanScope ID = {CANARY}scope"
)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A slide whose properties and file name, and whose label image, carry the word."""
    import tifffile

    spec = SlideSpec(width=1536, height=1280, seed=8, mpp=0.5, objective=20, levels=(1,))
    pixels = slide_pixels(spec, Region(0, 0, 1536, 1280))
    path = tmp_path_factory.mktemp("scans") / f"{CANARY}-name.svs"
    label = np.full((120, 160, 3), 200, np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            pixels, tile=(256, 256), photometric="rgb", compression="zlib", description=DESCRIPTION, metadata=None
        )
        thumb = f"Aperio Image Library v11.2.1\r\nlabel {CANARY}label 160x120"
        tiff.write(label, photometric="rgb", rowsperstrip=120, description=thumb, subfiletype=1, metadata=None)
    return path


def test_the_words_are_really_in_the_slide(slide: Path) -> None:
    import openslide

    with openslide.OpenSlide(str(slide)) as opened:
        assert sum(CANARY in value for value in opened.properties.values()) >= 7


def test_nothing_of_them_comes_out(slide: Path, tmp_path: Path) -> None:
    (tmp_path / "cohort.csv").write_text(f"slide_id,path\ns1,{slide}\n")
    command = [sys.executable, "-m", "wsi_features", "run", "cohort.csv", "--out", "out"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert CANARY.encode() not in done.stdout + done.stderr
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    # The manifest as run has to say where the slide is; nothing else does.
    telling = [path.name for path in written if CANARY.encode() in path.read_bytes()]
    assert telling == ["manifest.json"]
    assert len(written) > 15


def test_inspect_shows_whitelisted_properties_only(slide: Path) -> None:
    command = [sys.executable, "-m", "wsi_features", "inspect", "--json", slide.name]
    shown = subprocess.run(command, cwd=slide.parent, check=True, capture_output=True, text=True).stdout
    assert shown.count(CANARY) == 1, "only in the slide_id that was made of the file's name"
