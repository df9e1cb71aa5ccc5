"""JPEG tiles: what their header says, and their pixels.

Tiles of a TIFF may leave their tables to the directory, and mostly carry no mark of their colours: the directory's
photometric tag decides, whatever the marks in the stream say (OpenSlide does the same). All that libjpeg
warns of is damage, as it is for OpenSlide: the pixels after it would be invented.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from wsi_features.errors import one_line
from wsi_features.geometry import Size

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DQT, _DHT, _SOS, _APP0, _APP14 = 0xDB, 0xC4, 0xDA, 0xE0, 0xEE
_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Baseline, extended and progressive, Huffman or arithmetic: what is decoded here."""
_OTHER_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
"""Lossless and hierarchical."""
_SAMPLINGS = frozenset({(1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4)})
_RGB_IDS = b"RGB"
_SCAN = b"\xff\xda"
_BROKEN = "its JPEG header is broken"


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a stream says of itself: its frame, and whether libjpeg would take its samples for Y, Cb, Cr.

    `sampling` is how many samples of the first component fall on one of the others, across and down;
    (0, 0) where these differ. `known` says that the frame is of a kind that is decoded here.
    """

    known: bool
    size: Size
    bits: int
    components: int
    sampling: tuple[int, int]
    ycbcr: bool


def jpeg_header(data: bytes) -> JpegHeader | None:
    """The header of a stream, or None where it is broken or not there to its end."""
    frame, known, jfif, adobe = b"", False, False, -1
    for marker, start, end in _segments(data):
        if marker in _FRAMES or marker in _OTHER_FRAMES:
            frame, known = data[start + 4 : end], marker in _FRAMES
        elif marker == _APP0:
            jfif = jfif or data[start + 4 : start + 9] == b"JFIF\0"
        elif marker == _APP14 and data[start + 4 : start + 9] == b"Adobe" and end >= start + 16:
            adobe = data[start + 15]
        elif marker == _SOS:
            return _header(frame, known=known, ycbcr=_taken_for_ycbcr(frame, jfif=jfif, adobe=adobe))
    return None


def jpeg_mismatch(header: JpegHeader, tile: Size) -> str:
    """In what a stream differs from the tile that the directory promises, empty where in nothing."""
    if not header.known:
        return "JPEG of a kind that is not decoded here"
    if header.size != tile:
        found = f"{header.size.width} x {header.size.height}"
        return f"JPEG of {found} pixels, not of {tile.width} x {tile.height}"
    if (header.components, header.bits) != (3, 8):
        return f"JPEG of {header.components} samples of {header.bits} bits a pixel, not 3 of 8"
    if header.sampling not in _SAMPLINGS:
        return "JPEG with a colour sampling that is not decoded here"
    return ""


def jpeg_pixels(
    data: bytes,
    tile: Size,
    tables: bytes,
    *,
    ycbcr: bool,
    out: npt.NDArray[np.uint8] | None = None,
    reduction: int = 1,
) -> npt.NDArray[np.uint8] | str:
    """The pixels of one tile, uint8 (h, w, 3) RGB, or why there are none. `tables` may be empty.

    They are written to `out` where one is given, C-contiguous. A `reduction` of 2, 4 or 8 is part of the inverse
    cosine transform; `tile` must be a multiple of it.
    """
    from simplejpeg import decode_jpeg

    stream = jpeg_stream(data, tile, tables, ycbcr=ycbcr)
    if isinstance(stream, str):
        return stream
    try:
        rgb: npt.NDArray[np.uint8] = decode_jpeg(stream, "RGB", **_scaled(tile, reduction), buffer=out)
    except ValueError as error:
        return one_line(error)
    return rgb


def jpeg_stream(data: bytes, tile: Size, tables: bytes, *, ycbcr: bool) -> bytes | str:
    """The JPEG file, complete with its tables and the right mark of its colours, that `data` stands for, or why none."""
    head = _to_scan(data, data.find(_SCAN))
    why, start = _opening(head, tile, tables, ycbcr)
    if why == _BROKEN:  # a table may hold the two bytes that a scan begins with
        head = _to_scan(data, max((at for marker, at, _ in _segments(data) if marker == _SOS), default=-1))
        why, start = _opening(head, tile, tables, ycbcr)
    if why:
        return why
    return data if start == head else start + data[len(head) :]


def _scaled(tile: Size, reduction: int) -> dict[str, int]:
    """What simplejpeg must be told: `min_factor` alone does nothing."""
    if reduction == 1:
        return {}
    return {"min_width": tile.width // reduction, "min_height": tile.height // reduction, "min_factor": reduction}


def _header(frame: bytes, *, known: bool, ycbcr: bool) -> JpegHeader | None:
    if len(frame) < 6 or len(frame) != 6 + 3 * frame[5] or not frame[5]:
        return None
    size = Size(frame[3] << 8 | frame[4], frame[1] << 8 | frame[2])
    return JpegHeader(known, size, frame[0], frame[5], _sampling(frame[7::3]), ycbcr)


def _taken_for_ycbcr(frame: bytes, *, jfif: bool, adobe: int) -> bool:
    """What libjpeg makes of the marks of a stream, in its order."""
    if jfif:
        return True
    return adobe != 0 if adobe >= 0 else frame[6::3] != _RGB_IDS


def _sampling(factors: bytes) -> tuple[int, int]:
    if len(set(factors[1:])) != 1:
        return (0, 0)
    across, down = factors[0] >> 4, factors[0] & 15
    other_across, other_down = factors[1] >> 4, factors[1] & 15
    if not other_across or not other_down or across % other_across or down % other_down:
        return (0, 0)
    return across // other_across, down // other_down


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment of a header, up to the first scan; ends early where it is broken."""
    at, length = 2, len(data)
    if data[:2] != _SOI:
        return
    while at + 4 <= length and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # any number of fill bytes may stand before a marker
            at += 1
            continue
        end = at + 2 + (data[at + 2] << 8 | data[at + 3])
        if end > length or end < at + 4:
            return
        yield marker, at, end
        if marker == _SOS:
            return
        at = end


def _to_scan(data: bytes, scan: int) -> bytes:
    """The stream up to the end of the header of the scan that begins at `scan`."""
    return data[: scan + 2 + (data[scan + 2] << 8 | data[scan + 3])] if 0 < scan < len(data) - 3 else b""


@lru_cache(maxsize=256)
def _opening(head: bytes, tile: Size, tables: bytes, ycbcr: bool) -> tuple[str, bytes]:
    """Why a stream that begins like this has no pixels for the tile, or how it must begin to be decoded as it should.

    Tiles of a level mostly begin alike, and to look at it takes as long as 8 % of decoding (measured).
    """
    header = jpeg_header(head)
    if header is None:
        return _BROKEN, b""
    start = head if header.ycbcr == ycbcr else _recoloured(head, ycbcr=ycbcr)
    return jpeg_mismatch(header, tile), b"".join((_SOI, _shared(tables), start[2:])) if tables else start


def _recoloured(head: bytes, *, ycbcr: bool) -> bytes:
    """The head of a stream with one mark of its colours that libjpeg heeds, instead of those it has."""
    mark = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + (b"\x01" if ycbcr else b"\x00")
    kept = [head[start:end] for marker, start, end in _segments(head) if marker not in {_APP0, _APP14}]
    return b"".join((_SOI, mark, *kept))


def _shared(tables: bytes) -> bytes:
    """The tables of a directory without all that does not carry over to the tiles."""
    stream = tables.removesuffix(_EOI) + b"\xff\xda\x00\x02"  # so that it ends as a header does
    return b"".join(stream[start:end] for marker, start, end in _segments(stream) if marker in {_DQT, _DHT})
