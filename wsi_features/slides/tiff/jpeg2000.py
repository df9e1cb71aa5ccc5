"""JPEG 2000 tiles: what their header says, and their pixels.

Tiles are bare code streams. Colours of a lower sampling, as old Aperio scanners wrote them, are not decoded here.
"""

from __future__ import annotations

import struct
from functools import cache

import numpy as np
import numpy.typing as npt

from wsi_features.errors import one_line
from wsi_features.geometry import Size

_START = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"
_SIZES = struct.Struct(">HHIIIIIIIIH")
_EACH = b"\x07\x01\x01"
"""What the header says of a component of 8 bits that is sampled at every pixel."""


def jpeg2000_mismatch(data: bytes, tile: Size) -> str:
    """In what a stream differs from the tile that the directory promises, empty where in nothing."""
    start = len(_START)
    if data[:start] != _START or len(data) < start + _SIZES.size + len(_EACH):
        return "its JPEG 2000 header is broken"
    _, _, width, height, left, top, *_, components = _SIZES.unpack_from(data, start)
    if (width, height, left, top) != (tile.width, tile.height, 0, 0):
        return f"JPEG 2000 of {width} x {height} pixels, not of {tile.width} x {tile.height}"
    if components != 3:
        return f"JPEG 2000 of {components} samples a pixel, not 3"
    each = data[start + _SIZES.size :][: 3 * len(_EACH)]
    return "" if each == 3 * _EACH else "JPEG 2000 with a colour sampling or depth that is not decoded here"


def jpeg2000_pixels(data: bytes, tile: Size, *, ycbcr: bool) -> npt.NDArray[np.uint8] | str:
    """The pixels of one tile, uint8 (h, w, 3) RGB, or why there are none."""
    import imagecodecs

    if mismatch := jpeg2000_mismatch(data, tile):
        return mismatch
    if not data.rstrip(b"\0").endswith(_END):
        return "its JPEG 2000 data is cut short"  # OpenJPEG would make a coarser image of what is there
    try:
        found: npt.NDArray[np.uint8] = imagecodecs.jpeg2k_decode(data, numthreads=1)
    except RuntimeError as error:
        return f"its JPEG 2000 data is damaged ({one_line(error)})"
    if found.shape != (tile.height, tile.width, 3) or found.dtype != np.uint8:
        return f"JPEG 2000 of shape {found.shape}"
    return _rgb(found) if ycbcr else found


def _rgb(ycbcr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Y, Cb, Cr (h, w, 3) as R, G, B, rounded where OpenSlide rounds."""
    from_cb, from_cr = _chroma()
    luma, cb, cr = (ycbcr[..., channel] for channel in range(3))
    rgb = (from_cb[cb] + from_cr[cr]) >> 16
    rgb += luma[..., None]
    return np.asarray(np.clip(rgb, 0, 255), np.uint8)


@cache
def _chroma() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """What each Cb and each Cr adds to R, G, B (ITU-R BT.601), int32 (256, 3) in 1/65536."""
    value = np.arange(-128, 128, dtype=np.float64)
    from_cb, from_cr = np.zeros((256, 3)), np.zeros((256, 3))
    from_cr[:, 0] = _half_away(1.402 * value) * 65536
    from_cb[:, 1] = _half_away(65536 * (0.5 - 0.34414 * value))
    from_cr[:, 1] = _half_away(-65536 * 0.71414 * value)
    from_cb[:, 2] = _half_away(1.772 * value) * 65536
    return from_cb.astype(np.int32), from_cr.astype(np.int32)


def _half_away(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.copysign(np.floor(np.abs(values) + 0.5), values))
