"""Regions of tiled TIFFs: the right pixels in the right place, and damage that is told."""

import os
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides import MppCandidate
from wsi_features.slides.slide import Scene
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.slides.tiff import TiffIndex, TiffReader, reader, tiff_index

WIDTH, HEIGHT = 700, 500
ABOUT = "Aperio Image Library v11.2.1\r\n700x500 (128x64)"


@cache
def photo(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x * 7 + y * 3) % 256], axis=2).astype(np.uint8)


def tiled(path: Path, **how: Any) -> Path:
    """Levels at 1:1 and 1:4 in lossless tiles of 128 x 64 pixels."""
    with tifffile.TiffWriter(path, byteorder=how.pop("byteorder", "<")) as tiff:
        for number, size in enumerate([(WIDTH, HEIGHT), (WIDTH // 4, HEIGHT // 4)]):
            extra = {"tile": (64, 128), "photometric": "rgb", "compression": "zlib", "metadata": None} | how
            tiff.write(photo(*size), subfiletype=number, **extra)
    return path


def changed(path: Path, tag: str, number: int, value: int) -> Path:
    """The same file with another value for one tile of level 0."""
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        found = tiff.pages[0].tags[tag]
        found.overwrite((*found.value[:number], value, *found.value[number + 1 :]))
    return path


def opened(path: Path, **how: Any) -> TiffReader:
    index = tiff_index(str(path))
    assert isinstance(index, TiffIndex), index
    return TiffReader("s1", str(path), index, **how)


def window(region: Region) -> tuple[np.ndarray, float]:
    """What a read of level 0 should give, cut out of a larger array with white round it."""
    rgb = np.full((HEIGHT + 400, WIDTH + 400, 3), 255, np.uint8)
    inside = np.zeros(rgb.shape[:2])
    rgb[200 : 200 + HEIGHT, 200 : 200 + WIDTH] = photo()
    inside[200 : 200 + HEIGHT, 200 : 200 + WIDTH] = 1
    here = np.s_[region.y + 200 :, region.x + 200 :]
    return rgb[here][: region.height, : region.width], float(inside[here][: region.height, : region.width].mean())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiled(tmp_path_factory.mktemp("reader") / "a.tif")


regions = st.builds(Region, st.integers(-150, 750), st.integers(-150, 550), st.integers(1, 150), st.integers(1, 150))


@settings(max_examples=60, deadline=None)
@given(asked=st.lists(regions, min_size=1, max_size=4))
def test_any_regions_in_any_order_are_parts_of_the_image(path: Path, asked: list[Region]) -> None:
    with opened(path) as slide:
        for region in asked:
            pixels, (rgb, coverage) = slide.read(region, 0), window(region)
            np.testing.assert_array_equal(pixels.rgb, rgb)
            assert pixels.coverage == pytest.approx(coverage, abs=1e-12)
            assert (pixels.status, pixels.shift) == ("ok" if coverage else "missing", (0.0, 0.0))


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_coarser_levels_are_read_in_their_own_pixels(tmp_path: Path, byteorder: str) -> None:
    with opened(tiled(tmp_path / "a.tif", byteorder=byteorder)) as slide:
        pixels = slide.read(Region(100, 50, 60, 70), 1)
    np.testing.assert_array_equal(pixels.rgb, photo(175, 125)[50:120, 100:160])


def test_a_tile_given_away_may_be_written_to(path: Path) -> None:
    with opened(path) as slide:
        parts = [Region(100, 10, 128, 64), Region(128, 64, 128, 64), Region(130, 70, 100, 50)] * 2
        for region in parts:
            rgb = slide.read(region, 0).rgb
            np.testing.assert_array_equal(rgb, window(region)[0])
            rgb[:] = 0


def test_a_tile_given_away_while_all_are_kept_may_be_written_to(path: Path) -> None:
    with opened(path) as slide:
        for region in [Region(0, 0, 256, 128)] * 2 + [Region(384, 128, 128, 64)] * 2:
            rgb = slide.read(region, 0).rgb
            np.testing.assert_array_equal(rgb, window(region)[0])
            rgb[:] = 0
        assert slide._recent.get((0, 15)) is not None


def test_decoded_tiles_that_are_kept_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "CACHE_BYTES", 3 * 128 * 64 * 3)
    with opened(path) as slide:
        for x in range(10, 560, 100):
            slide.read(Region(x, 30, 100, 100), 0)
        assert 0 < slide._recent._bytes <= 3 * 128 * 64 * 3
        assert slide._recent._bytes == sum(tile.nbytes for tile in slide._recent._tiles.values())


@pytest.mark.parametrize(
    ("width", "height", "step", "most"),
    [(100, 100, (50, 50), 48), (128, 64, (64, 32), 48 + 11), (256, 128, (128, 64), 51)],
)
def test_tiles_are_decoded_once_in_overlapping_reads(
    path: Path, monkeypatch: pytest.MonkeyPatch, width: int, height: int, step: tuple[int, int], most: int
) -> None:
    asked: list[int] = []
    real = reader.decoded
    monkeypatch.setattr(reader, "decoded", lambda *key: asked.append(key[2]) or real(*key))
    with opened(path) as slide:
        for y in range(0, HEIGHT, step[1]):
            for x in range(0, WIDTH, step[0]):
                region = Region(x, y, width, height)
                np.testing.assert_array_equal(slide.read(region, 0).rgb, window(region)[0])
    assert set(asked) == set(range(48))
    assert len(asked) <= most


def test_tiles_that_no_other_read_needs_are_not_kept(path: Path) -> None:
    with opened(path) as slide:
        for y in range(0, 448, 128):
            slide.read(Region(128, y, 256, 128), 0)
        assert slide._recent._bytes == 0


def test_a_missing_tile_lowers_the_coverage(tmp_path: Path) -> None:
    with opened(changed(tiled(tmp_path / "a.tif"), "TileByteCounts", 7, 0)) as slide:
        half = slide.read(Region(192, 64, 128, 64), 0)
        none = slide.read(Region(128, 64, 128, 64), 0)
    assert (half.status, half.coverage) == ("ok", 0.5)
    assert (half.rgb[:, :64] == 255).all()
    np.testing.assert_array_equal(half.rgb[:, 64:], photo()[64:128, 256:320])
    assert (none.status, none.coverage, none.reason, int(none.rgb.min())) == ("missing", 0.0, "not scanned", 255)


@pytest.mark.parametrize(
    ("tag", "value", "reason"),
    [
        ("TileOffsets", 10**9, "tile 7 of level 0 at x=128, y=64: its bytes end beyond the end of the file"),
        ("TileOffsets", 0, "tile 7 of level 0 at x=128, y=64: it has a length but no position"),
        ("TileByteCounts", 9, "tile 7 of level 0 at x=128, y=64: its deflate data is damaged"),
    ],
)
def test_a_region_that_touches_an_unreadable_tile_says_which_and_why(
    tmp_path: Path, tag: str, value: int, reason: str
) -> None:
    with opened(changed(tiled(tmp_path / "a.tif"), tag, 7, value)) as slide:
        bad, good = slide.read(Region(100, 60, 50, 50), 0), slide.read(Region(0, 0, 128, 128), 0)
    assert (bad.status, bad.coverage, int(bad.rgb.min())) == ("unreadable", 0.0, 255)
    assert bad.reason.startswith(reason)
    assert good.status == "ok"


def test_tiles_that_overlap_in_the_file_are_unreadable(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    with opened(path) as slide:
        other = int(slide._tables[0].offsets[20])
    with opened(changed(path, "TileOffsets", 7, other + 3)) as slide:
        reasons = [slide.read(Region(x, y, 9, 9), 0).reason for x, y in ((128, 64), (256, 192))]
    assert all(reason.endswith("its bytes overlap those of another tile") for reason in reasons)


def test_a_file_that_shrinks_under_the_reader_is_told(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif")
    with opened(path) as slide:
        assert slide.read(Region(0, 0, 9, 9), 0).status == "ok"
        os.truncate(path, 4000)
        assert "end beyond the end of the file" in slide.read(Region(600, 440, 9, 9), 0).reason
        slide.close()
        assert "the file has changed since it was opened" in slide.read(Region(0, 0, 9, 9), 0).reason


def test_a_closed_reader_opens_again_and_does_not_close_others(path: Path) -> None:
    first = opened(path)
    second = first.reopened()
    whole = Region(0, 0, WIDTH, HEIGHT)
    for slide in (first, second, first):
        np.testing.assert_array_equal(slide.read(whole, 0).rgb, photo())
        first.close()
    second.close()
    second.close()
    assert first._index.file._descriptor == -1


def test_threads_share_one_index(path: Path) -> None:
    wrong: list[int] = []
    base = opened(path)

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(25):
            with base.reopened() as slide:
                region = Region(int(rng.integers(0, 600)), int(rng.integers(0, 400)), 90, 70)
                wrong.append(int((slide.read(region, 0).rgb != window(region)[0]).sum()))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [0] * 100
    assert base._index.file._descriptor == -1


def test_a_forked_process_reads_beside_its_parent(path: Path) -> None:
    region = Region(10, 20, 300, 200)
    with opened(path) as slide:
        slide.read(region, 0)
        child = os.fork()
        if not child:
            os._exit(int((slide.read(Region(50, 60, 400, 300), 0).rgb != window(Region(50, 60, 400, 300))[0]).any()))
        same = (slide.read(region, 0).rgb == window(region)[0]).all()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert same


def test_the_form_says_how_pixels_are_stored(tmp_path: Path) -> None:
    write_slide(tmp_path / "a.svs", SlideSpec(width=300, height=200, levels=(1,), tile=128))
    with opened(tmp_path / "a.svs") as slide:
        assert (slide.reader, slide.why) == ("tiff", "tiled TIFF, read directly")
        form = slide.form
    assert (form.vendor, form.compression, form.bits, form.colour, form.tile) == (
        "aperio",
        "JPEG",
        8,
        "YCbCr",
        Size(128, 128),
    )
    assert form.notes == ()


def test_damage_is_noted_in_the_form(tmp_path: Path) -> None:
    with opened(changed(tiled(tmp_path / "a.tif"), "TileOffsets", 7, 10**9)) as slide:
        assert slide.form.notes == ("Level 0: 1 of 48 tiles end beyond the end of the file.",)


def test_a_plain_file_has_one_scene_without_a_name(path: Path) -> None:
    with opened(path) as slide:
        assert (slide.scenes, slide.scene, slide.plane) == ((Scene("", Size(WIDTH, HEIGHT)),), "", 0)
        assert slide.bounds is None


@pytest.mark.parametrize(
    ("how", "text"), [({"scene": "b"}, "has no scene 'b'"), ({"plane": 1}, "has one focal plane, 0")]
)
def test_a_scene_or_plane_that_is_not_there_is_refused(path: Path, how: dict[str, Any], text: str) -> None:
    with pytest.raises(SlideFileError, match=text):
        opened(path, **how)


def test_the_colour_profile_is_passed_on(tmp_path: Path) -> None:
    with opened(tiled(tmp_path / "a.tif", iccprofile=b"a profile of colours")) as slide:
        assert slide.icc_profile == b"a profile of colours"


def candidates(path: Path) -> list[tuple[str, float, bool]]:
    with opened(path) as slide:
        return [(found.source, found.x, found.usable) for found in slide.mpp_candidates]


def test_an_aperio_scan_lists_its_text_then_tags_then_the_objective(tmp_path: Path) -> None:
    how = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}
    path = tiled(tmp_path / "a.svs", description=f"{ABOUT}|AppMag = 40|MPP = 0.2431|User = someone", **how)
    wanted = [("aperio text", 0.2431, True), ("tiff resolution", 0.5, True), ("objective power (nominal)", 0.25, False)]
    assert candidates(path) == wanted
    with opened(path) as slide:
        assert dict(slide.properties) == {"aperio.AppMag": "40", "aperio.MPP": "0.2431"}


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ("MPP = 0,25", [("aperio text", 0.25, True)]),
        ("MPP = 0.3|MPP = 0.4", [("aperio text", 0.4, True)]),
        ("MPP = about 0.5", []),
        ("MPP 0.5", []),
        ("MPP = 0", [("aperio text", 0.0, True)]),
        ("AppMag = 20", [("objective power (nominal)", 0.5, False)]),
        ("AppMag = twenty", []),
    ],
)
def test_what_aperio_text_says_of_the_scale(tmp_path: Path, stated: str, found: list[tuple[str, float, bool]]) -> None:
    assert candidates(tiled(tmp_path / "a.svs", description=f"{ABOUT}|{stated}")) == found


def test_words_in_the_place_of_numbers_never_leave_the_reader(tmp_path: Path) -> None:
    with opened(tiled(tmp_path / "a.svs", description=f"{ABOUT}|AppMag = Jane Doe|Patient = Jane Doe")) as slide:
        assert dict(slide.properties) == {}
        assert "Jane" not in repr((slide.form, slide.scenes, slide.mpp_candidates))


def test_a_display_resolution_is_shown_and_not_usable(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif", resolution=(72, 72), resolutionunit="INCH")
    assert candidates(path) == [("tiff resolution", pytest.approx(352.78, abs=0.01), False)]


def test_resolutions_may_differ_by_direction(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif", resolution=(20_000, 40_000), resolutionunit="CENTIMETER")
    with opened(path) as slide:
        assert slide.mpp_candidates == (MppCandidate("tiff resolution", 0.5, 0.25),)
