"""The direct TIFF reader against OpenSlide: the same levels, the same pixels to the bit, nothing accepted that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Region
from wsi_features.slides.openslide_reader import OpenSlideReader
from wsi_features.slides.slide import MppCandidate
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.slides.tiff import TiffIndex, TiffReader, tiff_index

pytestmark = pytest.mark.golden

REAL = Path(__file__).parents[3] / "shared/slides/cmu-1-small-region.svs"
BEYOND = 37
"""Pixels that regions may reach beyond the right and bottom edge."""

ABOUT = "Aperio Image Library v11.2.1\r\n700x500 (128x64)|AppMag = 20|MPP = 0.5000"


def photo(width: int = 700, height: int = 500) -> np.ndarray:
    """Smooth colours with edges and some noise, uint8 (height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(5).integers(0, 12, (height, width))
    rgb = [x * 255 // width, y * 255 // height, (x // 16 + y // 16) % 2 * 90 + 80]
    return np.clip(np.stack(rgb, axis=2) + noise[..., None], 0, 255).astype(np.uint8)


def tiled(path: Path, *, byteorder: str = "<", bigtiff: bool = False, about: str | None = ABOUT, **how: Any) -> Path:
    """Levels at 1:1 and 1:4 in tiles of 128 x 64 pixels, the right and bottom ones padded."""
    with tifffile.TiffWriter(path, byteorder=byteorder, bigtiff=bigtiff) as tiff:
        for pixels, reduced in ((photo(), 0), (photo(175, 125), 1)):
            extra = {"tile": (64, 128), "photometric": "rgb", "metadata": None} | how
            tiff.write(pixels, subfiletype=reduced, description=about, **extra)
    return path


def jpeg2000(path: Path, code: int) -> Path:
    """One level of bare JPEG 2000 code streams, as Aperio's codes 33003 (Y, Cb, Cr) and 33005 (RGB) say."""
    pixels = np.pad(photo(), ((0, 12), (0, 68), (0, 0)))
    tiles = (
        imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(pixels[y : y + 64, x : x + 128]), level=40, codecformat="J2K", mct=code == 33005
        )
        for y in range(0, 512, 64)
        for x in range(0, 768, 128)
    )
    tifffile.imwrite(
        path,
        tiles,
        shape=(500, 700, 3),
        dtype=np.uint8,
        tile=(64, 128),
        photometric="rgb",
        compression=code,
        description=ABOUT,
        metadata=None,
    )
    return path


def tables_apart(path: Path, spec: SlideSpec) -> Path:
    """A slide whose JPEG tiles leave their tables to the directory, as scanners write them."""
    write_slide(path, spec)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        page = tiff.pages[0]
        for at, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            tiff.filehandle.seek(at)
            whole = tiff.filehandle.read(count)
            tables, bare = split_tables(whole)
            tiff.filehandle.seek(at)
            # Comments of any length keep the bytes of the tile where they were.
            pad = len(whole) - len(bare)
            tiff.filehandle.write(bare[:2] + b"\xff\xfe" + (pad - 2).to_bytes(2) + bytes(pad - 4) + bare[2:])
        tiff.filehandle.flush()
        tables = b"\xff\xd8" + tables + b"\xff\xd9"
    add_tag(path, 347, tables)
    return path


def split_tables(stream: bytes) -> tuple[bytes, bytes]:
    """The quantization and Huffman tables of a stream, and the stream without them and without a JFIF mark."""
    at, tables, rest = 2, b"", b"\xff\xd8"
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4])
        if stream[at + 1] in {0xDB, 0xC4}:
            tables += stream[at:end]
        elif stream[at + 1] != 0xE0:
            rest += stream[at:end]
        at = end
    return tables, rest + stream[at:]


def add_tag(path: Path, code: int, value: bytes) -> None:
    """Give the first directory of a little-endian classic TIFF one tag more, in a copy at the end of the file."""
    data = bytearray(path.read_bytes())
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    entries = [data[at + 2 + 12 * k : at + 14 + 12 * k] for k in range(count)]
    following = data[at + 2 + 12 * count : at + 6 + 12 * count]
    entry = code.to_bytes(2, "little") + (7).to_bytes(2, "little") + len(value).to_bytes(4, "little")
    entries.append(bytearray(entry + len(data).to_bytes(4, "little")))
    data += value + bytes(len(value) % 2)
    data[4:8] = len(data).to_bytes(4, "little")
    entries.sort(key=lambda found: int.from_bytes(found[:2], "little"))
    path.write_bytes(data + (count + 1).to_bytes(2, "little") + b"".join(entries) + following)


SYNTHETIC = SlideSpec(width=1001, height=703, seed=2, levels=(1, 4), tile=128)

FILES: dict[str, Callable[[Path], Path]] = {
    "jpeg 4:2:0": lambda path: scanned(path, SYNTHETIC),
    "jpeg 4:4:4": lambda path: scanned(path, SlideSpec(width=1001, height=703, levels=(1, 4, 16), subsampling="444")),
    "jpeg RGB": lambda path: scanned(
        path, SlideSpec(width=703, height=1001, levels=(1, 4), tile=240, subsampling="444", photometric="RGB")
    ),
    "jpeg, tables in the directory": lambda path: tables_apart(path, SlideSpec(width=601, height=303, levels=(1,))),
    "jpeg RGB, tables in the directory": lambda path: tables_apart(
        path, SlideSpec(width=601, height=303, levels=(1,), subsampling="444", photometric="RGB")
    ),
    "uncompressed": tiled,
    "deflate, predictor": lambda path: tiled(path, compression="zlib", predictor=True),
    "LZW": lambda path: tiled(path, compression="lzw"),
    "LZW, predictor": lambda path: tiled(path, compression="lzw", predictor=True),
    "zstd": lambda path: tiled(path, compression="zstd"),
    "BigTIFF": lambda path: tiled(path, bigtiff=True, compression="zlib"),
    # A big-endian classic TIFF of several directories is nothing that OpenSlide 4.0.1 opens.
    "big-endian BigTIFF": lambda path: tiled(path, byteorder=">", bigtiff=True, compression="zlib"),
    "plain pyramid": lambda path: tiled(path, about=None, compression="jpeg"),
    "plain pyramid with a resolution": lambda path: tiled(
        path, about=None, compression="zlib", resolution=(20_000, 20_000), resolutionunit="CENTIMETER"
    ),
    "jpeg 2000 RGB": lambda path: jpeg2000(path, 33005),
    "jpeg 2000 YCbCr": lambda path: jpeg2000(path, 33003),
}


def scanned(path: Path, spec: SlideSpec) -> Path:
    write_slide(path, spec)
    return path


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("direct")

    @cache
    def made(name: str) -> Path:
        if name != "a real scan":
            return FILES[name](folder / f"{len(list(folder.iterdir()))}.svs")
        if not REAL.exists():
            pytest.skip(f"needs the real slide {REAL.name}")
        return REAL

    return made


@pytest.fixture(params=[*FILES, "a real scan"])
def path(request: pytest.FixtureRequest, files: Callable[[str], Path]) -> Path:
    return files(request.param)


def direct(path: Path) -> TiffReader:
    index = tiff_index(str(path))
    assert isinstance(index, TiffIndex), index
    return TiffReader("s1", str(path), index)


def on_white(rgba: np.ndarray) -> np.ndarray:
    assert set(np.unique(rgba[..., 3])) <= {0, 255}
    return np.where(rgba[..., 3:] == 255, rgba[..., :3], 255)


@cache
def openslide_level(path: Path, level: int) -> np.ndarray:
    """A whole level and what lies beyond it, RGBA (h, w, 4), read from its origin: the only exact position of all."""
    with openslide.OpenSlide(path) as slide:
        width, height = slide.level_dimensions[level]
        return np.asarray(slide.read_region((0, 0), level, (width + BEYOND, height + BEYOND)))


def test_the_levels_are_those_of_openslide(path: Path) -> None:
    with openslide.OpenSlide(path) as slide, direct(path) as ours:
        assert [(level.size.width, level.size.height) for level in ours.levels] == list(slide.level_dimensions)
        assert [level.downsample for level in ours.levels] == list(slide.level_downsamples)
        assert ours.form.vendor == slide.properties["openslide.vendor"]
        assert ours.icc_profile is None


def test_whole_levels_are_equal_to_the_bit(path: Path) -> None:
    with direct(path) as ours:
        for number, level in enumerate(ours.levels):
            region = Region(0, 0, level.size.width + BEYOND, level.size.height + BEYOND)
            pixels, rgba = ours.read(region, number), openslide_level(path, number)
            np.testing.assert_array_equal(pixels.rgb, on_white(rgba))
            assert pixels.coverage == pytest.approx(rgba[..., 3].mean() / 255, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), name=st.sampled_from(["jpeg 4:2:0", "jpeg RGB", "LZW, predictor"]))
def test_any_region_is_that_part_of_its_level(files: Callable[[str], Path], data: st.DataObject, name: str) -> None:
    path = files(name)
    with direct(path) as ours:
        number = data.draw(st.sampled_from(range(len(ours.levels))))
        rgba = openslide_level(path, number)
        x, y = (data.draw(st.integers(0, extent - 1)) for extent in (rgba.shape[1], rgba.shape[0]))
        w, h = data.draw(st.integers(1, rgba.shape[1] - x)), data.draw(st.integers(1, rgba.shape[0] - y))
        pixels, part = ours.read(Region(x, y, w, h), number), rgba[y : y + h, x : x + w]
    np.testing.assert_array_equal(pixels.rgb, on_white(part))
    assert pixels.coverage == pytest.approx(part[..., 3].mean() / 255, abs=1e-12)


def test_the_stated_resolution_is_the_same(path: Path) -> None:
    def first(candidates: tuple[MppCandidate, ...]) -> tuple[float, float] | None:
        return next(((c.x, c.y) for c in candidates if c.usable), None)

    with OpenSlideReader("s1", str(path)) as theirs, direct(path) as ours:
        assert first(ours.mpp_candidates) == pytest.approx(first(theirs.mpp_candidates))
        nominal = [c for c in theirs.mpp_candidates if "nominal" in c.source]
        assert [c for c in ours.mpp_candidates if "nominal" in c.source] == nominal


def test_a_missing_tile_is_as_missing_as_for_openslide(tmp_path: Path) -> None:
    path = tiled(tmp_path / "a.tif", about=None, compression="zlib")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        counts = tiff.pages[0].tags["TileByteCounts"]
        counts.overwrite((*counts.value[:7], 0, *counts.value[8:]))
    with direct(path) as ours:
        pixels = ours.read(Region(0, 0, 700 + BEYOND, 500 + BEYOND), 0)
    rgba = openslide_level(path, 0)
    np.testing.assert_array_equal(pixels.rgb, on_white(rgba))
    assert pixels.coverage == pytest.approx(rgba[..., 3].mean() / 255, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 0.999), value=st.integers(0, 255), head=st.booleans())
def test_a_damaged_tile_is_never_taken_where_openslide_refuses_it(
    files: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory, place: float, value: int, head: bool
) -> None:
    data = bytearray(files("jpeg 4:2:0").read_bytes())
    with tifffile.TiffFile(files("jpeg 4:2:0")) as tiff:
        at, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data[at + int(place * (620 if head else count))] = value
    path = tmp_path_factory.mktemp("bad") / "bad.svs"
    path.write_bytes(data)
    index = tiff_index(str(path))
    found = index if isinstance(index, str) else TiffReader("s1", "", index).read(Region(0, 0, 128, 128), 0)
    theirs = OpenSlideReader("s1", str(path)).read(Region(0, 0, 128, 128), 0)
    if theirs.status == "unreadable":
        assert isinstance(found, str) or found.status == "unreadable"
    elif not isinstance(found, str) and found.status == "ok":
        np.testing.assert_array_equal(found.rgb, theirs.rgb)
