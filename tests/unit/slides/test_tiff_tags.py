import io
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Size
from wsi_features.slides.tiff_tags import tiff_form

RGB = np.zeros((96, 160, 3), np.uint8)
GRAY = RGB[..., 0]
FOUR = np.zeros((96, 160, 4), np.uint8)
FIVE = np.zeros((96, 160, 5), np.uint8)


def written(path: Path, pixels: np.ndarray, **how: Any) -> str:
    settings = {"photometric": "rgb", "tile": (32, 48), "metadata": None}
    tifffile.imwrite(path, pixels, **settings | how)
    return str(path)


@pytest.mark.parametrize(
    ("pixels", "how", "bits", "colour"),
    [
        (RGB, {}, 8, "RGB"),
        (RGB.astype(np.uint16), {}, 16, "RGB"),
        (RGB.astype(np.float32), {}, 32, "floating-point RGB"),
        (RGB.view(np.int8), {}, 8, "signed RGB"),
        (RGB, {"photometric": "ycbcr", "compression": "jpeg"}, 8, "YCbCr"),
        (RGB, {"photometric": "cielab"}, 8, "CIELab"),
        (GRAY, {"photometric": "minisblack"}, 8, "grayscale"),
        (GRAY, {"photometric": "miniswhite"}, 8, "grayscale"),
        (GRAY, {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}, 8, "indexed colour"),
        (FOUR, {"photometric": "separated"}, 8, "CMYK"),
        (FOUR, {"extrasamples": ["unassalpha"]}, 8, "RGBA"),
        (FOUR, {"extrasamples": ["assocalpha"]}, 8, "RGBA"),
        (FOUR, {"extrasamples": ["unspecified"]}, 8, "RGB with 1 extra sample of unstated meaning"),
        (FIVE, {"extrasamples": ["unassalpha", "unspecified"]}, 8, "RGB with 2 extra samples"),
    ],
)
def test_bits_and_colour_are_those_of_the_file(
    pixels: np.ndarray, how: dict[str, Any], bits: int, colour: str, tmp_path: Path
) -> None:
    form = tiff_form(written(tmp_path / "a.tif", pixels, **how))
    assert form is not None
    assert (form.bits, form.colour) == (bits, colour)


@pytest.mark.parametrize("container", [{"byteorder": "<"}, {"byteorder": ">"}, {"bigtiff": True, "byteorder": ">"}])
def test_byte_order_and_offset_width_do_not_matter(container: dict[str, Any], tmp_path: Path) -> None:
    form = tiff_form(written(tmp_path / "a.tif", FOUR, extrasamples=["unassalpha"], compression="lzw", **container))
    assert form is not None
    assert (form.colour, form.bits, form.compression) == ("RGBA", 8, "LZW")


@pytest.mark.parametrize(
    ("name", "wanted"), [("jpeg", "JPEG"), ("zlib", "deflate"), ("aperio_jp2000_rgb", "JPEG 2000"), (None, "none")]
)
def test_the_compression_is_named(name: str | None, wanted: str, tmp_path: Path) -> None:
    form = tiff_form(written(tmp_path / "a.tif", RGB, compression=name))
    assert form is not None
    assert form.compression == wanted


def test_a_tile_is_width_by_height(tmp_path: Path) -> None:
    form = tiff_form(written(tmp_path / "a.tif", RGB))
    assert form is not None
    assert (form.tile, form.notes) == (Size(48, 32), ())


def test_tiles_of_an_odd_size_are_noted(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", RGB)
    content = Path(path).read_bytes()
    wide, odd = (struct.pack("<HHII", 322, 4, 1, width) for width in (48, 50))
    short = struct.pack("<HHIH", 322, 3, 1, 48)
    Path(path).write_bytes(content.replace(wide, odd).replace(short, struct.pack("<HHIH", 322, 3, 1, 50)))
    form = tiff_form(path)
    assert form is not None
    assert form.tile == Size(50, 32)
    assert "tiles of 50 x 32 pixels" in form.notes[0]


def test_strips_planes_and_transparency_are_noted(tmp_path: Path) -> None:
    strips = tiff_form(written(tmp_path / "a.tif", RGB, tile=None))
    planes = tiff_form(written(tmp_path / "b.tif", np.moveaxis(RGB, 2, 0), planarconfig="separate"))
    alpha = tiff_form(written(tmp_path / "c.tif", FOUR, extrasamples=["unassalpha"]))
    assert strips is not None
    assert planes is not None
    assert alpha is not None
    assert (strips.tile, strips.notes) == (None, ("the image is stored in strips, not in tiles",))
    assert planes.notes == ("each colour is stored apart (planar)",)
    assert "not scanned" in alpha.notes[0]


def test_level_0_is_described_whatever_lies_around_it(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GRAY[:48], photometric="minisblack", tile=(16, 16), metadata=None)
        tiff.write(RGB, photometric="rgb", tile=(32, 48), metadata=None)
        tiff.write(np.zeros((500, 900), np.uint8), photometric="minisblack", metadata=None)  # a macro image in strips
    form = tiff_form(str(tmp_path / "a.tif"))
    assert form is not None
    assert (form.colour, form.tile) == ("RGB", Size(48, 32))


@pytest.mark.parametrize("content", [b"", b"II", b"II*\0", b"not a slide at all", b"II*\0\x08\0\0\0\xff\xff"])
def test_what_is_no_tiff_has_no_form(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(content)
    assert tiff_form(str(tmp_path / "a.tif")) is None


def test_a_file_that_is_not_there_has_no_form(tmp_path: Path) -> None:
    assert tiff_form(str(tmp_path / "gone.tif")) is None


def test_directories_before_the_damage_count(tmp_path: Path) -> None:
    path = Path(written(tmp_path / "a.tif", RGB.astype(np.uint16)))
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * count, 0xFFFFFFF0)  # the next directory, beyond the end
    path.write_bytes(content)
    form = tiff_form(str(path))
    assert form is not None
    assert form.bits == 16


def test_a_chain_that_bites_its_tail_ends(tmp_path: Path) -> None:
    path = Path(written(tmp_path / "a.tif", RGB))
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    path.write_bytes(content)
    began = time.process_time()
    form = tiff_form(str(path))
    assert form is not None
    assert form.colour == "RGB"
    assert time.process_time() - began < 0.5


def whole_file(**how: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, RGB[:32, :48], photometric="rgb", tile=(16, 16), metadata=None, **how)
    return file.getvalue()


WHOLE = [whole_file(), whole_file(bigtiff=True), whole_file(byteorder=">")]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(WHOLE),
    st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=8)), max_size=4),
    st.integers(0, 3000),
)
def test_no_damage_raises(tmp_path: Path, whole: bytes, changes: list[tuple[int, bytes]], length: int) -> None:
    content = bytearray(whole)
    for position, new in changes:
        content[position : position + len(new)] = new
    (tmp_path / "a.tif").write_bytes(content[:length])
    form = tiff_form(str(tmp_path / "a.tif"))
    assert form is None or form.bits >= 0
