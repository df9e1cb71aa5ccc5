"""What every reader promises. A new reader is added to `READERS` and has to pass."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide, Slide, open_slide
from wsi_features.slides.image_reader import ImageReader

HEIGHT, WIDTH = 384, 640


def content() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x * 255 // WIDTH, y * 255 // HEIGHT, (x // 16 + y // 16) % 2 * 90 + 80], axis=2).astype(np.uint8)


def array_slide(_: Path) -> Slide:
    return ArraySlide(content(), mpp=0.5, downsamples=(1, 4))


def openslide_slide(folder: Path) -> Slide:
    """A lossless Aperio-like TIFF with a level at 1:4."""
    import tifffile

    path = folder / "slide.svs"
    about = "Aperio Image Library v11.2.1\r\n640x384 (128x128)|AppMag = 20|MPP = 0.5000"
    small = content().reshape(HEIGHT // 4, 4, WIDTH // 4, 4, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        for level, pixels in enumerate((content(), small)):
            tiff.write(
                pixels,
                tile=(128, 128),
                photometric="rgb",
                compression="zlib",
                description=about,
                subfiletype=int(level > 0),
                metadata=None,
            )
    return open_slide("s1", path)


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
    "image png": png_slide,
    "image tiff": untiled_tiff_slide,
}

STATED_MPP = {"array": 0.5, "openslide": 0.5, "image png": None, "image tiff": 0.5}
"""What the file of each reader says; None where its format cannot say it."""


@pytest.fixture(params=READERS)
def slide(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Slide]:
    with READERS[request.param](tmp_path) as opened:
        yield opened


def test_levels_run_from_fine_to_coarse(slide: Slide) -> None:
    assert slide.levels[0].size == Size(WIDTH, HEIGHT)
    assert [level.downsample for level in slide.levels] == [1.0, 4.0]
    assert slide.levels[1].size == Size(WIDTH // 4, HEIGHT // 4)


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
    assert (pixels.status, pixels.coverage, pixels.rgb.dtype) == ("ok", 1.0, np.uint8)
    np.testing.assert_array_equal(pixels.rgb, content()[57:97, 301:391])


def test_a_region_of_a_coarser_level_is_given_in_its_own_pixels(slide: Slide) -> None:
    pixels = slide.read(Region(40, 20, 25, 10), 1).rgb
    wanted = content()[80:120, 160:260].reshape(10, 4, 25, 4, 3).mean(axis=(1, 3))
    assert np.abs(pixels - wanted).max() <= 1


@pytest.mark.parametrize("level", [0, 1])
def test_two_reads_of_one_region_are_equal(slide: Slide, level: int) -> None:
    one, two = (slide.read(Region(3, 5, 33, 21), level).rgb for _ in range(2))
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
