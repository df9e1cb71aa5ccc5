"""Levels of OME-TIFF, OME-Zarr and JPEG 2000: every pixel in its place, also where sides do not halve evenly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import Slide
from wsi_features.slides.tiatoolbox_reader import TiatoolboxReader
from wsi_features.tiles import tile_scale
from wsi_features.tiles.pixels import tile_pixels

pytestmark = pytest.mark.golden

SIZES = ((603, 421), (302, 211), (101, 71), (50, 35))
"""Widths and heights: halved upwards, then a sixth upwards, then a twelfth downwards."""

DOWNSAMPLES = (1.0, 2.0, 6.0, 12.0)
PERIOD = 96
PRIMARIES = ("FF0000", "00FF00", "0000FF")


def noise(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Levels that have nothing in common: a pixel of another level or place cannot go unseen."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)


LEVELS = [noise(seed, size) for seed, size in enumerate(SIZES)]


def ome_tiff(folder: Path, compression: str = "zlib") -> Path:
    import tifffile

    path = folder / "slide.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for level, pixels in enumerate(LEVELS):
            place = {"subifds": len(LEVELS) - 1} if level == 0 else {"subfiletype": 1}
            tiff.write(pixels, tile=(96, 64), photometric="rgb", compression=compression, **place)
    return path


def striped_ome_tiff(folder: Path) -> Path:
    import tifffile

    path = folder / "strips.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for level, pixels in enumerate(LEVELS):
            place = {"subifds": len(LEVELS) - 1} if level == 0 else {"subfiletype": 1}
            tiff.write(pixels, rowsperstrip=17, photometric="rgb", **place)
    return path


def channelwise_ome_tiff(folder: Path) -> Path:
    """Red, green and blue as three pages, as raw2ometiff writes them."""
    import tifffile

    path = folder / "channels.ome.tif"
    colours = [-16776961, 16711935, 65535]
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for level, pixels in enumerate(LEVELS):
            place = {"subifds": len(LEVELS) - 1} if level == 0 else {"subfiletype": 1}
            meta = {"axes": "CYX", "Channel": {"Color": colours}}
            tiff.write(np.moveaxis(pixels, 2, 0), tile=(96, 64), photometric="minisblack", metadata=meta, **place)
    return path


def ome_zarr(folder: Path, axes: str = "tczyx", chunk: int = 1) -> Path:
    import zarr

    path = folder / f"{axes}.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    for level, pixels in enumerate(LEVELS):
        extent = {"t": 1, "c": 3, "z": 1, "y": pixels.shape[0], "x": pixels.shape[1]}
        chunks = {"t": 1, "c": chunk, "z": 1, "y": 96, "x": 64}
        array = group.create_array(
            str(level), shape=[extent[a] for a in axes], chunks=[chunks[a] for a in axes], dtype="u1"
        )
        kept = [axis for axis in axes if axis in "cyx"]
        moved = pixels.transpose(["yxc".index(axis) for axis in kept])
        array[...] = moved.reshape([extent[axis] for axis in axes])
    described = {
        "multiscales": [
            {
                "version": "0.4",
                "axes": [{"name": axis, "type": {"t": "time", "c": "channel"}.get(axis, "space")} for axis in axes],
                "datasets": [{"path": str(level)} for level in range(len(LEVELS))],
            }
        ],
        "omero": {"channels": [{"color": colour} for colour in PRIMARIES], "rdefs": {}},
    }
    (path / ".zattrs").write_text(json.dumps(described))
    return path


def interleaved_ome_zarr(folder: Path) -> Path:
    return ome_zarr(folder, "yxc", chunk=3)


FILES: dict[str, Callable[[Path], Path]] = {
    "OME-TIFF": ome_tiff,
    "OME-TIFF in strips": striped_ome_tiff,
    "OME-TIFF by channel": channelwise_ome_tiff,
    "OME-Zarr": ome_zarr,
    "OME-Zarr interleaved": interleaved_ome_zarr,
}


@pytest.fixture(scope="module", params=FILES)
def slide(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slide]:
    with TiatoolboxReader("s1", str(FILES[request.param](tmp_path_factory.mktemp("foreign")))) as opened:
        yield opened


def expected(pixels: np.ndarray, region: Region) -> tuple[np.ndarray, float]:
    """The pixels of a region on white, and the share of it that lies on the level."""
    padded = np.pad(pixels, ((200, 200), (200, 200), (0, 0)), constant_values=255)
    inside = np.pad(np.ones(pixels.shape[:2]), 200)
    window = np.s_[region.y + 200 : region.y + region.height + 200, region.x + 200 : region.x + region.width + 200]
    return padded[window], float(inside[window].mean())


def test_sizes_and_downsamples_are_those_of_the_file(slide: Slide) -> None:
    assert [level.size for level in slide.levels] == [Size(*size) for size in SIZES]
    assert [level.downsample for level in slide.levels] == list(DOWNSAMPLES)


@pytest.mark.parametrize("level", range(len(SIZES)))
def test_every_region_holds_exactly_the_pixels_of_the_level(slide: Slide, level: int) -> None:
    rng = np.random.default_rng(level)
    width, height = SIZES[level]
    for _ in range(25):
        region = Region(
            int(rng.integers(-40, width)), int(rng.integers(-40, height)), *(int(v) for v in rng.integers(1, 150, 2))
        )
        read, (wanted, share) = slide.read(region, level), expected(LEVELS[level], region)
        np.testing.assert_array_equal(read.rgb, wanted)
        assert (read.coverage, read.shift) == (pytest.approx(share, abs=1e-6), (0.0, 0.0))


def test_jpeg_tiles_are_decoded_as_another_program_decodes_them(tmp_path: Path) -> None:
    import tifffile

    with TiatoolboxReader("s1", str(ome_tiff(tmp_path, "jpeg"))) as slide:
        read = slide.read(Region(0, 0, *SIZES[0]), 0)
    np.testing.assert_array_equal(read.rgb, tifffile.imread(tmp_path / "slide.ome.tif", level=0))


def wave_image(width: int, height: int) -> np.ndarray:
    """Red and green hold the phase along x, blue is a cosine along y; smooth, so that no filter changes it much."""
    across = np.exp(2j * np.pi * (np.arange(width) + 0.5) / PERIOD)
    down = np.cos(2 * np.pi * (np.arange(height) + 0.5) / PERIOD)
    image = np.empty((height, width, 3))
    image[..., 0], image[..., 1], image[..., 2] = across.real[None], across.imag[None], down[:, None]
    return np.rint(128 + 100 * image).astype(np.uint8)


def wave_jp2(folder: Path, size: tuple[int, int], *, lossy: bool = False) -> Path:
    from PIL import Image

    path = folder / "wave.jp2"
    image = Image.fromarray(wave_image(*size))
    image.save(path, "JPEG2000", tile_size=(256, 320), num_resolutions=4, irreversible=lossy, mct=1)
    return path


@pytest.fixture(scope="module", params=[True, False], ids=["lossy", "lossless"])
def jpeg2000(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wave_jp2(tmp_path_factory.mktemp("jp2"), (1037, 771), lossy=request.param)


def test_resolutions_of_jpeg_2000_halve_upwards(jpeg2000: Path) -> None:
    with TiatoolboxReader("s1", str(jpeg2000)) as slide:
        assert [level.size for level in slide.levels] == [
            Size(1037, 771),
            Size(519, 386),
            Size(260, 193),
            Size(130, 97),
        ]
        assert [level.downsample for level in slide.levels] == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("lossy", [True, False])
def test_a_resolution_of_jpeg_2000_is_what_another_program_decodes(tmp_path: Path, level: int, lossy: bool) -> None:
    from PIL import Image

    path = wave_jp2(tmp_path, (1032, 776), lossy=lossy)  # Pillow itself fails on a reduced image of odd sides
    with Image.open(path) as image:
        image.reduce = level
        whole = np.asarray(image)
    with TiatoolboxReader("s1", str(path)) as slide:
        for region in (Region(3, 5, 60, 41), Region(whole.shape[1] - 30, whole.shape[0] - 20, 45, 33)):
            read, (wanted, _) = slide.read(region, level), expected(whole, region)
            assert np.abs(read.rgb.astype(int) - wanted).max() <= 1  # two builds of OpenJPEG may round differently


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_shift_of_jpeg_2000_is_the_one_it_says(jpeg2000: Path, level: int) -> None:
    with TiatoolboxReader("s1", str(jpeg2000)) as slide:
        read = slide.read(Region(9, 4, 64, 40), level)
        step = slide.levels[level].downsample
    values = (read.rgb.astype(float) - 128).mean(axis=0)
    centres = (9 + read.shift[0] + np.arange(64) + 0.5) * step
    turn = (values[:, 0] + 1j * values[:, 1]) * np.exp(-2j * np.pi * centres / PERIOD)
    assert abs(np.angle(turn.sum())) * PERIOD / (2 * np.pi) < 0.1


def test_no_tile_of_jpeg_2000_is_shifted(jpeg2000: Path) -> None:
    with TiatoolboxReader("s1", str(jpeg2000)) as slide:
        scale = tile_scale("s1", tuple(level.downsample for level in slide.levels), native=0.25, asked=1.0, size=96)
        assert scale.level == 2
        tile = (tile_pixels(slide, 260, 128, scale).rgb.astype(float) - 128).mean(axis=0)
    centres = 260 + (np.arange(96) + 0.5) * scale.span / 96
    turn = (tile[:, 0] + 1j * tile[:, 1]) * np.exp(-2j * np.pi * centres / PERIOD)
    assert abs(np.angle(turn.sum())) * PERIOD / (2 * np.pi) < 0.25
