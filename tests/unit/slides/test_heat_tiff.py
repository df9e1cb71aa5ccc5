"""Heat maps as OME-TIFF: one file that OpenSlide, tifffile and the own reader take for the same pyramid."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import openslide
import pytest
import tifffile

from wsi_features.geometry import Mpp, Region
from wsi_features.slides import open_slide, resolution
from wsi_features.slides.heat_tiff import HeatImage, write_heat_tiff

SHAPES = [(601, 803), (301, 402), (151, 201)]


@pytest.fixture
def levels(rng: np.random.Generator) -> list[Any]:
    return [rng.integers(0, 255, (*shape, 3), np.uint8) for shape in SHAPES]


@pytest.fixture
def path(tmp_path: Path, levels: list[Any]) -> Path:
    write_heat_tiff(tmp_path / "s1.ome.tiff", levels, HeatImage("s1", Mpp(16.0), "attention"))
    return tmp_path / "s1.ome.tiff"


def test_openslide_reads_every_level_with_its_resolution(path: Path, levels: list[Any]) -> None:
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == tuple((w, h) for h, w in SHAPES)
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(16)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(16)
        for number, level in enumerate(levels):
            found = slide.read_region((0, 0), number, slide.level_dimensions[number])
            np.testing.assert_array_equal(np.asarray(found)[:, :, :3], level)


def test_tifffile_reads_the_levels_of_one_ome_series(path: Path, levels: list[Any]) -> None:
    with tifffile.TiffFile(path) as file:
        (series,) = file.series
        assert (file.is_ome, series.kind, series.name, len(series.levels)) == (True, "ome", "s1", 3)
        for found, level in zip(series.levels, levels, strict=True):
            np.testing.assert_array_equal(found.asarray(), level)


def test_the_own_reader_reads_it_as_a_slide(path: Path, levels: list[Any]) -> None:
    with open_slide("s1", path) as slide:
        assert [(level.size.height, level.size.width) for level in slide.levels] == SHAPES
        assert (resolution("s1", slide).mpp, resolution("s1", slide).source) == (16.0, "ome physical size")
        np.testing.assert_array_equal(slide.read(Region(0, 0, 402, 301), 1).rgb, levels[1])


def test_the_xml_holds_size_resolution_and_name_and_nothing_else_of_anyone(tmp_path: Path, levels: list[Any]) -> None:
    path = tmp_path / "x.ome.tiff"
    write_heat_tiff(path, levels, HeatImage('<s&1> "é"', Mpp(16.134), "µm"))
    with tifffile.TiffFile(path) as file:
        text = file.pages.first.description
        tags = {tag.name for tag in file.pages.first.tags}
    root = ElementTree.fromstring(text)  # noqa: S314 - written by the test
    pixels = root.find(".//{*}Pixels")
    assert pixels is not None
    assert (pixels.get("SizeX"), pixels.get("SizeY"), pixels.get("SizeC")) == ("803", "601", "3")
    assert (pixels.get("PhysicalSizeX"), pixels.get("PhysicalSizeYUnit")) == ("16.134", "µm")
    assert [image.get("Name") for image in root.iterfind("{*}Image")] == ['<s&1> "é"']
    assert not tags & {"DateTime", "Software", "HostComputer", "Artist"}


def test_values_stay_what_they_are_with_nan_where_nothing_is(tmp_path: Path, rng: np.random.Generator) -> None:
    values = [rng.normal(size=shape).astype(np.float32) for shape in SHAPES]
    values[0][:7, :9] = np.nan
    write_heat_tiff(tmp_path / "v.ome.tiff", values, HeatImage("s1", None))
    with tifffile.TiffFile(tmp_path / "v.ome.tiff") as file:
        for found, level in zip(file.series[0].levels, values, strict=True):
            np.testing.assert_array_equal(found.asarray(), level)
        assert "PhysicalSize" not in file.pages.first.description


def test_equal_maps_give_equal_bytes(path: Path, levels: list[Any], tmp_path: Path) -> None:
    write_heat_tiff(tmp_path / "again", levels, HeatImage("s1", Mpp(16.0), "attention"))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_map_of_one_level_is_a_slide_of_one_level(tmp_path: Path, levels: list[Any]) -> None:
    write_heat_tiff(tmp_path / "one.ome.tiff", levels[2:], HeatImage("s1", Mpp(16.0)))
    with openslide.OpenSlide(tmp_path / "one.ome.tiff") as slide:
        assert slide.level_dimensions == ((201, 151),)
