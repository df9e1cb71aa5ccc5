"""[hot] From the bytes of one compressed tile to its pixels, with no memory of other tiles.

The results are OpenSlide's to the bit (tests/golden/test_tiff_openslide.py). The decoders release Python's
lock, so threads decode side by side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from wsi_features.errors import one_line
from wsi_features.slides.tiff.fetch import compressed
from wsi_features.slides.tiff.index import TiffIndex
from wsi_features.slides.tiff.jpeg import jpeg_pixels
from wsi_features.slides.tiff.jpeg2000 import jpeg2000_pixels
from wsi_features.slides.tiff.level import Coding, Scheme, TiffLevel

U8 = npt.NDArray[np.uint8]


def decoded(index: TiffIndex, level: TiffLevel, number: int) -> U8 | str:
    """Tile `number` of a level, uint8 (h, w, 3) RGB with what it has beyond the edge, or why it cannot be read.

    `index.file` must be held. A tile that the file does not have (`TileState.MISSING`) is not to be asked for.
    """
    (data,) = compressed(index, level, [number])
    return data if isinstance(data, str) else pixels(data, level.coding)


def pixels(data: bytes, coding: Coding, out: U8 | None = None, reduction: int = 1) -> U8 | str:
    """The pixels that `data` codes, uint8 (h, w, 3) RGB of the size of a whole tile, or why there are none.

    They are written to `out` where one is given, C-contiguous. `reduction` makes JPEG tiles 2, 4 or 8 times smaller.
    """
    if coding.scheme == "JPEG":
        return jpeg_pixels(data, coding.tile, coding.tables, ycbcr=coding.ycbcr, out=out, reduction=reduction)
    found = _other_pixels(data, coding)
    if out is None or isinstance(found, str):
        return found
    out[...] = found
    return out


def _other_pixels(data: bytes, coding: Coding) -> U8 | str:
    if coding.scheme == "JPEG 2000":
        return jpeg2000_pixels(data, coding.tile, ycbcr=coding.ycbcr)
    return _plain_pixels(data, coding)


def _plain_pixels(data: bytes, coding: Coding) -> U8 | str:
    import imagecodecs

    size = coding.tile.area * 3
    try:
        plain = _unpacked(data, coding.scheme, size)
    except RuntimeError as error:  # the base of all of imagecodecs' errors
        return f"its {coding.scheme} data is damaged ({one_line(error)})"
    if len(plain) != size:
        found = "more than" if len(plain) > size else f"{len(plain)} of"
        return f"it holds {found} the {size} bytes of its pixels"
    rgb = np.frombuffer(plain, np.uint8).reshape(coding.tile.height, coding.tile.width, 3)
    return np.asarray(imagecodecs.delta_decode(rgb, axis=1), np.uint8) if coding.predicted else rgb.copy()


def _unpacked(data: bytes, scheme: Scheme, size: int) -> bytes:
    """The bytes that `data` packs. Never more than one above `size` are made, however long they would be."""
    import imagecodecs

    if scheme == "LZW":
        return bytes(imagecodecs.lzw_decode(data, out=size + 1))
    if scheme == "deflate":
        return bytes(imagecodecs.deflate_decode(data, out=size))
    if scheme == "zstd":
        return bytes(imagecodecs.zstd_decode(data, out=size))
    return data[:size]
