"""What every reader promises. A new reader is added to `READERS` and has to pass."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide, Slide
from wsi_features.slides.czi_reader import CziReader
from wsi_features.slides.image_reader import ImageReader
from wsi_features.slides.openslide_reader import OpenSlideReader
from wsi_features.slides.tiatoolbox_reader import TiatoolboxReader
from wsi_features.slides.tiff import TiffReader, tiff_index

HEIGHT, WIDTH = 384, 640


def content() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, (x // 16 + y // 16) % 2 * 90 + 80], axis=2).astype(np.uint8)


def array_slide(_: Path) -> Slide:
    return ArraySlide(content(), mpp=0.5, downsamples=(1, 4))


def quarter() -> np.ndarray:
    """The content at 1:4."""
    blocks = content().reshape(HEIGHT // 4, 4, WIDTH // 4, 4, 3)
    return np.asarray(blocks.mean(axis=(1, 3)).round(), np.uint8)


def aperio_file(folder: Path) -> str:
    """A lossless Aperio-like TIFF with a level at 1:4."""
    import tifffile

    path = folder / "slide.svs"
    about = "Aperio Image Library v11.2.1\r\n640x384 (128x128)|AppMag = 20|MPP = 0.5000"
    with tifffile.TiffWriter(path) as tiff:
        for level, pixels in enumerate((content(), quarter())):
            tiff.write(
                pixels,
                tile=(128, 128),
                photometric="rgb",
                compression="zlib",
                description=about,
                subfiletype=int(level > 0),
                metadata=None,
            )
    return str(path)


def ome_file(folder: Path) -> str:
    """A lossless OME-TIFF whose level at 1:4 lies in a SubIFD."""
    import tifffile

    path = folder / "slide.ome.tiff"
    stored: dict[str, Any] = {"tile": (128, 96), "photometric": "rgb", "compression": "zlib"}
    with tifffile.TiffWriter(path, ome=True) as tiff:
        about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
        tiff.write(content(), subifds=1, metadata=about, **stored)
        tiff.write(quarter(), subfiletype=1, metadata=None, **stored)
    return str(path)


def openslide_slide(folder: Path) -> Slide:
    return OpenSlideReader("s1", aperio_file(folder))


def direct(path: str) -> Slide:
    index = tiff_index(path)
    assert not isinstance(index, str), index
    return TiffReader("s1", path, index)


def ome_zarr_slide(folder: Path) -> Slide:
    """OME-Zarr 0.4, axes tczyx."""
    import zarr

    group = zarr.open_group(folder / "slide.zarr", mode="w", zarr_format=2)
    levels = []
    for level, (pixels, mpp) in enumerate(((content(), 0.5), (quarter(), 2.0))):
        data = np.moveaxis(pixels, 2, 0)[None, :, None]
        array = group.create_array(str(level), shape=data.shape, chunks=(1, 1, 1, 128, 96), dtype=data.dtype)
        array[...] = data
        scale = [{"type": "scale", "scale": [1, 1, 1, mpp, mpp]}]
        levels.append({"path": str(level), "coordinateTransformations": scale})
    axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "tczyx"]
    colours = [{"color": colour} for colour in ("FF0000", "00FF00", "0000FF")]
    about = {
        "multiscales": [{"version": "0.4", "axes": axes, "datasets": levels}],
        "omero": {"channels": colours, "rdefs": {}},
    }
    (folder / "slide.zarr/.zattrs").write_text(json.dumps(about))
    return TiatoolboxReader("s1", str(folder / "slide.zarr"))


def czi_slide(folder: Path) -> Slide:
    """Without a pyramid, which the library cannot write."""
    library = pytest.importorskip("pylibCZIrw.czi", reason="pylibCZIrw is an optional package")
    with library.create_czi(str(folder / "slide.czi")) as czi:
        czi.write(data=np.ascontiguousarray(content()[..., ::-1]), location=(-100, -40))
        czi.write_metadata("slide", scale_x=0.5e-6, scale_y=0.5e-6)
    return CziReader("s1", str(folder / "slide.czi"))


def png_slide(folder: Path) -> Slide:
    """A plain image, which never states a resolution."""
    from PIL import Image

    Image.fromarray(content()).save(folder / "slide.png", dpi=(300, 300))
    return ImageReader("s1", str(folder / "slide.png"), smallest_side=64)


def untiled_tiff_slide(folder: Path) -> Slide:
    """A TIFF of strips with a resolution, which OpenSlide does not know."""
    import tifffile

    path = folder / "slide.tif"
    tifffile.imwrite(path, content(), photometric="rgb", resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    return ImageReader("s1", str(path), smallest_side=64)


READERS: dict[str, Callable[[Path], Slide]] = {
    "array": array_slide,
    "openslide": openslide_slide,
    "tiff": lambda folder: direct(aperio_file(folder)),
    "tiff OME": lambda folder: direct(ome_file(folder)),
    "tiatoolbox OME-TIFF": lambda folder: TiatoolboxReader("s1", ome_file(folder)),
    "tiatoolbox OME-Zarr": ome_zarr_slide,
    "czi": czi_slide,
    "image png": png_slide,
    "image tiff": untiled_tiff_slide,
}

STATED_MPP = dict.fromkeys(READERS, 0.5) | {"image png": None}
"""What the file of each reader says; None where its format cannot say it."""

PYRAMIDS = [name for name in READERS if name != "czi"]
"""The readers whose file has a level at 1:4."""


@pytest.fixture(params=READERS)
def slide(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Slide]:
    with READERS[request.param](tmp_path) as opened:
        yield opened


@pytest.fixture(params=PYRAMIDS)
def pyramid(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Slide]:
    with READERS[request.param](tmp_path) as opened:
        yield opened


def test_levels_run_from_fine_to_coarse(pyramid: Slide) -> None:
    assert pyramid.levels[0].size == Size(WIDTH, HEIGHT)
    assert [level.downsample for level in pyramid.levels] == [1.0, 4.0]
    assert pyramid.levels[1].size == Size(WIDTH // 4, HEIGHT // 4)


@pytest.mark.parametrize("name", [name for name in READERS if STATED_MPP[name] is not None])
def test_the_resolution_comes_with_its_source(name: str, tmp_path: Path) -> None:
    with READERS[name](tmp_path) as slide:
        first = slide.mpp_candidates[0]
    assert (first.x, first.y, first.usable) == (STATED_MPP[name], STATED_MPP[name], True)
    assert first.source


@pytest.mark.parametrize("name", [name for name in READERS if STATED_MPP[name] is None])
def test_a_resolution_that_is_not_stated_is_not_invented(name: str, tmp_path: Path) -> None:
    with READERS[name](tmp_path) as slide:
        assert slide.mpp_candidates == ()


def test_a_region_of_level_0_is_read_in_its_place(slide: Slide) -> None:
    pixels = slide.read(Region(301, 57, 90, 40), 0)
    assert (pixels.status, pixels.coverage, str(pixels.rgb.dtype)) == ("ok", 1.0, "uint8")
    np.testing.assert_array_equal(pixels.rgb, content()[57:97, 301:391])


def test_a_region_of_a_coarser_level_is_given_in_its_own_pixels(pyramid: Slide) -> None:
    pixels = pyramid.read(Region(40, 20, 25, 10), 1).rgb
    wanted = content()[80:120, 160:260].reshape(10, 4, 25, 4, 3).mean(axis=(1, 3))
    assert np.abs(pixels - wanted).max() <= 1


@pytest.mark.parametrize("level", [0, 1])
def test_two_reads_of_one_region_are_equal(pyramid: Slide, level: int) -> None:
    one, two = (pyramid.read(Region(3, 5, 33, 21), level).rgb for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_beyond_the_edge_there_is_nothing_but_white(slide: Slide) -> None:
    pixels = slide.read(Region(WIDTH - 10, HEIGHT - 20, 20, 20), 0)
    assert pixels.coverage == pytest.approx(0.5)
    assert (pixels.rgb[:, 10:] == 255).all()
    np.testing.assert_array_equal(pixels.rgb[:, :10], content()[-20:, -10:])


def test_wholly_outside_is_missing(slide: Slide) -> None:
    pixels = slide.read(Region(WIDTH + 5, 0, 8, 6), 0)
    assert (pixels.status, pixels.coverage) == ("missing", 0.0)
    assert pixels.reason


def test_properties_never_name_people_files_or_dates(slide: Slide) -> None:
    words = ("user", "date", "time", "patient", "filename", "barcode", "comment", "description", "label")
    assert not [key for key in slide.properties if any(word in key.lower() for word in words)]


def test_it_can_be_closed_twice(slide: Slide) -> None:
    slide.close()
    slide.close()


def test_the_open_scene_is_one_of_its_scenes(slide: Slide) -> None:
    (scene,) = [found for found in slide.scenes if found.name == slide.scene]
    assert scene.size == slide.levels[0].size
    assert 0 <= slide.plane < scene.planes


def test_it_says_why_its_reader_was_chosen_and_how_its_pixels_are_stored(slide: Slide) -> None:
    assert slide.reader
    assert slide.why
    assert slide.form.bits == 8
    assert slide.form.colour
    assert slide.form.tile is None or 0 < slide.form.tile.width <= WIDTH
    assert slide.icc_profile is None or isinstance(slide.icc_profile, bytes)


def test_what_is_reopened_reads_the_same_and_outlives_the_first(slide: Slide) -> None:
    region = Region(13, 7, 200, 150)
    wanted = slide.read(region, 0).rgb
    with slide.reopened() as other:
        assert (other.levels, other.scene, other.plane) == (slide.levels, slide.scene, slide.plane)
        np.testing.assert_array_equal(other.read(region, 0).rgb, wanted)
        slide.close()
        np.testing.assert_array_equal(other.read(region, 0).rgb, wanted)


def test_a_closed_slide_can_be_reopened(slide: Slide) -> None:
    slide.close()
    with slide.reopened() as other:
        np.testing.assert_array_equal(other.read(Region(13, 7, 200, 150), 0).rgb, content()[7:157, 13:213])


def test_the_lazy_array_equals_reading(slide: Slide) -> None:
    for number, level in enumerate(slide.levels):
        lazy = slide.as_dask(number)
        assert lazy.shape == (level.size.height, level.size.width, 3)
        whole = Region(0, 0, level.size.width, level.size.height)
        np.testing.assert_array_equal(lazy.compute(), slide.read(whole, number).rgb)


def test_two_threads_with_a_handle_each_read_the_same(slide: Slide) -> None:
    regions = [Region(x, y, 90, 70) for x in range(0, WIDTH - 90, 150) for y in range(0, HEIGHT - 70, 100)]

    def read_all(handle: Slide) -> list[np.ndarray]:
        with handle:
            return [handle.read(region, 0).rgb for region in regions * 3]

    boxes = [np.s_[region.y : region.y + region.height, region.x : region.x + region.width] for region in regions]
    wanted = [content()[box] for box in boxes] * 3
    with ThreadPoolExecutor(2) as pool:
        for pixels in pool.map(read_all, [slide.reopened(), slide.reopened()]):
            np.testing.assert_array_equal(pixels, wanted)
