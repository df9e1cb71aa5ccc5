"""Plain images: what is read as it is, and what is refused rather than converted."""

import os
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from PIL import Image

from wsi_features.errors import ResolutionError, SlideFileError, TileReadError
from wsi_features.geometry import Region, Size
from wsi_features.slides import image_reader, open_slide, resolution, thumbnail
from wsi_features.slides.image_reader import ImageReader
from wsi_features.slides.openslide_reader import openslide_format

HEIGHT, WIDTH = 60, 100
WHOLE = Region(0, 0, WIDTH, HEIGHT)


def content(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 77)], axis=2).astype(np.uint8)


def saved(path: Path, image: Image.Image, **options: Any) -> str:
    image.save(path, **options)
    return str(path)


def tiff(path: Path, pixels: np.ndarray, **options: Any) -> str:
    tifffile.imwrite(path, pixels, **{"photometric": "rgb", "metadata": None} | options)
    return str(path)


def pixels_of(path: str) -> np.ndarray:
    with ImageReader("s1", path) as slide:
        return slide.read(WHOLE, 0).rgb


def png_header(width: int, height: int, depth: int, colour: int) -> bytes:
    """A PNG whose header and nothing else is right."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    about = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", about) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_jpeg_is_read_as_decoded(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.jpg", Image.fromarray(content()), quality=95)
    np.testing.assert_array_equal(pixels_of(path), np.asarray(Image.open(path)))
    assert np.abs(pixels_of(path).astype(int) - content()).max() < 20


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib", "rowsperstrip": 7}, {"compression": "lzw", "predictor": True}, {"bigtiff": True},
     {"byteorder": ">"}, {"planarconfig": "separate"}, {"tile": (32, 48)}],
)  # fmt: skip
def test_lossless_tiffs_are_read_pixel_by_pixel(options: dict[str, Any], tmp_path: Path) -> None:
    stored = np.moveaxis(content(), 2, 0) if "planarconfig" in options else content()
    np.testing.assert_array_equal(pixels_of(tiff(tmp_path / "a.tif", stored, **options)), content())


def test_a_jpeg_compressed_tiff_is_read_as_rgb(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", content(), compression="jpeg", compressionargs={"level": 95})
    assert np.abs(pixels_of(path).astype(int) - content()).max() < 20


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_alpha_is_kept_as_coverage(kind: str, tmp_path: Path) -> None:
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, :25] = 0
    rgba = np.concatenate([content(), alpha], axis=2)
    path = str(tmp_path / f"a.{kind}")
    _ = (
        saved(Path(path), Image.fromarray(rgba))
        if kind == "png"
        else tiff(Path(path), rgba, extrasamples=["unassalpha"])
    )
    with ImageReader("s1", path) as slide:
        read = slide.read(WHOLE, 0)
    assert read.coverage == pytest.approx(0.75)
    assert (read.rgb[:, :25] == 255).all()
    np.testing.assert_array_equal(read.rgb[:, 25:], content()[:, 25:])


@pytest.mark.parametrize(
    ("mode", "kind", "found"),
    [("L", "png", "8-bit grayscale"), ("L", "jpg", "8-bit grayscale"), ("CMYK", "jpg", "8-bit CMYK"),
     ("LA", "png", "8-bit grayscale with alpha"), ("P", "png", "1-bit indexed colour"), ("I;16", "png", "16-bit grayscale"),
     ("L", "tif", "8-bit MINISBLACK with 1 samples"), ("CMYK", "tif", "8-bit SEPARATED with 4 samples")],
)  # fmt: skip
def test_other_colours_are_named_and_refused(mode: str, kind: str, found: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a.{kind}", Image.new(mode, (WIDTH, HEIGHT)))
    with pytest.raises(SlideFileError, match=f"'s1': .* holds {found}.*wanted 8-bit RGB.*Convert it to 8-bit RGB"):
        ImageReader("s1", path)


def test_sixteen_bits_are_never_cut_to_eight(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_header(30, 20, 16, 2))
    with pytest.raises(SlideFileError, match="holds 16-bit RGB"):
        ImageReader("s1", str(tmp_path / "a.png"))
    with pytest.raises(SlideFileError, match="holds 16-bit RGB with 3 samples"):
        ImageReader("s1", tiff(tmp_path / "a.tif", content().astype(np.uint16)))


def test_colours_that_stand_for_transparency_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(content()), transparency=(0, 0, 77))
    with pytest.raises(SlideFileError, match="holds 8-bit RGB with a transparent colour"):
        ImageReader("s1", path)


def test_premultiplied_alpha_is_refused(tmp_path: Path) -> None:
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    with pytest.raises(SlideFileError, match="4 samples a pixel, extra sample of kind 1"):
        ImageReader("s1", tiff(tmp_path / "a.tif", rgba, extrasamples=["assocalpha"]))


@pytest.mark.parametrize("kind", ["jpg", "png", "tif"])
def test_a_turned_image_is_refused(kind: str, tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    options = {"tiffinfo": turned} if kind == "tif" else {"exif": turned}
    path = saved(tmp_path / f"a.{kind}", Image.fromarray(content()), **options)
    with pytest.raises(SlideFileError, match="stored turned .orientation tag 6, wanted 1.*Save it upright"):
        ImageReader("s1", path)


def test_several_pages_are_refused_but_reduced_ones_do_not_count(tmp_path: Path) -> None:
    for name, reduced in (("two", 0), ("one", 1)):
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            file.write(content(), photometric="rgb", metadata=None)
            file.write(content()[::2, ::2], photometric="rgb", metadata=None, subfiletype=reduced)
    np.testing.assert_array_equal(pixels_of(str(tmp_path / "one.tif")), content())
    with pytest.raises(SlideFileError, match="holds 2 full-resolution pages; wanted one"):
        ImageReader("s1", str(tmp_path / "two.tif"))


def test_too_large_an_image_is_refused_by_its_header_alone(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_header(20_001, 10_000, 8, 2))
    with pytest.raises(SlideFileError, match="20001 x 10000 pixels; at most 200 megapixels .*pyramidal TIFF"):
        open_slide("s1", tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_the_limit_itself_is_allowed(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / f"a.{kind}", Image.fromarray(content()))
    monkeypatch.setattr(image_reader, "MOST_PIXELS", HEIGHT * WIDTH)
    ImageReader("s1", path).close()
    monkeypatch.setattr(image_reader, "MOST_PIXELS", HEIGHT * WIDTH - 1)
    with pytest.raises(SlideFileError, match="100 x 60 pixels"):
        ImageReader("s1", path)


def test_pillows_own_limit_neither_counts_nor_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(content()))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10)
    np.testing.assert_array_equal(pixels_of(path), content())
    assert PIL.Image.MAX_IMAGE_PIXELS == 10


def test_levels_are_averaged_while_both_sides_stay_large(tmp_path: Path) -> None:
    sizes = {(1030, 1023): [1], (1030, 1024): [1, 4], (1024, 1030): [1, 4], (4100, 4096): [1, 4, 16]}
    for (width, height), wanted in sizes.items():
        path = saved(tmp_path / "a.png", Image.new("RGB", (width, height)), compress_level=1)
        with ImageReader("s1", path) as slide:
            assert [level.downsample for level in slide.levels] == wanted
            assert slide.levels[-1].size == Size(width // wanted[-1], height // wanted[-1])


def test_the_thumbnail_is_the_whole_image(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(content(1100, 1300)))
    with ImageReader("s1", path) as slide:
        small = thumbnail("s1", slide, native=0.5, wanted=5.0)
    wanted = content(1100, 1300).reshape(110, 10, 130, 10, 3).mean(axis=(1, 3))
    assert np.abs(small - wanted).max() <= 2


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_dots_per_inch_are_no_resolution(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a.{kind}", Image.fromarray(content()), dpi=(25_400, 25_400))
    with ImageReader("s1", path) as slide:
        assert slide.mpp_candidates == ()
        assert resolution("s1", slide, declared=0.5).source == "manifest"
        with pytest.raises(ResolutionError, match="looked at: image reader, manifest.*manifest column `mpp`"):
            resolution("s1", slide)


@pytest.mark.parametrize(("per_unit", "unit", "mpp", "usable"),
    [((20_000, 40_000), "CENTIMETER", (0.5, 0.25), True), ((300, 150), "INCH", (25_400 / 300, 25_400 / 150), False)],
)  # fmt: skip
def test_tiff_tags_are_listed(
    per_unit: tuple[int, int], unit: str, mpp: tuple[float, float], usable: bool, tmp_path: Path
) -> None:
    path = tiff(tmp_path / "a.tif", content(), resolution=per_unit, resolutionunit=unit)
    assert openslide_format(path) is None
    with ImageReader("s1", path) as slide:
        (found,) = slide.mpp_candidates
    assert (found.x, found.y) == pytest.approx(mpp)
    assert (found.source, found.usable) == ("tiff resolution", usable)


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_pixels_cut_short_are_reported_never_filled_in(kind: str, tmp_path: Path) -> None:
    path = Path(saved(tmp_path / f"a.{kind}", Image.effect_noise((640, 480), 50).convert("RGB")))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_slide("s1", path) as slide:
        read = slide.read(Region(0, 0, 20, 10), 0)
        assert (read.status, read.coverage) == ("unreadable", 0.0)
        with pytest.raises(TileReadError, match="the image reader cannot open .*trunc"):
            thumbnail("s1", slide, native=0.5, wanted=5.0)


def test_strips_that_are_not_in_the_file_are_refused(tmp_path: Path) -> None:
    path = Path(tiff(tmp_path / "a.tif", content(), rowsperstrip=10))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SlideFileError, match="1 of 6 strips or tiles are not in the file"):
        ImageReader("s1", str(path))


def test_threads_share_one_decoded_image(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", Image.fromarray(content()))
    slides = [ImageReader("s1", path) for _ in range(4)]
    threads = [threading.Thread(target=slide.read, args=(WHOLE, 0)) for slide in slides]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(slide._image) for slide in slides}) == 1


def test_a_file_replaced_while_another_reader_is_open_is_decoded_anew(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", content())
    with ImageReader("s1", path) as before:
        before.read(WHOLE, 0)
        tiff(tmp_path / "a.tif", content()[::-1])
        os.utime(path, ns=(1, 1))
        np.testing.assert_array_equal(pixels_of(path), content()[::-1])


def test_the_last_reader_closed_frees_the_pixels(tmp_path: Path) -> None:
    pixels_of(saved(tmp_path / "a.png", Image.fromarray(content())))
    assert not image_reader._held
