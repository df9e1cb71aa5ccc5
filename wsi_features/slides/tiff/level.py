"""One stored level: its size, how its tiles are coded, and where each of them lies in the file.

Pure tables: nothing here reads a pixel. Lies of the file are found by comparing its tables with each other
and with its size, so that a wrong tile is refused before it is decoded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region, Size
from wsi_features.slides.tiff.ifd import DamagedTiffError, Directory, NotDirectError

Scheme = Literal["none", "LZW", "deflate", "zstd", "JPEG", "JPEG 2000"]

SCHEMES: dict[int, Scheme] = {
    1: "none",
    5: "LZW",
    7: "JPEG",
    8: "deflate",
    32946: "deflate",
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34712: "JPEG 2000",
    50000: "zstd",
}
MOST_TILES = 2**24
_FEW_TILES, _FEW_SHARE = 4, 0.01
MOST_TILE_PIXELS = 2**24
_RGB, _YCBCR = 2, 6
_APERIO_COLOURS = {33003: _YCBCR, 33005: _RGB}
"""These two codes say the colours, and what the photometric tag says is ignored."""
_PHOTOMETRIC = {0: "grayscale", 1: "grayscale", 3: "indexed colour", 4: "mask", 5: "CMYK", 8: "CIELAB"}
_PREDICTED = ("LZW", "deflate", "zstd")
_FIRST_TILE_BYTE = 8
"""Before it lies the header of the file."""


class TileState(IntEnum):
    """What the tables say of a tile. From `NOWHERE` on it cannot be read."""

    STORED = 0
    MISSING = 1
    NOWHERE = 2
    BEYOND = 3
    TOO_LONG = 4
    OVERLAPPING = 5


STATE_TEXTS = {
    TileState.MISSING: "the file holds nothing for it",
    TileState.NOWHERE: "it has a length but no position",
    TileState.BEYOND: "its bytes end beyond the end of the file",
    TileState.TOO_LONG: "it is said to take many times the bytes of its pixels",
    TileState.OVERLAPPING: "its bytes overlap those of another tile",
}


@dataclass(frozen=True, slots=True)
class Coding:
    """How the tiles of a level are coded: `tile` pixels each, 8-bit, three samples side by side.

    `ycbcr` says that the samples are Y, Cb, Cr; `predicted` that each is the difference to the one left of it.
    `tables` are the JPEG tables that the tiles share, with their SOI and EOI markers.
    """

    scheme: Scheme
    tile: Size
    ycbcr: bool = False
    predicted: bool = False
    tables: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class TiffLevel:
    """One level: tile number n lies at column n % `across`, row n // `across`, and may reach beyond the edge.

    `offsets` and `counts` are the position and number of its bytes in the file, int64 (n,);
    `states` uint8 (n,) holds a `TileState` each. `downsample` is level-0 pixels per pixel of it.
    """

    size: Size
    coding: Coding
    offsets: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    states: npt.NDArray[np.uint8]
    downsample: float = 1.0

    @property
    def across(self) -> int:
        """Columns of tiles."""
        return -(-self.size.width // self.coding.tile.width)

    @property
    def unreadable(self) -> npt.NDArray[np.bool_]:
        """Which tiles cannot be read, bool (n,)."""
        return self.states >= TileState.NOWHERE

    def touched(self, region: Region) -> list[int]:
        """The numbers of the tiles that a region reaches, row by row."""
        size, tile, across = self.size, self.coding.tile, self.across
        right, bottom = min(region.x + region.width, size.width), min(region.y + region.height, size.height)
        left, top = max(region.x, 0), max(region.y, 0)
        if left >= right or top >= bottom:
            return []
        columns = range(left // tile.width, (right - 1) // tile.width + 1)
        rows = range(top // tile.height, (bottom - 1) // tile.height + 1)
        return [row * across + column for row in rows for column in columns]

    def box(self, number: int) -> Region:
        """Where tile `number` lies on the level, cut at its right and bottom edge."""
        tile, (row, column) = self.coding.tile, divmod(number, self.across)
        x, y = column * tile.width, row * tile.height
        return Region(x, y, min(tile.width, self.size.width - x), min(tile.height, self.size.height - y))


def stored_level(directory: Directory, file_size: int) -> TiffLevel:
    """The level that a directory describes. Raises NotDirectError where it is not decoded here, or its tables lie."""
    size = Size(directory.number(256, 0), directory.number(257, 0))
    coding = _coding(directory)
    tile = coding.tile
    tiles = -(-size.width // tile.width) * -(-size.height // tile.height)
    if not 0 < tiles <= MOST_TILES:
        raise DamagedTiffError(f"{size.width} x {size.height} pixels in tiles of {tile.width} x {tile.height}")
    offsets, counts = directory.numbers(324, MOST_TILES), directory.numbers(325, MOST_TILES)
    if len(offsets) != tiles or len(counts) != tiles:
        raise DamagedTiffError(f"{len(offsets)} positions and {len(counts)} lengths for {tiles} tiles")
    return TiffLevel(size, coding, offsets, counts, _states(offsets, counts, tile, file_size))


def mark_overlaps(levels: Sequence[TiffLevel]) -> None:
    """Mark tiles whose bytes partly are those of another; tiles that share all of theirs are one tile, stored once."""
    stored = [level.states == TileState.STORED for level in levels]
    starts = np.concatenate([level.offsets[here] for level, here in zip(levels, stored, strict=True)])
    ends = starts + np.concatenate([level.counts[here] for level, here in zip(levels, stored, strict=True)])
    if (starts[1:] >= ends[:-1]).all():
        return
    overlapping = _overlapping(starts, ends)
    for level, here in zip(levels, stored, strict=True):
        own, overlapping = np.split(overlapping, [np.count_nonzero(here)])
        level.states[np.flatnonzero(here)[own]] = TileState.OVERLAPPING


def out_of_order(level: TiffLevel) -> int:
    """How many stored tiles stand apart from the order in which all others follow each other in the file.

    Writers put tiles one after the other, so a few that do not are those of a table that was changed. 0 where
    more than a few are: such a writer has an order of its own, or stores equal tiles once.
    """
    offsets = level.offsets[level.states == TileState.STORED]
    if (np.diff(offsets) > 0).all():
        return 0
    ends: list[int] = []  # of the longest rising run of each length
    for offset in offsets.tolist():
        place = bisect_left(ends, offset)
        ends[place : place + 1] = [offset]
    apart = len(offsets) - len(ends)
    return apart if apart <= max(_FEW_TILES, _FEW_SHARE * len(offsets)) else 0


def _overlapping(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    order = np.lexsort((ends, starts))
    first, last = starts[order], ends[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (first[1:] != first[:-1]) | (last[1:] != last[:-1])
    first, last, group = first[new], last[new], np.cumsum(new) - 1
    marked = np.zeros(len(first), np.bool_)
    marked[1:] |= first[1:] < np.maximum.accumulate(last)[:-1]
    marked[:-1] |= last[:-1] > first[1:]
    found = np.empty(len(order), np.bool_)
    found[order] = marked[group]
    return found


def _states(
    offsets: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], tile: Size, file_size: int
) -> npt.NDArray[np.uint8]:
    states = np.full(len(offsets), TileState.STORED, np.uint8)
    states[counts > 12 * tile.area + 65_536] = TileState.TOO_LONG
    states[offsets + counts > file_size] = TileState.BEYOND
    states[offsets < _FIRST_TILE_BYTE] = TileState.NOWHERE
    states[counts == 0] = TileState.MISSING
    return states


def _coding(directory: Directory) -> Coding:
    if 322 not in directory or 323 not in directory:
        if 324 in directory:
            raise DamagedTiffError("an image has positions of tiles and no size of them")
        raise NotDirectError("it is not tiled")
    tile = Size(directory.number(322, 0), directory.number(323, 0))
    if not 0 < tile.area <= MOST_TILE_PIXELS:
        raise DamagedTiffError(f"tiles of {tile.width} x {tile.height} pixels")
    compression = directory.number(259, 1)
    scheme = SCHEMES.get(compression)
    if scheme is None:
        raise NotDirectError(f"compression {compression} is not decoded here")
    ycbcr = _is_ycbcr(directory, compression)
    predictor = directory.number(317, 1) if scheme in _PREDICTED else 1
    if predictor not in {1, 2}:
        raise NotDirectError(f"predictor {predictor} is not decoded here")
    tables = directory.raw(347) if scheme == "JPEG" else b""
    return Coding(scheme, tile, ycbcr, predictor == 2, tables)


def _is_ycbcr(directory: Directory, compression: int) -> bool:
    """Whether the samples are Y, Cb, Cr; the only other form that is accepted is RGB."""
    samples, bits = directory.number(277, 1), directory.numbers(258).tolist() or [1]
    photometric = _APERIO_COLOURS.get(compression, directory.number(262, -1))
    if photometric not in {_RGB, _YCBCR}:
        raise NotDirectError(f"{_PHOTOMETRIC.get(photometric, f'photometric {photometric}')} is not decoded here")
    if samples != 3 or any(depth != 8 for depth in bits):
        raise NotDirectError(f"{samples} samples of {max(bits)} bits a pixel, not 3 of 8")
    if directory.number(284, 1) != 1:
        raise NotDirectError("colours are stored apart")
    if any(kind != 1 for kind in directory.numbers(339)):
        raise NotDirectError("samples are not plain numbers")
    if directory.number(266, 1) != 1 or directory.number(274, 1) != 1:
        raise NotDirectError("it is stored turned, or its bits are reversed")
    if directory.number(32997, 1) != 1:
        raise NotDirectError("it is a volume")
    if photometric == _YCBCR and compression not in {7, 33003}:
        raise NotDirectError(f"YCbCr with compression {compression} is not decoded here")
    return photometric == _YCBCR
