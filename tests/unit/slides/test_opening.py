import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides import open_slide


def tiled_tiff(path: Path) -> np.ndarray:
    """A pyramidal TIFF of 512 x 256 pixels with a gradient along x in red and along y in green."""
    y, x = np.mgrid[:256, :512]
    pixels = np.stack([x // 2, y, np.full_like(x, 77)], axis=2).astype(np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, tile=(128, 128), photometric="rgb", compression="zlib")
        tiff.write(pixels[::2, ::2], tile=(128, 128), photometric="rgb", compression="zlib", subfiletype=1)
    return pixels


def with_a_broken_tile(path: Path) -> None:
    """Overwrite the last tile of level 0, at x 384 to 511, y 128 to 255."""
    with tifffile.TiffFile(path) as tiff:
        offset, length = tiff.pages[0].dataoffsets[-1], tiff.pages[0].databytecounts[-1]
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = b"\xff" * length
    path.write_bytes(content)


def test_a_tiled_tiff_is_read_pixel_by_pixel(tmp_path: Path) -> None:
    pixels = tiled_tiff(tmp_path / "a.tif")
    with open_slide("a", tmp_path / "a.tif") as slide:
        assert slide.reader == "tiff"
        assert slide.mpp_candidates == ()
        read = slide.read(Region(100, 30, 60, 20), 0)
    assert read.coverage == 1.0
    np.testing.assert_array_equal(read.rgb, pixels[30:50, 100:160])


def test_the_suffix_does_not_matter(tmp_path: Path) -> None:
    tiled_tiff(tmp_path / "slide.dat")
    open_slide("a", tmp_path / "slide.dat").close()


def test_a_missing_file_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(SlideFileError, match=r"slide 's1': no file at .*gone.svs.*Correct the `path`"):
        open_slide("s1", tmp_path / "gone.svs")


def test_an_empty_file_asks_for_a_new_copy(tmp_path: Path) -> None:
    (tmp_path / "a.svs").touch()
    with pytest.raises(SlideFileError, match="has 0 bytes. Copy the slide again"):
        open_slide("s1", tmp_path / "a.svs")


def test_text_named_svs_is_called_text(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_text("this is no slide\n")
    with pytest.raises(SlideFileError, match="not a slide that any reader knows .it holds plain text"):
        open_slide("s1", tmp_path / "a.svs")


def test_other_content_shows_its_first_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(b"\x00\x01\x02\x03")
    with pytest.raises(SlideFileError, match="not a slide that any reader knows .it starts with the bytes 00 01 02 03"):
        open_slide("s1", tmp_path / "a.svs")


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*\0\0\0\x08\0\x01"])
def test_an_image_cut_short_in_its_header_is_refused_with_the_readers_reason(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.svs").write_bytes(head)
    with pytest.raises(
        SlideFileError, match=r"the (image|TIFF) reader cannot open .*a.svs' \(.+\). .*copy or export it again"
    ):
        open_slide("s1", tmp_path / "a.svs")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_plain_image_is_known_by_its_content(suffix: str, tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), "pink").save(tmp_path / f"image.{suffix}")
    (tmp_path / f"image.{suffix}").rename(tmp_path / "a.svs")
    with open_slide("s1", tmp_path / "a.svs") as slide:
        assert (slide.reader, slide.levels[0].size) == ("image", Size(60, 40))


def test_a_tiled_tiff_of_one_level_is_a_slide_and_no_plain_image(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((128, 256, 3), np.uint8), tile=(64, 64), photometric="rgb")
    with open_slide("s1", tmp_path / "a.tif") as slide:
        assert slide.reader == "tiff"


def test_pipes_and_folders_are_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.svs")
    with pytest.raises(SlideFileError, match="is a pipe, not a regular file"):
        open_slide("s1", tmp_path / "pipe.svs")
    with pytest.raises(SlideFileError, match="is a folder"):
        open_slide("s1", tmp_path)


def test_an_undecodable_tile_is_reported_never_filled_in(tmp_path: Path) -> None:
    tiled_tiff(tmp_path / "a.tif")
    with_a_broken_tile(tmp_path / "a.tif")
    with open_slide("a", tmp_path / "a.tif") as slide:
        assert slide.read(Region(384, 128, 128, 128), 0).status == "unreadable"


def test_a_good_region_is_still_read_after_a_bad_one(tmp_path: Path) -> None:
    pixels = tiled_tiff(tmp_path / "a.tif")
    with_a_broken_tile(tmp_path / "a.tif")
    with open_slide("a", tmp_path / "a.tif") as slide:
        bad = slide.read(Region(384, 128, 128, 128), 0)
        good = slide.read(Region(10, 20, 50, 40), 0)
    assert bad.reason
    np.testing.assert_array_equal(good.rgb, pixels[20:60, 10:60])


def test_a_file_cut_short_is_refused_with_the_readers_reason(tmp_path: Path) -> None:
    tiled_tiff(tmp_path / "a.tif")
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        SlideFileError, match="slide 's1': the TIFF reader cannot open .*a directory lies beyond the end of the file"
    ):
        open_slide("s1", tmp_path / "a.tif")
