"""Directories of TIFF files: both byte orders and sizes, and files that lie about them."""

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from wsi_features.slides.tiff.file import SharedFile
from wsi_features.slides.tiff.ifd import Directory, NotDirectError, directories


def read(path: Path) -> list[Directory]:
    file = SharedFile(str(path))
    file.retain()  # values are read when asked for; the file is closed when the test lets go of it
    return list(directories(file))


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def classic(path: Path, *entries: bytes, following: int = 0, tags: int | None = None) -> Path:
    """A little-endian TIFF of one directory at byte 8, cut after it."""
    body = struct.pack("<H", len(entries) if tags is None else tags) + b"".join(entries) + struct.pack("<I", following)
    return written(path, b"II*\0" + struct.pack("<I", 8) + body)


def entry(tag: int, kind: int, count: int, value: int) -> bytes:
    return struct.pack("<HHII", tag, kind, count, value)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_values_are_those_that_were_written(tmp_path: Path, byteorder: str, bigtiff: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 500, 3)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif", byteorder=byteorder, bigtiff=bigtiff) as tiff:
        for about in ("first", "second"):
            tiff.write(pixels, tile=(32, 64), photometric="rgb", description=about, resolution=(3.5, 7), metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        wanted = [(page.dataoffsets, page.databytecounts) for page in tiff.pages]
    found = read(tmp_path / "a.tif")
    assert [(tuple(d.numbers(324)), tuple(d.numbers(325))) for d in found] == wanted
    assert [(d.number(256, 0), d.number(257, 0), d.ratio(282), d.text(270)) for d in found] == [
        (500, 300, 3.5, "first"),
        (500, 300, 3.5, "second"),
    ]


def test_absent_tags_have_no_values(tmp_path: Path) -> None:
    (found,) = read(classic(tmp_path / "a.tif", entry(256, 3, 1, 40)))
    assert 256 in found
    assert 257 not in found
    assert (found.number(257, 7), found.numbers(324).size, found.text(270), found.ratio(282)) == (7, 0, "", None)


def test_of_a_tag_that_comes_twice_the_first_counts(tmp_path: Path) -> None:
    (found,) = read(classic(tmp_path / "a.tif", entry(256, 3, 1, 40), entry(256, 3, 1, 50)))
    assert found.number(256, 0) == 40


def test_a_type_from_the_future_is_passed_over(tmp_path: Path) -> None:
    (found,) = read(classic(tmp_path / "a.tif", entry(256, 99, 1, 40), entry(257, 4, 1, 50)))
    assert (256 in found, found.number(257, 0)) == (False, 50)


def test_inner_directories_are_found(tmp_path: Path) -> None:
    pixels = np.zeros((64, 128, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(pixels, subifds=2, metadata=None)
        tiff.write(pixels[:32, :64], metadata=None)
        tiff.write(pixels[:16, :32], metadata=None)
    (top,) = read(tmp_path / "a.tif")
    assert [(inner.number(256, 0), inner.number(257, 0)) for inner in top.inner(330)] == [(64, 32), (32, 16)]


@pytest.mark.parametrize(
    "data",
    [b"", b"II*", b"PK\3\4aaaaaaaaaaaa", b"II\x2b\0\x08\0\0\0", b"IM*\0\0\0\0\0", b"II\x2b\0\4\0\0\0" + bytes(8)],
)
def test_what_is_no_tiff_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(NotDirectError, match="not a TIFF"):
        read(written(tmp_path / "a.tif", data))


def test_a_tiff_without_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotDirectError, match="no directory"):
        read(written(tmp_path / "a.tif", b"II*\0" + bytes(8)))


def test_directories_in_a_circle_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotDirectError, match="run in a circle"):
        read(classic(tmp_path / "a.tif", entry(256, 3, 1, 40), following=8))


def test_a_directory_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotDirectError, match="directory lies beyond the end"):
        read(classic(tmp_path / "a.tif", entry(256, 3, 1, 40), tags=3))


def test_a_chain_that_leads_out_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotDirectError, match="directory lies beyond the end"):
        read(classic(tmp_path / "a.tif", entry(256, 3, 1, 40), following=4_000_000_000))


@pytest.mark.parametrize("tags", [0, 5000])
def test_directories_of_no_or_absurdly_many_tags_are_refused(tmp_path: Path, tags: int) -> None:
    with pytest.raises(NotDirectError, match=f"a directory of {tags} tags"):
        read(classic(tmp_path / "a.tif", *[entry(256, 3, 1, 40)] * 3, tags=tags))


def test_an_endless_chain_ends(tmp_path: Path) -> None:
    step = 2 + 12 + 4
    chain = (struct.pack("<H", 1) + entry(256, 3, 1, 4) + struct.pack("<I", 8 + step * (k + 1)) for k in range(17_000))
    with pytest.raises(NotDirectError, match="more than 16384 directories"):
        read(written(tmp_path / "a.tif", b"II*\0" + struct.pack("<I", 8) + b"".join(chain)))


@pytest.mark.parametrize(("tag", "kind"), [(256, 4), (270, 2), (34675, 7)])
def test_a_tag_of_huge_count_is_refused_without_reading_it(tmp_path: Path, tag: int, kind: int) -> None:
    (found,) = read(classic(tmp_path / "a.tif", entry(tag, kind, 4_000_000_000, 8)))
    with pytest.raises(NotDirectError, match=f"tag {tag} has 4000000000"):
        found.raw(tag) if kind != 4 else found.numbers(tag)


def test_values_beyond_the_end_of_the_file_are_refused(tmp_path: Path) -> None:
    (found,) = read(classic(tmp_path / "a.tif", entry(324, 4, 100, 8)))
    with pytest.raises(NotDirectError, match="values of tag 324 end beyond the end of the file"):
        found.numbers(324)


def test_a_size_given_as_text_is_refused(tmp_path: Path) -> None:
    (found,) = read(classic(tmp_path / "a.tif", entry(256, 2, 1, 40)))
    with pytest.raises(NotDirectError, match="tag 256 is not of whole numbers"):
        found.number(256, 0)


def test_positions_of_64_bits_do_not_turn_negative(tmp_path: Path) -> None:
    head = b"II\x2b\0\x08\0\0\0" + struct.pack("<QQHHQQQ", 16, 1, 324, 16, 1, 2**64 - 1, 0)
    (found,) = read(written(tmp_path / "a.tif", head))
    assert found.numbers(324).tolist() == [2**62]


def test_the_file_is_open_only_while_it_is_held(tmp_path: Path) -> None:
    file = SharedFile(str(written(tmp_path / "a", b"0123456789")))
    file.retain()
    with file.held():
        assert (file.read(2, 3), file.size) == (b"234", 10)
    assert file.read(8, 100) == b"89"
    file.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.read(0, 1)


def test_a_file_that_was_replaced_is_not_opened_again(tmp_path: Path) -> None:
    file = SharedFile(str(written(tmp_path / "a", b"0123456789")))
    with file.held():
        pass
    written(tmp_path / "b", b"abcdefghij").replace(tmp_path / "a")
    with pytest.raises(OSError, match="has changed since it was opened"):
        file.retain()
