"""From the bytes of one compressed tile to its pixels, or to the reason why there are none."""

import struct
from typing import Any

import imagecodecs
import numpy as np
import pytest

from wsi_features.geometry import Size
from wsi_features.slides.tiff.decode import pixels
from wsi_features.slides.tiff.jpeg import jpeg_header
from wsi_features.slides.tiff.level import Coding, Scheme

TILE = Size(64, 32)


def photo(size: Size = TILE) -> np.ndarray:
    y, x = np.mgrid[: size.height, : size.width]
    return np.stack([x * 255 // size.width, y * 255 // size.height, (x // 8 + y // 8) % 2 * 90 + 80], 2).astype(
        np.uint8
    )


def jpeg(size: Size = TILE, *, ycbcr: bool = True, subsampling: str = "444") -> bytes:
    how = {"colorspace": "RGB", "outcolorspace": "YCBCR" if ycbcr else "RGB", "subsampling": subsampling}
    return bytes(imagecodecs.jpeg8_encode(photo(size), 95, **how))


def coding(scheme: Scheme = "JPEG", **other: Any) -> Coding:
    return Coding(scheme, TILE, **{"ycbcr": scheme == "JPEG"} | other)


def close(found: np.ndarray | str, most: int = 12) -> bool:
    return not isinstance(found, str) and int(np.abs(found.astype(int) - photo()).max()) <= most


def marked(stream: bytes, segment: bytes) -> bytes:
    """The stream with one more segment behind its start and without its JFIF mark."""
    jfif = stream[2:4] == b"\xff\xe0"
    return stream[:2] + segment + stream[2 + (2 + int.from_bytes(stream[4:6]) if jfif else 0) :]


ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00"
ADOBE_YCC = ADOBE_RGB[:-1] + b"\x01"
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


@pytest.mark.parametrize("mark", [b"", JFIF, ADOBE_RGB, ADOBE_YCC, b"\xff" + JFIF])
@pytest.mark.parametrize("ycbcr", [True, False])
def test_the_directory_says_the_colours_whatever_the_stream_says(mark: bytes, ycbcr: bool) -> None:
    plain = marked(jpeg(ycbcr=ycbcr), b"")
    wanted = pixels(marked(plain, ADOBE_YCC if ycbcr else ADOBE_RGB), coding(ycbcr=ycbcr))
    assert close(wanted)
    np.testing.assert_array_equal(pixels(marked(plain, mark), coding(ycbcr=ycbcr)), wanted)


def test_colours_taken_for_others_are_far_off() -> None:
    assert not close(pixels(jpeg(ycbcr=True), coding(ycbcr=False)), most=60)
    assert not close(pixels(jpeg(ycbcr=False), coding(ycbcr=True)), most=60)


@pytest.mark.parametrize("ycbcr", [True, False])
def test_a_comment_with_the_bytes_of_a_scan_is_no_scan(ycbcr: bool) -> None:
    commented = marked(jpeg(ycbcr=ycbcr), b"\xff\xfe\x00\x0a\xff\xda\x00\x04\x00\x00\x00\x00")
    wanted = pixels(jpeg(ycbcr=ycbcr), coding(ycbcr=ycbcr))
    assert close(wanted)
    np.testing.assert_array_equal(pixels(commented, coding(ycbcr=ycbcr)), wanted)


def test_tables_may_lie_in_the_directory() -> None:
    stream = jpeg()
    header, at, tables, bare = 2, 2, b"", b"\xff\xd8"
    while stream[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(stream[at + 2 : at + 4])
        tables, bare = (
            (tables + stream[at:end], bare) if stream[at + 1] in {0xDB, 0xC4} else (tables, bare + stream[at:end])
        )
        at = end
    bare += stream[at:]
    shared = stream[:header] + ADOBE_RGB + tables + b"\xff\xd9"
    np.testing.assert_array_equal(pixels(bare, coding(tables=shared)), pixels(stream, coding()))
    assert isinstance(pixels(bare, coding()), str)


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411"])
def test_the_header_tells_the_sampling_of_colours(subsampling: str) -> None:
    header = jpeg_header(jpeg(subsampling=subsampling))
    assert header is not None
    wanted = {"444": (1, 1), "422": (2, 1), "420": (2, 2), "440": (1, 2), "411": (4, 1)}
    assert (header.sampling, header.size, header.components, header.bits) == (wanted[subsampling], TILE, 3, 8)


JPEG_DAMAGE: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "header is broken"),
    "zeros": (bytes(500), "header is broken"),
    "header only": (jpeg()[:300], "header is broken"),
    "half": (jpeg()[: len(jpeg()) * 3 // 4], "Premature end"),
    "no end": (jpeg()[:-2], "Premature end"),
    "other size": (jpeg(Size(32, 64)), "JPEG of 32 x 64 pixels, not of 64 x 32"),
    "grayscale": (
        bytes(imagecodecs.jpeg8_encode(photo()[..., 0].copy(), 90)),
        "1 samples of 8 bits a pixel, not 3 of 8",
    ),
    "zeros within": (jpeg()[:-300] + bytes(298) + jpeg()[-2:], "Corrupt JPEG data"),
    "12 bits": (jpeg().replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), "3 samples of 12 bits"),
    "lossless": (jpeg().replace(b"\xff\xc0\x00\x11", b"\xff\xc3\x00\x11"), "of a kind that is not decoded here"),
    "sampling": (
        jpeg().replace(b"\x02\x11\x01\x03\x11\x01", b"\x02\x11\x01\x03\x21\x01"),
        "colour sampling that is not decoded",
    ),
}


@pytest.mark.parametrize("name", JPEG_DAMAGE)
def test_damaged_jpeg_is_a_reason(name: str) -> None:
    data, reason = JPEG_DAMAGE[name]
    found = pixels(data, coding())
    assert isinstance(found, str)
    assert reason in found


PACKED: dict[Scheme, bytes] = {
    "none": photo().tobytes(),
    "LZW": bytes(imagecodecs.lzw_encode(photo().tobytes())),
    "deflate": bytes(imagecodecs.zlib_encode(photo().tobytes())),
    "zstd": bytes(imagecodecs.zstd_encode(photo().tobytes())),
    "JPEG 2000": bytes(imagecodecs.jpeg2k_encode(photo(), level=0, codecformat="J2K")),
}


@pytest.mark.parametrize("scheme", PACKED)
def test_lossless_tiles_come_back_as_they_were(scheme: Scheme) -> None:
    np.testing.assert_array_equal(pixels(PACKED[scheme], coding(scheme)), photo())


@pytest.mark.parametrize("scheme", [*PACKED, "JPEG"])
def test_pixels_belong_to_the_caller(scheme: Scheme) -> None:
    found = pixels(PACKED.get(scheme, jpeg()), coding(scheme))
    assert not isinstance(found, str)
    assert (found.flags.writeable, found.flags.c_contiguous) == (True, True)


@pytest.mark.parametrize("scheme", ["LZW", "deflate", "zstd"])
def test_predicted_tiles_come_back_as_they_were(scheme: Scheme) -> None:
    differences = np.diff(photo(), axis=1, prepend=np.zeros((TILE.height, 1, 3), np.uint8))
    pack = {"LZW": imagecodecs.lzw_encode, "deflate": imagecodecs.zlib_encode, "zstd": imagecodecs.zstd_encode}[scheme]
    found = pixels(bytes(pack(differences.tobytes())), coding(scheme, predicted=True))
    np.testing.assert_array_equal(found, photo())


@pytest.mark.parametrize("scheme", PACKED)
def test_half_of_a_tile_is_a_reason(scheme: Scheme) -> None:
    found = pixels(PACKED[scheme][: len(PACKED[scheme]) // 2], coding(scheme))
    assert isinstance(found, str)
    assert "damaged" in found or "cut short" in found or "of the 6144 bytes" in found


@pytest.mark.parametrize(
    ("scheme", "pack"),
    [("LZW", imagecodecs.lzw_encode), ("deflate", imagecodecs.zlib_encode), ("zstd", imagecodecs.zstd_encode)],
)
def test_a_tile_that_unpacks_to_more_than_its_pixels_is_a_reason(scheme: Scheme, pack: Any) -> None:
    found = pixels(bytes(pack(bytes(50_000_000))), coding(scheme))
    assert isinstance(found, str)
    assert "more than the 6144 bytes" in found or "damaged" in found


def test_a_flipped_bit_in_deflate_is_found_by_its_checksum() -> None:
    stored = bytes(imagecodecs.zlib_encode(photo().tobytes(), level=0))
    bad = bytearray(stored)
    bad[3000] ^= 1
    assert "damaged" in str(pixels(bytes(bad), coding("deflate")))


@pytest.mark.parametrize("lost", [2, 20])
def test_jpeg_2000_without_its_end_is_a_reason(lost: int) -> None:
    assert pixels(PACKED["JPEG 2000"][:-lost], coding("JPEG 2000")) == "its JPEG 2000 data is cut short"
    assert not isinstance(pixels(PACKED["JPEG 2000"] + bytes(3), coding("JPEG 2000")), str)


@pytest.mark.parametrize(
    ("position", "value", "reason"),
    [(8, 65, "JPEG 2000 of 65 x 32 pixels, not of 64 x 32"), (12, 33, "of 64 x 33"), (16, 1, "JPEG 2000 of 64 x 32")],
)
def test_jpeg_2000_of_another_size_is_a_reason(position: int, value: int, reason: str) -> None:
    bad = bytearray(PACKED["JPEG 2000"])
    struct.pack_into(">I", bad, position, value)
    assert reason in str(pixels(bytes(bad), coding("JPEG 2000")))


def test_jpeg_2000_of_halved_colours_is_a_reason() -> None:
    bad = bytearray(PACKED["JPEG 2000"])
    at = bad.index(b"\x07\x01\x01\x07\x01\x01")
    bad[at + 4] = 2
    assert "colour sampling or depth that is not decoded here" in str(pixels(bytes(bad), coding("JPEG 2000")))


def test_jpeg_2000_of_luma_and_chroma_becomes_rgb() -> None:
    import cv2

    ycc = np.ascontiguousarray(cv2.cvtColor(photo(), cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]])
    stream = bytes(imagecodecs.jpeg2k_encode(ycc, level=0, codecformat="J2K", mct=False))
    assert close(pixels(stream, coding("JPEG 2000", ycbcr=True)), most=2)
    assert not close(pixels(stream, coding("JPEG 2000")), most=60)
