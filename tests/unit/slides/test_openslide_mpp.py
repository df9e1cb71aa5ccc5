"""What OpenSlide's reader lists about the resolution, on real small files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from wsi_features.errors import ResolutionError
from wsi_features.slides import MppCandidate, resolution
from wsi_features.slides.openslide_reader import OpenSlideReader
from wsi_features.slides.synthetic import SlideSpec, write_slide


def candidates(path: Path) -> tuple[MppCandidate, ...]:
    with OpenSlideReader("s1", str(path)) as slide:
        return slide.mpp_candidates


def tiff(path: Path, **tags: Any) -> Path:
    tifffile.imwrite(path, np.zeros((128, 256, 3), np.uint8), tile=(64, 64), photometric="rgb", metadata=None, **tags)
    return path


def test_a_scan_lists_its_own_statements_before_the_nominal(tmp_path: Path) -> None:
    write_slide(tmp_path / "a.svs", SlideSpec(700, 500, seed=1, mpp=0.2431, objective=40))
    assert candidates(tmp_path / "a.svs") == (
        MppCandidate("openslide", 0.2431, 0.2431),
        MppCandidate("aperio text", 0.2431, 0.2431),
        MppCandidate("objective power (nominal)", 0.25, 0.25, usable=False),
    )


def test_an_objective_alone_is_listed_and_never_used(tmp_path: Path) -> None:
    about = "Aperio Image Library v11.2.1\r\n256x128 (64x64)|AppMag = 20"
    path = tiff(tmp_path / "a.svs", description=about)
    assert candidates(path) == (MppCandidate("objective power (nominal)", 0.5, 0.5, usable=False),)
    with (
        OpenSlideReader("s1", str(path)) as slide,
        pytest.raises(ResolutionError, match="does not say its microns per pixel"),
    ):
        resolution("s1", slide)


def test_resolution_tags_are_listed_beside_what_openslide_makes_of_them(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", resolution=(20_000, 40_000), resolutionunit="CENTIMETER")
    assert candidates(path) == (MppCandidate("openslide", 0.5, 0.25), MppCandidate("tiff resolution", 0.5, 0.25))


def test_resolution_tags_are_used_where_nothing_else_is_stated(tmp_path: Path) -> None:
    about = "Aperio Image Library v11.2.1\r\n256x128 (64x64)|AppMag = 20"
    path = tiff(tmp_path / "a.svs", description=about, resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    with OpenSlideReader("s1", str(path)) as slide:
        assert resolution("s1", slide).source == "tiff resolution"
        assert resolution("s1", slide).mpp == 0.5


def test_a_display_resolution_is_refused_as_before(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", resolution=(72, 72), resolutionunit="INCH")
    assert [(c.source, c.usable) for c in candidates(path)] == [("openslide", True), ("tiff resolution", False)]
    with (
        OpenSlideReader("s1", str(path)) as slide,
        pytest.raises(ResolutionError, match=r"states 352.778 um/px \(openslide\)"),
    ):
        resolution("s1", slide)


def test_a_display_resolution_of_a_scan_is_not_used(tmp_path: Path) -> None:
    about = "Aperio Image Library v11.2.1\r\n256x128 (64x64)|MPP = 0.5"
    path = tiff(tmp_path / "a.svs", description=about, resolution=(300, 300), resolutionunit="INCH")
    with OpenSlideReader("s1", str(path)) as slide:
        assert [c.source for c in slide.mpp_candidates if c.usable] == ["openslide", "aperio text"]
        assert resolution("s1", slide).mpp == 0.5


def test_tags_without_a_unit_say_nothing(tmp_path: Path) -> None:
    assert candidates(tiff(tmp_path / "a.tif", resolution=(20_000, 20_000), resolutionunit="NONE")) == ()
