"""CZI files written with pylibCZIrw: negative origins, scenes, planes, gaps, stored pyramids."""

from __future__ import annotations

import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.czi_reader import CziReader, is_czi
from wsi_features.slides.slide import MppCandidate

HEIGHT, WIDTH = 210, 330
LEFT, TOP = -1000, -517


def content(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def czi() -> Any:
    return pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw is not installed: pip install 'wsi-features[czi]'")


def write(czi: Any, path: Path, *tiles: tuple[np.ndarray, int, int], **where: int) -> Path:
    """RGB or gray tiles at x, y of one scene and plane, with a scale of 0.1112 um/px."""
    with czi.create_czi(str(path)) as file:
        add(file, *tiles, **where)
        file.write_metadata("slide", scale_x=1.112e-7, scale_y=1.112e-7)
    return path


def add(file: Any, *tiles: tuple[np.ndarray, int, int], scene: int = 0, z: int = 0, c: int = 0) -> None:
    for pixels, x, y in tiles:
        stored = np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels)
        file.write(stored, plane={"Z": z, "C": c, "T": 0}, scene=scene, location=(x, y))


def with_pyramid(czi: Any, path: Path, offset: int = 0) -> Path:
    """A second level in four tiles, which the writer cannot make: its tiles' directory entries are edited.

    `offset` moves the level off the grid of level 0.
    """
    small = halved()
    tiles = [(x, y, small[y : y + 64, x : x + 96]) for y in range(0, small.shape[0], 64) for x in range(0, 165, 96)]
    far = 1_000_003
    with czi.create_czi(str(path)) as file:
        add(file, (content(), LEFT, TOP))
        add(file, *((pixels, far + x, far + y) for x, y, pixels in tiles))
        file.write_metadata("slide", scale_x=1.112e-7, scale_y=1.112e-7)
    data = path.read_bytes()
    places = {(b"X", x, p.shape[1], LEFT) for x, _, p in tiles} | {(b"Y", y, p.shape[0], TOP) for _, y, p in tiles}
    for axis, start, count, corner in places:
        entry = re.escape(axis + b"\0\0\0" + struct.pack("<ii", far + start, count)) + b"(.{4})"
        moved = axis + b"\0\0\0" + struct.pack("<ii", corner + 2 * start + offset, 2 * count)
        data, found = re.subn(
            entry + re.escape(struct.pack("<i", count)),
            lambda match, moved=moved, count=count: moved + match[1] + struct.pack("<i", count),
            data,
            flags=re.DOTALL,
        )
        assert found, "the layout of directory entries has changed"
    path.write_bytes(data)
    return path


def halved() -> np.ndarray:
    return content().reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(1, 3)).round().astype(np.uint8)


def test_a_czi_file_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"ZISRAWFILE\0\0\0\0\0\0and more")
    (tmp_path / "b.czi").write_bytes(b"ZISRAWFILE is a text")
    assert [is_czi(str(tmp_path / name)) for name in ("a", "b.czi", "absent")] == [True, False, False]


def test_without_the_package_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylibCZIrw", None)
    with pytest.raises(SlideFileError, match=r"'s1'.*is a CZI file.*pylibCZIrw.*`pip install 'wsi-features\[czi\]'`"):
        CziReader("s1", str(tmp_path / "a.czi"))


def test_positions_start_at_the_corner_of_a_negative_origin(czi: Any, tmp_path: Path) -> None:
    path = write(czi, tmp_path / "a.czi", (content(), LEFT, TOP))
    with CziReader("s1", str(path)) as slide:
        assert [level.size for level in slide.levels] == [Size(WIDTH, HEIGHT)]
        for x, y in ((0, 0), (31, 7), (250, 150)):
            np.testing.assert_array_equal(slide.read(Region(x, y, 70, 50), 0).rgb, content()[y : y + 50, x : x + 70])


def test_the_scale_is_metres_per_pixel(czi: Any, tmp_path: Path) -> None:
    with CziReader("s1", str(write(czi, tmp_path / "a.czi", (content(), 0, 0)))) as slide:
        assert slide.mpp_candidates == (MppCandidate("CZI scaling", pytest.approx(0.1112), pytest.approx(0.1112)),)
        assert (slide.reader, slide.form.vendor, slide.form.compression) == ("czi", "zeiss", "none")
        assert not slide.properties


def test_a_scale_that_is_not_stated_is_not_invented(czi: Any, tmp_path: Path) -> None:
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        add(file, (content(), 0, 0))
    with CziReader("s1", str(tmp_path / "a.czi")) as slide:
        assert slide.mpp_candidates == ()


def test_what_no_tile_covers_is_missing_not_black(czi: Any, tmp_path: Path) -> None:
    tile = content()[:100, :120]
    path = write(czi, tmp_path / "a.czi", (tile, LEFT, TOP), (tile, LEFT + 200, TOP + 50))
    with CziReader("s1", str(path)) as slide:
        assert slide.levels[0].size == Size(320, 150)
        half, none = slide.read(Region(60, 0, 120, 50), 0), slide.read(Region(130, 10, 60, 30), 0)
        whole = slide.read(Region(0, 0, 320, 150), 0)
    assert (half.status, half.coverage) == ("ok", 0.5)
    np.testing.assert_array_equal(half.rgb[:, :60], tile[:50, 60:])
    assert (half.rgb[:, 60:] == 255).all()
    assert (none.status, none.coverage, none.reason) == ("missing", 0.0, "not scanned")
    assert whole.coverage == pytest.approx(2 * 100 * 120 / (320 * 150))


def test_black_pixels_that_were_scanned_are_there(czi: Any, tmp_path: Path) -> None:
    path = write(czi, tmp_path / "a.czi", (np.zeros_like(content()), LEFT, TOP))
    with CziReader("s1", str(path)) as slide:
        read = slide.read(Region(5, 5, 40, 30), 0)
    assert (read.coverage, int(read.rgb.max())) == (1.0, 0)


def test_beyond_the_edge_is_missing(czi: Any, tmp_path: Path) -> None:
    with CziReader("s1", str(write(czi, tmp_path / "a.czi", (content(), LEFT, TOP)))) as slide:
        read = slide.read(Region(-10, HEIGHT - 15, 20, 30), 0)
    assert read.coverage == pytest.approx(0.25)
    np.testing.assert_array_equal(read.rgb[:15, 10:], content()[-15:, :10])


@pytest.fixture
def scenes(czi: Any, tmp_path: Path) -> Path:
    """Two scenes whose boxes overlap, each with three planes."""
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for z in range(3):
            add(file, (content(z), LEFT, TOP), scene=0, z=z)
            add(file, (content(10 + z)[:80, :90], LEFT + 100, TOP + 40), scene=1, z=z)
    return tmp_path / "a.czi"


@pytest.mark.parametrize(("scene", "size", "seed"), [("", (330, 210), 0), ("0", (330, 210), 0), ("1", (90, 80), 10)])
@pytest.mark.parametrize(("plane", "number"), [(None, 1), (0, 0), (2, 2)])
def test_a_scene_and_plane_are_read_alone(
    scenes: Path, scene: str, size: tuple[int, int], seed: int, plane: int | None, number: int
) -> None:
    with CziReader("s1", str(scenes), scene, plane) as slide, slide.reopened() as again:
        assert [(found.name, found.planes) for found in slide.scenes] == [("0", 3), ("1", 3)]
        assert (again.scene, again.plane, again.levels[0].size) == (scene or "0", number, Size(*size))
        read = again.read(Region(0, 0, size[0], size[1]), 0)
        np.testing.assert_array_equal(read.rgb, content(seed + number)[: size[1], : size[0]])


def test_what_only_another_scene_or_plane_covers_is_missing(czi: Any, tmp_path: Path) -> None:
    tile = content()[:60, :70]
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        add(file, (tile, 0, 0), (tile, 200, 0), scene=0, z=0)
        add(file, (tile, 0, 0), (tile, 200, 0), (tile, 100, 0), scene=0, z=1)
        add(file, (tile, 100, 0), scene=1, z=0)
    for plane, status in ((0, "missing"), (1, "ok")):
        with CziReader("s1", str(tmp_path / "a.czi"), "0", plane) as slide:
            assert slide.read(Region(110, 10, 30, 20), 0).status == status


def test_a_scene_or_plane_that_is_not_there_is_refused(scenes: Path) -> None:
    with pytest.raises(SlideFileError, match="has no scene '2'; it holds '0', '1'"):
        CziReader("s1", str(scenes), "2")
    with pytest.raises(SlideFileError, match="has 3 focal planes, 0 to 2; the manifest asks for 3"):
        CziReader("s1", str(scenes), "1", 3)


def test_a_stored_pyramid_is_read_in_its_own_pixels(czi: Any, tmp_path: Path) -> None:
    with CziReader("s1", str(with_pyramid(czi, tmp_path / "a.czi"))) as slide:
        assert [(level.size, level.downsample) for level in slide.levels] == [
            (Size(330, 210), 1.0),
            (Size(165, 105), 2.0),
        ]
        for x, y in ((0, 0), (33, 17), (90, 60), (120, 80)):
            read = slide.read(Region(x, y, 50, 30), 1)
            np.testing.assert_array_equal(read.rgb[: 105 - y, : 165 - x], halved()[y : y + 30, x : x + 50])


def test_a_stored_pyramid_off_the_grid_is_not_used(czi: Any, tmp_path: Path) -> None:
    with CziReader("s1", str(with_pyramid(czi, tmp_path / "a.czi", offset=1))) as slide:
        assert [level.downsample for level in slide.levels] == [1.0]
        assert "at 1:2 does not lie on the grid" in slide.form.notes[0]


def test_other_pixels_than_8_bit_rgb_are_refused(czi: Any, tmp_path: Path) -> None:
    gray = write(czi, tmp_path / "gray.czi", (content()[..., 0], 0, 0))
    deep = write(czi, tmp_path / "deep.czi", (content().astype(np.uint16), 0, 0))
    for path, found in ((gray, "Gray8"), (deep, "Bgr48")):
        with pytest.raises(SlideFileError, match=f"pixels of type {found}; wanted 8-bit RGB"):
            CziReader("s1", str(path))


def test_several_channels_are_refused(czi: Any, tmp_path: Path) -> None:
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for channel in range(2):
            add(file, (content(), 0, 0), c=channel)
    with pytest.raises(SlideFileError, match="holds 2 channels; wanted 8-bit RGB"):
        CziReader("s1", str(tmp_path / "a.czi"))


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(cut: float, czi: Any, tmp_path: Path) -> None:
    path = write(czi, tmp_path / "a.czi", (content(), LEFT, TOP))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    with pytest.raises(SlideFileError, match="'s1': pylibCZIrw cannot open"):
        CziReader("s1", str(path))


def test_a_damaged_tile_is_reported_and_the_others_read_on(czi: Any, tmp_path: Path) -> None:
    tile = content()[:100, :120]
    path = write(czi, tmp_path / "a.czi", (tile, 0, 0), (tile, 150, 0))
    data = bytearray(path.read_bytes())
    second = data.index(b"ZISRAWSUBBLOCK", data.index(b"ZISRAWSUBBLOCK") + 1)
    data[second : second + 4] = b"gone"
    path.write_bytes(data)
    with CziReader("s1", str(path)) as slide:
        bad, good = slide.read(Region(160, 10, 30, 20), 0), slide.read(Region(10, 10, 30, 20), 0)
    assert (bad.status, bad.coverage, bool(bad.reason)) == ("unreadable", 0.0, True)
    np.testing.assert_array_equal(good.rgb, tile[10:30, 10:40])
