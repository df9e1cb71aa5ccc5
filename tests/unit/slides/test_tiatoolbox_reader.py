"""What the reader of foreign formats finds in a file, what it refuses, and what it says of damage."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import MppCandidate
from wsi_features.slides.tiatoolbox_reader import TiatoolboxReader, tiatoolbox_format

HEIGHT, WIDTH = 200, 320
PRIMARIES = ("FF0000", "00FF00", "0000FF")


def content(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def ome_tiff(path: Path, *images: tuple[np.ndarray, dict[str, Any]], **options: Any) -> Path:
    """Each image is a series; a stack (z, h, w, 3) has focal planes."""
    import tifffile

    with tifffile.TiffWriter(path, ome=True) as tiff:
        for pixels, metadata in images:
            axes = {3: "YXS", 4: "ZYXS"}[pixels.ndim]
            tiff.write(
                pixels,
                **{"tile": (64, 80), "photometric": "rgb", "compression": "zlib"} | options,
                metadata={"axes": axes} | metadata,
            )
    return path


def ome_zarr(path: Path, pixels: np.ndarray, attributes: dict[str, Any] | None = None, **zattrs: Any) -> Path:
    """One level in `tczyx` or, for a stack (z, h, w, c), with planes."""
    import zarr

    stack = pixels if pixels.ndim == 4 else pixels[None]
    data = np.moveaxis(stack, 3, 0)[None]
    group = zarr.open_group(path, mode="w", zarr_format=2)
    array = group.create_array("0", shape=data.shape, chunks=(1, 1, 1, 64, 80), dtype=data.dtype)
    array[...] = data
    names = [{"name": axis, "type": "space", "unit": zattrs.get("unit", "micrometer")} for axis in "tczyx"]
    scale = [{"type": "scale", "scale": [1, 1, 1, 0.5, 0.25]}]
    image = {"version": "0.4", "axes": names, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    described = {"multiscales": [image], "omero": omero(), **(attributes or {})}
    (path / ".zattrs").write_text(json.dumps(described))
    return path


def omero(colours: tuple[str, ...] = PRIMARIES) -> dict[str, Any]:
    return {"channels": [{"color": colour} for colour in colours], "rdefs": {}}


def jpeg2000(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    from PIL import Image

    coding = {"tile_size": (64, 80), "num_resolutions": 2, "irreversible": False, "mct": 1} | options
    Image.fromarray(pixels).save(path, "JPEG2000", **coding)
    return path


FILES: dict[str, Callable[[Path], Path]] = {
    "OME-TIFF": lambda folder: ome_tiff(folder / "a", (content(), {})),
    "OME-Zarr": lambda folder: ome_zarr(folder / "a", content()),
    "JPEG 2000": lambda folder: jpeg2000(folder / "a", content()),
}


@pytest.mark.parametrize("name", FILES)
def test_the_format_is_known_by_content(name: str, tmp_path: Path) -> None:
    assert tiatoolbox_format(FILES[name](tmp_path)) == name


def test_other_files_and_folders_are_of_no_format(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "plain.ome.tif", content(), photometric="rgb", ome=False)
    (tmp_path / "text.jp2").write_text("not an image")
    assert [tiatoolbox_format(path) for path in (*tmp_path.iterdir(), tmp_path, tmp_path / "absent")] == [None] * 4


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_how_it_is_stored(name: str, tmp_path: Path) -> None:
    with TiatoolboxReader("s1", str(FILES[name](tmp_path)), why="because") as slide:
        assert (slide.reader, slide.why, slide.form.vendor) == ("tiatoolbox", "because", name)
        assert slide.form.bits == 8
        assert slide.form.tile in {Size(80, 64), Size(64, 80)}
        assert slide.levels[0].size == Size(WIDTH, HEIGHT)
        assert not slide.properties


@pytest.mark.parametrize("name", FILES)
def test_another_handle_reads_the_same(name: str, tmp_path: Path) -> None:
    with TiatoolboxReader("s1", str(FILES[name](tmp_path))) as slide, slide.reopened() as again:
        slide.close()
        for one in (slide, again):
            np.testing.assert_array_equal(one.read(Region(31, 7, 90, 60), 0).rgb, content()[7:67, 31:121])


@pytest.mark.parametrize("name", FILES)
def test_a_scene_or_plane_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    path = str(FILES[name](tmp_path))
    with pytest.raises(SlideFileError, match="has no scene '7'; it holds one image without a name"):
        TiatoolboxReader("s1", path, scene="7")
    with pytest.raises(SlideFileError, match="has one focal plane, 0; the manifest asks for 1"):
        TiatoolboxReader("s1", path, plane=1)


# Resolution


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ({"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5}, (0.25, 0.5)),
        (
            {"PhysicalSizeX": 250, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.0005, "PhysicalSizeYUnit": "mm"},
            (0.25, 0.5),
        ),
        ({"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "\u00b5m", "PhysicalSizeY": 0.5}, (0.25, 0.5)),
        ({"PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 1}, None),
        ({"PhysicalSizeX": 0.25}, None),
        ({}, None),
    ],
)
def test_the_physical_size_of_ome_is_a_resolution(
    metadata: dict[str, Any], wanted: tuple[float, float] | None, tmp_path: Path
) -> None:
    with TiatoolboxReader("s1", str(ome_tiff(tmp_path / "a", (content(), metadata)))) as slide:
        found = [(c.source, pytest.approx(c.x), pytest.approx(c.y)) for c in slide.mpp_candidates if c.usable]
    assert found == ([("OME PhysicalSize", *wanted)] if wanted else [])


@pytest.mark.parametrize(("unit", "factor"), [("micrometer", 1.0), ("nanometer", 0.001), ("furlong", None), ("", None)])
def test_the_scale_of_ome_zarr_is_a_resolution_where_it_has_a_unit(
    unit: str, factor: float | None, tmp_path: Path
) -> None:
    with TiatoolboxReader("s1", str(ome_zarr(tmp_path / "a", content(), unit=unit))) as slide:
        wanted = () if factor is None else (MppCandidate("NGFF scale", 0.25 * factor, 0.5 * factor),)
        assert slide.mpp_candidates == wanted


@pytest.mark.parametrize(("exponent", "usable"), [(4, True), (1, False)])
def test_the_capture_resolution_of_jpeg_2000_counts_where_it_is_sane(
    exponent: int, usable: bool, tmp_path: Path
) -> None:
    path = jpeg2000(tmp_path / "a", content())
    capture = b"resc" + (200).to_bytes(2, "big") + b"\0\1" + (400).to_bytes(2, "big") + b"\0\1" + bytes([exponent] * 2)
    resolution = (26).to_bytes(4, "big") + b"res " + (18).to_bytes(4, "big") + capture
    data = path.read_bytes()
    at = data.index(b"jp2h") - 4
    length = int.from_bytes(data[at : at + 4], "big")
    header = (length + 26).to_bytes(4, "big") + data[at + 4 : at + length] + resolution
    path.write_bytes(data[:at] + header + data[at + length :])
    with TiatoolboxReader("s1", str(path)) as slide:
        (found,) = slide.mpp_candidates
    # Vertical comes first in the box: 200 and 400 times ten to the exponent, in pixels per metre.
    assert (found.x, found.y) == (pytest.approx(2500 * 10**-exponent * 1), pytest.approx(5000 * 10**-exponent))
    assert found.usable is usable


# Scenes and planes


def test_series_of_an_ome_tiff_are_scenes_without_their_names(tmp_path: Path) -> None:
    small = content(1)[:80, :100]
    path = ome_tiff(
        tmp_path / "a", (content(), {"Name": "Jane Doe"}), (small, {"Name": "second"}), (small, {"Name": "label image"})
    )
    with TiatoolboxReader("s1", str(path)) as slide:
        assert [(scene.name, scene.size) for scene in slide.scenes] == [
            ("0", Size(WIDTH, HEIGHT)),
            ("1", Size(100, 80)),
        ]
        assert slide.scene == "0"
    with TiatoolboxReader("s1", str(path), scene="1") as slide:
        np.testing.assert_array_equal(slide.read(Region(0, 0, 100, 80), 0).rgb, small)
        with slide.reopened() as again:
            assert again.scene == "1"


@pytest.mark.parametrize("write", [lambda path, stack: ome_tiff(path, (stack, {})), ome_zarr], ids=["tiff", "zarr"])
def test_the_middle_plane_is_read_unless_another_is_chosen(
    write: Callable[[Path, np.ndarray], Path], tmp_path: Path
) -> None:
    stack = np.stack([content(z) for z in range(3)])
    path = str(write(tmp_path / "a", stack))
    for asked, number in ((None, 1), (0, 0), (2, 2)):
        with TiatoolboxReader("s1", path, plane=asked) as slide:
            assert (slide.plane, slide.scenes[0].planes) == (number, 3)
            np.testing.assert_array_equal(slide.read(Region(9, 5, 70, 60), 0).rgb, stack[number, 5:65, 9:79])


def test_images_of_one_zarr_folder_are_scenes(tmp_path: Path) -> None:
    for number in range(2):
        ome_zarr(tmp_path / str(number), content(number))
    (tmp_path / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    (tmp_path / ".zgroup").write_text('{"zarr_format": 2}')
    with TiatoolboxReader("s1", str(tmp_path), scene="1") as slide:
        assert [scene.name for scene in slide.scenes] == ["0", "1"]
        np.testing.assert_array_equal(slide.read(Region(0, 0, 90, 60), 0).rgb, content(1)[:60, :90])


def test_a_closed_slide_holds_no_file_open(tmp_path: Path) -> None:
    path = FILES["OME-TIFF"](tmp_path)
    with TiatoolboxReader("s1", str(path)) as slide:
        slide.read(Region(0, 0, 30, 20), 0)
        assert opened(path) == 1
    assert opened(path) == 0


def opened(path: Path) -> int:
    """How often this process has `path` open."""
    return sum(link.exists() and link.resolve() == path for link in Path("/proc/self/fd").iterdir())


# What a file does not hold


def test_a_tile_that_was_never_written_is_missing_not_black(tmp_path: Path) -> None:
    import tifffile

    path = ome_tiff(tmp_path / "a", (content(), {}))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        counts = list(tiff.pages[0].tags["TileByteCounts"].value)
        counts[1] = 0
        tiff.pages[0].tags["TileByteCounts"].overwrite(counts)
    with TiatoolboxReader("s1", str(path)) as slide:
        read = slide.read(Region(0, 0, 160, 64), 0)
    assert (read.status, read.coverage) == ("ok", 0.5)
    assert (read.rgb[:, 80:] == 255).all()
    np.testing.assert_array_equal(read.rgb[:, :80], content()[:64, :80])


def test_a_chunk_that_is_not_there_is_missing_not_black(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a", content())
    (path / "0" / "0.1.0.0.1").unlink()  # one colour of one tile
    with TiatoolboxReader("s1", str(path)) as slide:
        read = slide.read(Region(80, 0, 80, 64), 0)
    assert (read.status, read.coverage, read.reason) == ("missing", 0.0, "not scanned")


# Damage


def spoilt_tiff(path: Path) -> None:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)


def spoilt_zarr(path: Path) -> None:
    chunk = path / "0" / "0.0.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:40])


@pytest.mark.parametrize(
    ("name", "spoil"), [("OME-TIFF", spoilt_tiff), ("OME-Zarr", spoilt_zarr)], ids=["tiff", "zarr"]
)
def test_damage_is_reported_and_the_file_can_be_read_on(
    name: str, spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    path = FILES[name](tmp_path)
    spoil(path)
    with TiatoolboxReader("s1", str(path)) as slide:
        bad, good = slide.read(Region(0, 0, 30, 20), 0), slide.read(Region(85, 70, 30, 20), 0)
    assert (bad.status, bad.coverage) == ("unreadable", 0.0)
    assert bad.reason
    np.testing.assert_array_equal(good.rgb, content()[70:90, 85:115])


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("bare", [False, True], ids=["jp2", "codestream"])
def test_a_jpeg_2000_file_cut_short_is_refused(bare: bool, cut: float, tmp_path: Path) -> None:
    path = jpeg2000(tmp_path / "a", content(), no_jp2=bare)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(SlideFileError, match="the end of its codestream is missing"):
        TiatoolboxReader("s1", str(path))


def test_a_bare_codestream_is_read(tmp_path: Path) -> None:
    path = jpeg2000(tmp_path / "a", content(), no_jp2=True)
    assert tiatoolbox_format(path) == "JPEG 2000"
    with TiatoolboxReader("s1", str(path)) as slide:
        np.testing.assert_array_equal(slide.read(Region(31, 7, 90, 60), 0).rgb, content()[7:67, 31:121])


def test_the_file_is_opened_again_after_damage(tmp_path: Path) -> None:
    path = FILES["OME-TIFF"](tmp_path)
    spoilt_tiff(path)
    with TiatoolboxReader("s1", str(path)) as slide:
        slide.read(Region(0, 0, 30, 20), 0)
        assert opened(path) == 0
        slide.read(Region(85, 70, 30, 20), 0)
        assert opened(path) == 1


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_tile_beyond_the_end_of_an_ome_tiff_is_unreadable(beyond: int, tmp_path: Path) -> None:
    import tifffile

    path = ome_tiff(tmp_path / "a", (content(), {}))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tag = tiff.pages[0].tags["TileOffsets"]
        counts = tiff.pages[0].databytecounts
        tag.overwrite([path.stat().st_size - counts[0] + beyond, *tag.value[1:]])
    with TiatoolboxReader("s1", str(path)) as slide:
        read = slide.read(Region(0, 0, 20, 10), 0)
    assert read.status == "unreadable"
    assert ("beyond the end" in read.reason) == bool(beyond)  # else its bytes are there and decode to nothing


def test_a_file_that_vanishes_is_unreadable_and_comes_back(tmp_path: Path) -> None:
    path = jpeg2000(tmp_path / "a", content())
    with TiatoolboxReader("s1", str(path)) as slide:
        path.rename(tmp_path / "b")
        assert slide.read(Region(0, 0, 30, 20), 0).status == "unreadable"
        (tmp_path / "b").rename(path)
        np.testing.assert_array_equal(slide.read(Region(0, 0, 30, 20), 0).rgb, content()[:20, :30])


# Refusals


def sixteen_bit_tiff(path: Path) -> None:
    ome_tiff(path, (content().astype(np.uint16), {}))


def gray_tiff(path: Path) -> None:
    import tifffile

    tifffile.imwrite(path, content()[..., 0], ome=True, tile=(64, 80), photometric="minisblack")


def fluorescence_tiff(path: Path) -> None:
    import tifffile

    tifffile.imwrite(path, np.moveaxis(content(), 2, 0), ome=True, photometric="minisblack", metadata={"axes": "CYX"})


def two_channel_zarr(path: Path) -> None:
    ome_zarr(path, content()[..., :2], {"omero": omero(PRIMARIES[:2])})


def sixteen_bit_zarr(path: Path) -> None:
    ome_zarr(path, content().astype(np.uint16))


def fluorescence_zarr(path: Path) -> None:
    ome_zarr(path, content(), {"omero": omero(("00FF00", "FF0000", "0000FF"))})


def gray_jp2(path: Path) -> None:
    from PIL import Image

    Image.fromarray(content()[..., 0]).save(path, "JPEG2000")


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (sixteen_bit_tiff, "16-bit RGB with 3 samples"),
        (gray_tiff, "8-bit MINISBLACK with 1 samples"),
        (fluorescence_tiff, "3 channels that are not stated to be red, green and blue"),
        (two_channel_zarr, r"2 channels \(FF0000, 00FF00\)"),
        (sixteen_bit_zarr, "pixels of type <u2"),
        (fluorescence_zarr, r"3 channels \(00FF00, FF0000, 0000FF\) that are not stated to be red, green and blue"),
        (gray_jp2, "1 components of 8 bits"),
    ],
)
def test_other_pixels_than_8_bit_rgb_are_refused(write: Callable[[Path], None], found: str, tmp_path: Path) -> None:
    write(tmp_path / "a")
    with pytest.raises(SlideFileError, match=f"'s1'.*holds.*{found}.*wanted 8-bit RGB.*Convert"):
        TiatoolboxReader("s1", str(tmp_path / "a"))


def test_zarr_version_3_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"attributes": {"ome": {"version": "0.5", "multiscales": []}}}')
    with pytest.raises(SlideFileError, match=r"holds OME-Zarr 0\.5 on Zarr v3.*Convert it to OME-Zarr 0\.4"):
        TiatoolboxReader("s1", str(tmp_path))


def test_a_zarr_folder_without_what_tiatoolbox_needs_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a", content(), {"omero": {"channels": omero()["channels"]}})
    with pytest.raises(
        SlideFileError, match="holds OME-Zarr whose `omero` has no `rdefs`.*Write it with bioformats2raw"
    ):
        TiatoolboxReader("s1", str(path))


def test_a_zarr_folder_whose_levels_have_other_names_is_refused(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a", content())
    (path / "0").rename(path / "s0")
    (path / ".zattrs").write_text((path / ".zattrs").read_text().replace('"path": "0"', '"path": "s0"'))
    with pytest.raises(SlideFileError, match=r"levels that are not called by numbers \(s0\)"):
        TiatoolboxReader("s1", str(path))


def test_a_zarr_folder_without_its_arrays_is_refused(tmp_path: Path) -> None:
    path = ome_zarr(tmp_path / "a", content())
    (path / "0" / ".zarray").unlink()
    with pytest.raises(SlideFileError, match="'s1': tiatoolbox cannot open"):
        TiatoolboxReader("s1", str(path))


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"anything")
    with pytest.raises(SlideFileError, match="is not a slide that any reader knows"):
        TiatoolboxReader("s1", str(tmp_path / "a"))


# The process


def test_what_tiatoolbox_logs_is_not_passed_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        TiatoolboxReader("s1", str(FILES["OME-Zarr"](tmp_path))).close()
    assert not [record for record in caplog.records if "tiatoolbox" in record.pathname]


WITHOUT_THE_SYSTEM = """
import ctypes.util, logging, sys, warnings
import numpy
from wsi_features.geometry import Region
from wsi_features.slides.tiatoolbox_reader import TiatoolboxReader

def state():
    root = logging.getLogger()
    return root.handlers[:], root.level, root.filters[:], warnings.showwarning, list(warnings.filters)

ctypes.util.find_library = lambda name: None
before = state()
read = TiatoolboxReader("s1", sys.argv[1]).read(Region(31, 7, 90, 60), 0)
assert (read.rgb == numpy.load(sys.argv[2])).all(), read
assert state() == before, state()
logging.captureWarnings(True)  # does nothing where it is thought to be on
assert warnings.showwarning is not before[3]
"""


@pytest.mark.ci
def test_jpeg_2000_needs_no_library_of_the_system_and_the_process_stays_as_it_was(tmp_path: Path) -> None:
    path = FILES["JPEG 2000"](tmp_path)
    np.save(tmp_path / "wanted.npy", content()[7:67, 31:121])
    command = [sys.executable, "-c", WITHOUT_THE_SYSTEM, str(path), str(tmp_path / "wanted.npy")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
