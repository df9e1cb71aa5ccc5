"""OME-TIFF: series are scenes, depths are focal planes, reduced levels lie in inner directories."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import MppCandidate, Scene
from wsi_features.slides.tiff import TiffIndex, TiffReader, tiff_index

LAYOUT: dict[str, Any] = {"tile": (32, 64), "photometric": "rgb", "compression": "zlib"}
SCALE = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}
FIRST, SECOND = (300, 200), (180, 260)


def photo(width: int, height: int, depth: int = 0) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, depth * 40)], axis=2).astype(np.uint8)


def add_series(tiff: tifffile.TiffWriter, size: tuple[int, int], depths: int = 1, **about: Any) -> None:
    """Focal planes of one size, each with a level at 1:2 in an inner directory."""
    planes = [photo(*size, depth) for depth in range(depths)]
    stack = np.stack(planes) if depths > 1 else planes[0]
    axes = {"axes": "ZYXS" if depths > 1 else "YXS"}
    tiff.write(stack, subifds=1, metadata=axes | SCALE | about, **LAYOUT)
    tiff.write(np.ascontiguousarray(stack[..., ::2, ::2, :]), subfiletype=1, metadata=None, **LAYOUT)


def ome(path: Path, *series: tuple[tuple[int, int], int, dict[str, Any]]) -> Path:
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for size, depths, about in series:
            add_series(tiff, size, depths, **about)
    return path


def reworded(path: Path, old: str, new: str) -> Path:
    """The same file with another OME-XML."""
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        assert old in tiff.pages[0].description
        tiff.pages[0].tags["ImageDescription"].overwrite(tiff.pages[0].description.replace(old, new).encode())
    return path


def opened(path: Path, **how: Any) -> TiffReader:
    index = tiff_index(str(path))
    assert isinstance(index, TiffIndex), index
    return TiffReader("s1", str(path), index, **how)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A series of three focal planes and one of a single plane."""
    return ome(tmp_path / "a.ome.tif", (FIRST, 3, {"Name": "Jane Doe"}), (SECOND, 1, {"Name": "region 2"}))


def test_series_are_scenes_and_depths_are_planes(two: Path) -> None:
    with opened(two) as slide:
        assert slide.scenes == (Scene("Image:0", Size(*FIRST), planes=3), Scene("Image:1", Size(*SECOND)))
        assert (slide.scene, slide.plane, slide.form.vendor) == ("Image:0", 1, "ome")
        assert "Jane" not in repr((slide.scenes, slide.form, dict(slide.properties)))


@pytest.mark.parametrize("plane", [0, 1, 2])
def test_each_focal_plane_has_its_own_pixels(two: Path, plane: int) -> None:
    with opened(two, scene="Image:0", plane=plane) as slide:
        fine, coarse = slide.read(Region(0, 0, *FIRST), 0), slide.read(Region(10, 20, 100, 50), 1)
    np.testing.assert_array_equal(fine.rgb, photo(*FIRST, plane))
    np.testing.assert_array_equal(coarse.rgb, photo(*FIRST, plane)[::2, ::2][20:70, 10:110])


def test_another_scene_is_read_when_it_is_chosen(two: Path) -> None:
    with opened(two, scene="Image:1") as slide:
        assert [level.size for level in slide.levels] == [Size(180, 260), Size(90, 130)]
        assert [level.downsample for level in slide.levels] == [1.0, 2.0]
        np.testing.assert_array_equal(slide.read(Region(0, 0, *SECOND), 0).rgb, photo(*SECOND))
        again = slide.reopened()
        assert (again.scene, again.plane) == ("Image:1", 0)


def test_a_plane_or_scene_that_is_not_there_is_refused(two: Path) -> None:
    with pytest.raises(SlideFileError, match="3 focal planes, 0 to 2; the manifest asks for 3"):
        opened(two, plane=3)
    with pytest.raises(SlideFileError, match="no scene 'Image:2'; it holds 'Image:0', 'Image:1'"):
        opened(two, scene="Image:2")


@pytest.mark.parametrize("name", ["label image", "Macro", "overview", "Thumbnail series"])
def test_labels_and_overviews_are_no_scenes(tmp_path: Path, name: str) -> None:
    path = ome(tmp_path / "a.ome.tif", (FIRST, 1, {}), (SECOND, 1, {"Name": name}))
    with opened(path) as slide:
        assert slide.scenes == (Scene("", Size(*FIRST)),)


def test_a_series_of_other_pixels_is_left_out_with_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(photo(64, 96)[..., 0], tile=(32, 32), photometric="minisblack", metadata={"axes": "YX"})
        add_series(tiff, FIRST)
    with opened(path) as slide:
        assert (slide.scene, slide.levels[0].size) == ("", Size(*FIRST))
        assert slide.form.notes == ("Image:0 is left out: 1 colours in 1 channels, not RGB in one.",)


@pytest.mark.parametrize(
    ("unit", "value", "found"),
    [("µm", 0.5, 0.5), ("nm", 250.0, 0.25), ("mm", 0.0005, 0.5), ("Å", 2500.0, 0.25), ("m", 5e-7, 0.5)],
)
def test_physical_sizes_are_given_in_microns(tmp_path: Path, unit: str, value: float, found: float) -> None:
    about = {"PhysicalSizeX": value, "PhysicalSizeXUnit": unit, "PhysicalSizeY": value * 2, "PhysicalSizeYUnit": unit}
    with opened(ome(tmp_path / "a.ome.tif", (FIRST, 1, about))) as slide:
        (candidate, *_) = slide.mpp_candidates
    assert (candidate.source, candidate.usable) == ("ome physical size", True)
    assert (candidate.x, candidate.y) == pytest.approx((found, found * 2))


@pytest.mark.parametrize(
    ("old", "new"), [('PhysicalSizeX="0.25"', ""), ('PhysicalSizeXUnit="µm"', 'PhysicalSizeXUnit="pixel"')]
)
def test_a_size_of_one_side_or_of_no_unit_says_nothing(tmp_path: Path, old: str, new: str) -> None:
    with opened(reworded(ome(tmp_path / "a.ome.tif", (FIRST, 1, {})), old, new)) as slide:
        assert slide.mpp_candidates == ()


def test_the_objective_is_nominal(tmp_path: Path) -> None:
    path = ome(tmp_path / "a.ome.tif", (FIRST, 1, {}))
    lens = '<Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="40"/></Instrument><Image '
    path = reworded(reworded(path, "<Image ", lens), "<Pixels ", '<ObjectiveSettings ID="Objective:0"/><Pixels ')
    with opened(path) as slide:
        nominal = MppCandidate("objective power (nominal)", 0.25, 0.25, usable=False)
        assert slide.mpp_candidates == (MppCandidate("ome physical size", 0.25, 0.25), nominal)


LIES = {
    "time": ('SizeT="1"', 'SizeT="4"', "4 points in time"),
    "colours": ('SizeC="3"', 'SizeC="6"', "6 colours in 1 channels"),
    "channels": ('SamplesPerPixel="3"', 'SamplesPerPixel="1"', "3 colours in 1 channels"),
    "depths": ('SizeZ="1"', 'SizeZ="5"', "directories for 1 of 5 focal planes"),
    "no depths": ('SizeZ="1"', 'SizeZ="0"', "0 focal planes"),
    "words": ('SizeZ="1"', 'SizeZ="one"', "gives SizeZ as 'one'"),
    "directory": ('IFD="0"', 'IFD="9"', "directory 9 of 1"),
    "entities": ("<OME ", '<!DOCTYPE a [<!ENTITY b "c">]><OME ', "defines entities"),
    "broken": ("</Image>", "", "OME-XML is broken"),
    "companion": ("<Image ", "<Picture ", "OME-XML is broken"),
    "other file": ("<TiffData ", '<TiffData IFD="0"><UUID>urn:uuid:1</UUID></TiffData><TiffData ', "in several files"),
}


@pytest.mark.parametrize("name", LIES)
def test_xml_that_says_something_else_is_a_reason(tmp_path: Path, name: str) -> None:
    old, new, reason = LIES[name]
    found = tiff_index(str(reworded(ome(tmp_path / "a.ome.tif", (FIRST, 1, {})), old, new)))
    assert isinstance(found, str)
    assert reason in found


def test_xml_without_an_image_is_a_reason(tmp_path: Path) -> None:
    about = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><BinaryOnly/></OME>'
    tifffile.imwrite(tmp_path / "a.tif", photo(*FIRST), description=about, metadata=None, **LAYOUT)
    assert tiff_index(str(tmp_path / "a.tif")) == "its OME-XML names no image"


def test_damage_says_in_which_scene_and_plane_it_is(two: Path) -> None:
    with tifffile.TiffFile(two, mode="r+b") as tiff:
        found = tiff.pages[1].tags["TileOffsets"]
        found.overwrite((10**9, *found.value[1:]))
    with opened(two, plane=1) as slide:
        assert slide.form.notes == ("Image:0: plane 1, level 0: 1 of 35 tiles end beyond the end of the file.",)
        assert slide.read(Region(0, 0, 9, 9), 0).status == "unreadable"
    with opened(two, plane=0) as slide:
        assert slide.read(Region(0, 0, 9, 9), 0).status == "ok"
