"""Which levels a TIFF has, which files are left to other readers and why, and what its tables show to be damaged."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from wsi_features.geometry import Region, Size
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.slides.tiff import DamagedTiffError, TiffIndex, TiffLevel, TileState, tiff_index

ABOUT = "Aperio Image Library v11.2.1\r\n700x500 (128x64)|AppMag = 20|MPP = 0.5000"
LEVELS = ((700, 500), (175, 125))


def photo(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=2).astype(np.uint8)


def tiled(path: Path, *sizes: tuple[int, int], about: str | None = None, **how: Any) -> Path:
    """Directories of these sizes in tiles of 128 x 64 pixels, those after the first marked as reduced."""
    with tifffile.TiffWriter(path) as tiff:
        for number, size in enumerate(sizes or LEVELS):
            extra = {"tile": (64, 128), "photometric": "rgb", "compression": "zlib", "metadata": None} | how
            tiff.write(photo(*size), subfiletype=int(number > 0), description=about, **extra)
    return path


def changed(path: Path, tag: str, value: Any, page: int = 0) -> Path:
    """The same file with another value of a tag; a function is given the old one."""
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        found = tiff.pages[page].tags[tag]
        found.overwrite(value(found.value) if callable(value) else value)
    return path


def index(path: Path) -> TiffIndex:
    found = tiff_index(str(path))
    assert isinstance(found, TiffIndex), found
    return found


def levels(path: Path) -> tuple[TiffLevel, ...]:
    return index(path).scenes[0].planes[0]


def sizes(path: Path) -> list[tuple[int, int]]:
    return [(level.size.width, level.size.height) for level in levels(path)]


def at(number: int, value: int) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    return lambda old: (*old[:number], value, *old[number + 1 :])


def test_tiles_are_numbered_row_by_row(tmp_path: Path) -> None:
    fine, coarse = levels(tiled(tmp_path / "a.tif"))
    assert (fine.across, len(fine.offsets), coarse.across, len(coarse.offsets)) == (6, 48, 2, 4)
    assert fine.box(7) == Region(128, 64, 128, 64)
    assert fine.box(47) == Region(640, 448, 60, 52)
    assert fine.touched(Region(100, 60, 100, 5)) == [0, 1, 6, 7]
    assert fine.touched(Region(-9, -9, 10, 10)) == [0]
    assert fine.touched(Region(700, 0, 10, 10)) == []


def test_the_tables_are_those_of_the_file(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    with tifffile.TiffFile(path) as tiff:
        wanted = [(page.dataoffsets, page.databytecounts) for page in tiff.pages]
    assert [(tuple(level.offsets), tuple(level.counts)) for level in levels(path)] == wanted
    assert not any(level.states.any() for level in levels(path))


def test_downsamples_are_the_mean_of_both_directions(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif", (701, 500), (175, 125), (43, 31))
    assert [level.downsample for level in levels(path)] == [1.0, (701 / 175 + 4) / 2, (701 / 43 + 500 / 31) / 2]


def test_an_aperio_file_has_all_tiled_directories_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    with tifffile.TiffWriter(path) as tiff:
        for size, tile in (((700, 500), (64, 128)), ((70, 50), None), ((175, 125), (64, 128))):
            tiff.write(photo(*size), tile=tile, photometric="rgb", description=ABOUT, metadata=None)
    assert sizes(path) == [(700, 500), (175, 125)]


@pytest.mark.parametrize("name", ["label", "macro", "Thumbnail"])
def test_a_label_is_never_a_level_even_when_it_is_tiled(tmp_path: Path, name: str) -> None:
    with tifffile.TiffWriter(tmp_path / "a.svs") as tiff:
        for size, about in (((700, 500), ABOUT), ((350, 250), f"Aperio Image Library\r\n{name} 350x250")):
            tiff.write(photo(*size), tile=(64, 128), photometric="rgb", description=about, metadata=None)
    assert sizes(tmp_path / "a.svs") == [(700, 500)]


def test_a_plain_pyramid_has_reduced_directories_only_widest_first(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for size, kind in (((700, 500), 0), ((175, 125), 1), ((350, 250), 1), ((70, 50), 0)):
            tiff.write(photo(*size), tile=(64, 128), photometric="rgb", subfiletype=kind, metadata=None)
    assert sizes(tmp_path / "a.tif") == [(700, 500), (350, 250), (175, 125)]


def test_a_hundred_thousand_pixels_across_are_indexed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    layout = {"tile": (256, 256), "photometric": "rgb", "compression": "zlib", "metadata": None}
    tiles = (b"a compressed tile" for _ in range(391 * 313))
    tifffile.imwrite(path, tiles, shape=(80_000, 100_000, 3), dtype=np.uint8, **layout)
    start = time.process_time()
    assert isinstance(tiff_index(str(path)), TiffIndex)
    assert time.process_time() - start < 0.5
    (level,) = levels(path)
    assert (level.size, len(level.offsets), level.offsets.dtype) == (Size(100_000, 80_000), 391 * 313, np.int64)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "strips": ({"tile": None}, "not tiled"),
    "grayscale": ({"photometric": "minisblack"}, "grayscale is not decoded here"),
    "LZMA": ({"compression": "lzma"}, "compression 34925 is not decoded here"),
    "WebP": ({"compression": "webp"}, "compression 50001 is not decoded here"),
    "Philips": ({"software": "Philips DP v1.0"}, "Philips files have rules of their own"),
    "Trestle": ({"software": "MedScan"}, "Trestle files have rules of their own"),
    "Leica": ({"about": '<scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'}, "Leica files have rules"),
    "Ventana": ({"extratags": [(700, 2, None, "<iScan Magnification='40'/>", True)]}, "Ventana files have rules"),
    "Hamamatsu": ({"extratags": [(65420, 4, 1, 1, True)]}, "Hamamatsu files have rules"),
    "Huron": ({"extratags": [(271, 2, None, "Huron Digital", True)]}, "Huron files have rules"),
    "turned": ({"extratags": [(274, 3, 1, 6, True)]}, "stored turned"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_decoded_here_is_left_with_a_reason(tmp_path: Path, name: str) -> None:
    how, reason = REFUSED[name]
    found = tiff_index(str(tiled(tmp_path / "a.tif", **how)))
    assert isinstance(found, str)
    assert reason in found


@pytest.mark.parametrize(
    ("shape", "dtype", "reason"),
    [((64, 128, 4), np.uint8, "4 samples of 8 bits"), ((64, 128, 3), np.uint16, "3 samples of 16 bits")],
)
def test_other_samples_are_left(tmp_path: Path, shape: tuple[int, ...], dtype: type, reason: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, dtype), tile=(64, 64), photometric="rgb", metadata=None)
    assert reason in str(tiff_index(str(tmp_path / "a.tif")))


OTHER_KINDS = {"photometric", "YCbCr", "bits", "samples"}
"""What another reader may know; the rest contradicts itself."""

LIES: dict[str, tuple[str, Any, int, str]] = {
    "tile width": ("TileWidth", 64, 0, "48 positions and 48 lengths for 88 tiles"),
    "no tile width": ("TileWidth", 0, 0, "tiles of 0 x 64 pixels"),
    "huge tiles": ("TileLength", 200_000, 0, "tiles of 128 x 200000 pixels"),
    "image width": ("ImageWidth", 900, 0, "48 positions and 48 lengths for 64 tiles"),
    "no height": ("ImageLength", 0, 0, "700 x 0 pixels in tiles of 128 x 64"),
    "absurd size": ("ImageLength", 2**32 - 1, 0, "700 x 4294967295 pixels in tiles"),
    "too few positions": ("TileOffsets", lambda old: old[:-1], 0, "47 positions and 48 lengths for 48 tiles"),
    "too many lengths": ("TileByteCounts", lambda old: (*old, 9), 1, "4 positions and 5 lengths for 4 tiles"),
    "photometric": ("PhotometricInterpretation", 5, 0, "CMYK is not decoded here"),
    "YCbCr": ("PhotometricInterpretation", 6, 0, "YCbCr with compression 8 is not decoded here"),
    "bits": ("BitsPerSample", (8, 8, 16), 0, "3 samples of 16 bits"),
    "samples": ("SamplesPerPixel", 4, 0, "4 samples of 8 bits"),
    "aspect": ("ImageWidth", 130, 1, "level 1 of 130 x 125 pixels has other proportions"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_directory_that_lies_is_found_out(tmp_path: Path, name: str) -> None:
    tag, value, page, reason = LIES[name]
    path = changed(tiled(tmp_path / "a.tif"), tag, value, page)
    if name in OTHER_KINDS:
        assert reason in str(tiff_index(str(path)))
        return
    with pytest.raises(DamagedTiffError, match=reason):  # and no more lenient reader gets it
        tiff_index(str(path))


def test_colours_that_are_stored_apart_are_left(tmp_path: Path) -> None:
    pixels = np.moveaxis(photo(300, 200), 2, 0)
    layout = {"tile": (64, 128), "photometric": "rgb", "planarconfig": "separate", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", pixels, **layout)
    assert tiff_index(str(tmp_path / "a.tif")) == "colours are stored apart"


def test_levels_of_aperio_out_of_order_are_refused(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.svs", (700, 500), (175, 125), (350, 250), about=ABOUT)
    with pytest.raises(DamagedTiffError, match="level 2 is finer than level 1"):
        tiff_index(str(path))


@pytest.mark.parametrize("coarse", [(175, 125), (176, 125), (174, 126)])
def test_proportions_may_differ_by_rounding(tmp_path: Path, coarse: tuple[int, int]) -> None:
    assert sizes(tiled(tmp_path / "a.tif", (700, 500), coarse)) == [(700, 500), coarse]


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [("TileWidth", 272, "JPEG of 256 x 256 pixels, not of 272 x 256"), ("TileLength", 304, "not of 256 x 304")],
)
def test_jpeg_of_another_size_than_said_is_found_out(tmp_path: Path, tag: str, value: int, reason: str) -> None:
    write_slide(tmp_path / "a.svs", SlideSpec(width=600, height=400, levels=(1,)))
    assert reason in str(tiff_index(str(changed(tmp_path / "a.svs", tag, value))))


def test_tiles_beyond_the_end_are_marked_and_the_rest_stays(tmp_path: Path) -> None:
    found = index(changed(tiled(tmp_path / "a.tif"), "TileOffsets", at(4, 10**9)))
    assert found.damage == ("level 0: 1 of 48 tiles end beyond the end of the file",)
    assert np.flatnonzero(found.scenes[0].planes[0][0].unreadable).tolist() == [4]


def test_a_tile_that_begins_in_the_file_and_ends_beyond_it_is_damage(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    size = path.stat().st_size
    path = changed(path, "TileByteCounts", at(47, 20_000))
    path = changed(path, "TileOffsets", at(47, size - 4))
    assert path.stat().st_size == size
    assert np.flatnonzero(levels(path)[0].states == TileState.BEYOND).tolist() == [47]


def test_a_file_cut_short_keeps_the_tiles_that_it_has(tmp_path: Path) -> None:
    """Directories and the small level come first, as cloud-optimised files are laid out."""
    path = tiled(tmp_path / "a.tif")
    fine, _ = levels(path)
    lost = (*fine.offsets[:10].tolist(), *(fine.offsets[10:] + path.stat().st_size + 10_000).tolist())
    found = index(changed(path, "TileOffsets", lost))
    assert found.damage == ("level 0: 38 of 48 tiles end beyond the end of the file",)
    assert not found.scenes[0].planes[0][1].unreadable.any()


def test_tiles_of_no_length_are_missing(tmp_path: Path) -> None:
    path = changed(tiled(tmp_path / "a.tif"), "TileByteCounts", at(7, 0))
    assert np.flatnonzero(levels(path)[0].states == TileState.MISSING).tolist() == [7]
    assert index(path).damage == ()


def test_a_length_without_a_position_is_damage(tmp_path: Path) -> None:
    path = changed(tiled(tmp_path / "a.tif"), "TileOffsets", at(7, 0))
    assert index(path).damage == ("level 0: 1 of 48 tiles have a length but no position",)


def test_missing_tiles_of_an_aperio_pyramid_are_not_painted_from_other_levels(tmp_path: Path) -> None:
    """OpenSlide does that, and a tail that was never scanned then looks like glass on the thumbnail, too."""
    path = changed(tiled(tmp_path / "a.svs", about=ABOUT), "TileByteCounts", at(7, 0))
    assert np.flatnonzero(levels(path)[0].states == TileState.MISSING).tolist() == [7]


def test_an_aperio_scan_that_is_not_tiled_is_not_replaced_by_a_smaller_level(tmp_path: Path) -> None:
    path = changed(tiled(tmp_path / "a.svs", about=ABOUT), "TileWidth", 0)
    with pytest.raises(DamagedTiffError, match="tiles of 0 x"):
        tiff_index(str(path))


def test_a_tile_that_is_said_to_be_huge_is_damage(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif", (700, 500))
    with path.open("ab") as file:
        file.write(bytes(400_000))
    found = index(changed(path, "TileByteCounts", at(0, 300_000)))
    assert "1 of 48 tiles are said to take many times the bytes" in found.damage[0]


def test_bytes_that_partly_overlap_are_damage_of_both_tiles(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    fine, _ = levels(path)
    found = index(changed(path, "TileOffsets", at(9, int(fine.offsets[20]) + 3)))
    assert found.damage == ("level 0: 3 of 48 tiles overlap others in the file",)
    assert np.flatnonzero(found.scenes[0].planes[0][0].unreadable).tolist() == [9, 20, 21]


def test_one_position_with_two_lengths_is_damage(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    fine, _ = levels(path)
    path = changed(path, "TileOffsets", at(9, int(fine.offsets[20])))
    path = changed(path, "TileByteCounts", at(9, int(fine.counts[20]) - 4))
    assert np.flatnonzero(levels(path)[0].unreadable).tolist() == [9, 20]


def test_tiles_of_two_levels_may_not_overlap_either(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    fine, _ = levels(path)
    found = index(changed(path, "TileOffsets", at(2, int(fine.offsets[0]) + 1), page=1))
    assert [text.split(":")[0] for text in found.damage] == ["level 0", "level 1"]


@pytest.mark.parametrize("exchanged", [(9, 20), (0, 47), (13, 14)])
def test_tiles_in_each_others_places_are_told(tmp_path: Path, exchanged: tuple[int, int]) -> None:
    path = tiled(tmp_path / "a.tif")
    one, other = exchanged
    for tag, values in (("TileOffsets", levels(path)[0].offsets), ("TileByteCounts", levels(path)[0].counts)):
        swapped = values.tolist()
        swapped[one], swapped[other] = swapped[other], swapped[one]
        path = changed(path, tag, tuple(swapped))
    (note,) = index(path).notes
    assert re.fullmatch(r"level 0: [12] of 48 tiles lie out of the file's order, as if put in others' places", note)


def test_a_tile_of_another_level_is_told(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    coarse = levels(path)[1]
    path = changed(path, "TileOffsets", at(47, int(coarse.offsets[3])))
    path = changed(path, "TileByteCounts", at(47, int(coarse.counts[3])))
    assert index(path).notes == ("level 1: 1 of 4 tiles lie out of the file's order, as if put in others' places",)


def test_tiles_in_an_order_of_the_writers_own_are_not_judged(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    for tag, values in (("TileOffsets", levels(path)[0].offsets), ("TileByteCounts", levels(path)[0].counts)):
        path = changed(path, tag, tuple(values[::-1].tolist()))
    assert index(path).notes == ()
    assert index(tiled(tmp_path / "b.tif")).notes == ()


def test_tiles_that_are_stored_once_are_no_damage(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    fine, _ = levels(path)
    path = changed(path, "TileOffsets", at(9, int(fine.offsets[20])))
    path = changed(path, "TileByteCounts", at(9, int(fine.counts[20])))
    assert index(path).damage == ()


def answer(path: Path) -> str:
    """What is said of a file, damaged or not."""
    try:
        found = tiff_index(str(path))
    except DamagedTiffError as error:
        return str(error)
    return found if isinstance(found, str) else " ".join(found.damage)


@pytest.mark.parametrize("cut", [0.02, 0.5, 0.97])
def test_a_file_cut_anywhere_is_answered_with_an_index_or_a_reason(tmp_path: Path, cut: float) -> None:
    data = tiled(tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(data[: int(len(data) * cut)])
    assert "beyond the end of the file" in answer(tmp_path / "b.tif")


def test_random_damage_to_the_directories_ends_with_an_answer(tmp_path: Path, rng: np.random.Generator) -> None:
    data = tiled(tmp_path / "a.tif", about=ABOUT).read_bytes()
    heads = [k for k in range(len(data) - 4) if data[k : k + 4] in (b"\xfe\x00\x04\x00", b"\x00\x01\x03\x00")]
    for _ in range(300):
        bad = bytearray(data)
        place = int(rng.choice(heads)) + int(rng.integers(-4, 260))
        bad[max(0, min(place, len(bad) - 1))] = int(rng.integers(256))
        (tmp_path / "b.tif").write_bytes(bad)
        assert isinstance(answer(tmp_path / "b.tif"), str)


def test_a_missing_file_is_a_reason(tmp_path: Path) -> None:
    assert tiff_index(str(tmp_path / "absent.tif")) == "No such file or directory"
