from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import SlideSpec, ground_truth, slide_pixels, write_slide
from wsi_features.slides.synthetic.pyramid import RowQueue, level_tiles

# Not square, no multiple of any tile, level or block.
SPEC = SlideSpec(1333, 909, seed=5, quality=100, subsampling="444")
_RESOLUTION_TAGS = {"XResolution", "YResolution", "ResolutionUnit"}


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openslide.OpenSlide]:
    path = tmp_path_factory.mktemp("slides") / "slide.svs"
    write_slide(path, SPEC)
    with openslide.OpenSlide(path) as opened:
        yield opened


def level(slide: openslide.OpenSlide, number: int) -> npt.NDArray[np.float64]:
    image = slide.read_region((0, 0), number, slide.level_dimensions[number]).convert("RGB")
    return np.asarray(image, dtype=np.float64)


def averaged(rgb: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.float64]:
    height, width = rgb.shape[0] // factor, rgb.shape[1] // factor
    whole = rgb[: height * factor, : width * factor]
    return np.asarray(whole.reshape(height, factor, width, factor, 3).mean(axis=(1, 3)), dtype=np.float64)


def digest(path: Path, spec: SlideSpec, **options: Any) -> str:
    write_slide(path, spec, **options)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def to_bytes(tile: npt.NDArray[np.uint8]) -> bytes:
    return tile.tobytes()


def test_openslide_reads_an_aperio_scan(slide: openslide.OpenSlide) -> None:
    properties = slide.properties
    assert properties["openslide.vendor"] == "aperio"
    assert float(properties["openslide.mpp-x"]) == float(properties["openslide.mpp-y"]) == 0.25
    assert properties["openslide.objective-power"] == "40"
    assert slide.level_dimensions == ((1333, 909), (333, 227), (83, 56))


def test_openslide_reads_the_pixels_that_were_made(slide: openslide.OpenSlide) -> None:
    made = slide_pixels(SPEC, Region(0, 0, 1333, 909))
    assert np.abs(level(slide, 0) - made).mean() < 1


@pytest.mark.parametrize(("number", "factor"), [(1, 4), (2, 16)])
def test_a_level_is_the_area_average_of_level_0(slide: openslide.OpenSlide, number: int, factor: int) -> None:
    made = averaged(slide_pixels(SPEC, Region(0, 0, 1333, 909)), factor)
    read = level(slide, number)
    assert np.abs(read - made).mean() < 1
    assert np.abs(read[:, 1:] - made[:, :-1]).mean() > 4
    assert np.abs(read[1:] - made[:-1]).mean() > 4


def test_other_levels_and_tiles_are_written_as_asked(tmp_path: Path) -> None:
    spec = replace(SPEC, levels=(1, 2, 4, 6), tile=240)
    write_slide(tmp_path / "s.svs", spec)
    with openslide.OpenSlide(tmp_path / "s.svs") as slide:
        assert slide.level_dimensions == ((1333, 909), (666, 454), (333, 227), (222, 151))
        assert slide.properties["openslide.level[3].tile-width"] == "240"
        made = averaged(slide_pixels(spec, Region(0, 0, 1333, 909)), 6)
        assert np.abs(level(slide, 3) - made).mean() < 1


@pytest.mark.parametrize("photometric", ["YCbCr", "RGB"])
def test_both_colour_spaces_of_jpeg_read_alike(tmp_path: Path, photometric: Any) -> None:
    spec = replace(SPEC, photometric=photometric)
    write_slide(tmp_path / "s.svs", spec)
    with tifffile.TiffFile(tmp_path / "s.svs") as tiff, openslide.OpenSlide(tmp_path / "s.svs") as slide:
        assert tiff.pages[0].photometric.name == photometric.upper()  # type: ignore[union-attr] # a first page is whole
        assert np.abs(level(slide, 0) - slide_pixels(spec, Region(0, 0, 1333, 909))).mean() < 1


def test_subsampled_colour_makes_smaller_files_and_keeps_the_picture(tmp_path: Path) -> None:
    full, halved = (replace(SPEC, subsampling=s) for s in ("444", "420"))
    for name, spec in (("full", full), ("halved", halved)):
        write_slide(tmp_path / name, spec)
    assert (tmp_path / "halved").stat().st_size < (tmp_path / "full").stat().st_size
    with openslide.OpenSlide(tmp_path / "halved") as slide:
        assert np.abs(level(slide, 0) - slide_pixels(halved, Region(0, 0, 1333, 909))).mean() < 3


def test_what_a_tile_has_beyond_the_image_repeats_its_edge() -> None:
    spec = SlideSpec(40, 24, levels=(1,), tile=16)
    rows = np.arange(24 * 40 * 3, dtype=np.uint8).reshape(24, 40, 3)
    with ThreadPoolExecutor(1) as pool:
        tiles = [np.frombuffer(t, np.uint8).reshape(16, 16, 3) for t in level_tiles(spec, [rows], [], to_bytes, pool)]
    assert len(tiles) == 6
    assert np.array_equal(tiles[5][8:, 8:], np.broadcast_to(rows[-1, -1], (8, 8, 3)))


def test_the_same_spec_gives_the_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    marked = replace(SPEC, pen=True, fold=True, blur=True, bubble=True)
    assert digest(tmp_path / "a", marked, threads=1) == digest(tmp_path / "b", marked, threads=2)


@pytest.mark.parametrize("change", [{"seed": 6}, {"stain": "b"}, {"quality": 99}, {"fold": True}])
def test_another_spec_gives_other_bytes(tmp_path: Path, change: dict[str, Any]) -> None:
    assert digest(tmp_path / "a", SPEC) != digest(tmp_path / "b", replace(SPEC, **change))


def test_a_slide_without_mpp_states_no_resolution_anywhere(tmp_path: Path) -> None:
    write_slide(tmp_path / "s.tif", replace(SPEC, mpp=None))
    with openslide.OpenSlide(tmp_path / "s.tif") as slide:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert slide.level_count == 3
        assert not {"openslide.mpp-x", "openslide.mpp-y", "openslide.objective-power"} & set(slide.properties)


@pytest.mark.parametrize("mpp", [0.25, None])
def test_no_date_software_or_resolution_tag_is_written(tmp_path: Path, mpp: float | None) -> None:
    write_slide(tmp_path / "s.tif", replace(SPEC, mpp=mpp))
    with tifffile.TiffFile(tmp_path / "s.tif") as tiff:
        names = {tag.name for page in tiff.pages for tag in page.tags}  # type: ignore[union-attr] # no frames here
    assert not names & {"DateTime", "Software", "HostComputer", *_RESOLUTION_TAGS}
    assert ("ImageDescription" in names) == (mpp is not None)


@pytest.mark.parametrize(("mpp", "text"), [(0.2498, "MPP = 0.2498"), (0.123456, "MPP = 0.123456")])
def test_mpp_is_written_exactly(tmp_path: Path, mpp: float, text: str) -> None:
    write_slide(tmp_path / "s.svs", replace(SPEC, mpp=mpp, objective=None, tissue=False))
    with openslide.OpenSlide(tmp_path / "s.svs") as slide:
        assert float(slide.properties["openslide.mpp-x"]) == mpp
        assert slide.properties["openslide.comment"].endswith(f"|{text}")
        assert "openslide.objective-power" not in slide.properties


def test_a_file_too_large_for_a_classic_tiff_is_a_big_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_features.slides.synthetic.file._CLASSIC_LIMIT", 1)
    write_slide(tmp_path / "s.svs", SPEC)
    with tifffile.TiffFile(tmp_path / "s.svs") as tiff, openslide.OpenSlide(tmp_path / "s.svs") as slide:
        assert tiff.is_bigtiff
        assert not {tag.name for tag in tiff.pages[2].tags} & _RESOLUTION_TAGS  # type: ignore[union-attr] # no frames here
        assert np.abs(level(slide, 0) - slide_pixels(SPEC, Region(0, 0, 1333, 909))).mean() < 1


def test_writing_returns_the_truth_and_leaves_only_the_slide(tmp_path: Path) -> None:
    truth = write_slide(tmp_path / "s.svs", SPEC)
    assert np.array_equal(truth.labels, ground_truth(SPEC).labels)
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.svs"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "s.svs").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_slide(tmp_path / "s.svs", SPEC)
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.svs"]


def test_an_existing_slide_is_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "s.svs").write_bytes(b"older")
    write_slide(tmp_path / "s.svs", replace(SPEC, tissue=False))
    assert openslide.OpenSlide.detect_format(tmp_path / "s.svs") == "aperio"


@settings(max_examples=40, deadline=None)
@given(portions=st.lists(st.integers(0, 9), min_size=1), step=st.integers(1, 5), extra=st.integers(0, 4))
def test_a_row_queue_gives_back_every_row_in_order(portions: list[int], step: int, extra: int) -> None:
    total = sum(portions)
    rows = np.arange(total * 6, dtype=np.uint8).reshape(total, 2, 3)
    queue, height, start, out = RowQueue(step, max(0, total - extra)), max(0, total - extra), 0, []
    for count in portions:
        out.append(queue.push(rows[start : start + count]))
        start += count
    assert np.array_equal(np.concatenate(out), rows[:height])
    gone = np.cumsum([len(portion) for portion in out])
    assert all(size % step == 0 or size == height for size in gone)
