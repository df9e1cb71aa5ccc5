"""A source: one image of a file in a format that OpenSlide refuses, read in the pixels of its own levels.

A source raises when it meets damage; the reader in front of it reports that and opens the
file again. It never resamples, and what the file does not hold is transparent.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import Form, Level, MppCandidate, Scene

DAMAGE = (
    *(
        OSError,
        ValueError,
        SyntaxError,
        RuntimeError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        EOFError,
    ),
    *(struct.error, zlib.error, lzma.LZMAError),
)
"""What tifffile, zarr, glymur, pydicom, libCZI and their codecs raise on damaged files."""

Array = npt.NDArray[np.uint8]

_CACHE_BYTES = 64 * 1024 * 1024
_RGB_SAMPLES = 3


class Source(Protocol):
    """One open image; see `Slide` for what the attributes mean."""

    scenes: tuple[Scene, ...]
    scene: str
    plane: int
    levels: tuple[Level, ...]
    mpp_candidates: tuple[MppCandidate, ...]
    form: Form
    icc_profile: bytes | None

    def rgba(self, region: Region, level: int) -> Array:
        """The pixels of `region` of `level`, (h, w, 4); alpha is 0 where the file holds none. Raises any of DAMAGE."""

    def shift(self, level: int) -> float:
        """How far the pixels of `level` lie before their place, in pixels of it along x and y, 0 or less."""

    def close(self) -> None:
        """Release the file."""


class PieceCache:
    """The decoded tiles used last, up to 64 MiB: neighbouring regions share tiles of the file."""

    def __init__(self, most_bytes: int = _CACHE_BYTES) -> None:
        self._most, self._held = most_bytes, 0
        self._pieces: OrderedDict[Hashable, Array | None] = OrderedDict()

    def get(self, key: Hashable, decode: Callable[[], Array | None]) -> Array | None:
        """The piece called `key`, decoded when it is not held; None stands for a piece that the file leaves out."""
        if key in self._pieces:
            self._pieces.move_to_end(key)
            return self._pieces[key]
        piece = self._pieces[key] = decode()
        self._held += _bytes(piece)
        while self._held > self._most and len(self._pieces) > 1:
            self._held -= _bytes(self._pieces.popitem(last=False)[1])
        return piece


def chosen(
    slide_id: str, path: str, scenes: Sequence[Scene], scene: str = "", plane: int | None = None
) -> tuple[int, int]:
    """Index of the scene and number of the focal plane: the first and the middle one where none is asked for.

    Raises SlideFileError when there is no such scene or plane.
    """
    names = [found.name for found in scenes]
    if scene and scene not in names:
        raise SlideFileError.no_scene(slide_id, path, scene, names)
    index = names.index(scene) if scene else 0
    planes = scenes[index].planes
    if plane is not None and not 0 <= plane < planes:
        raise SlideFileError.no_plane(slide_id, path, plane, planes)
    return index, planes // 2 if plane is None else plane


def pyramid(sizes: Sequence[Size]) -> tuple[Level, ...]:
    """Levels of `sizes`, finest first, with their downsamples.

    Programs halve an odd side by rounding up or down, so a whole number that explains both sides
    is the downsample; otherwise it is the mean ratio.
    """
    base = sizes[0]
    return tuple(Level(size, _downsample(base, size)) for size in sizes)


def from_tiles(region: Region, size: Size, tile: Size, fetch: Callable[[int, int], Array | None]) -> Array:
    """Cut `region` out of a level of `size` pixels that is stored in tiles of `tile`, (h, w, 4).

    `fetch(column, row)` gives a tile, (h, w, 3 or 4), or None where the file holds none; tiles at the right and
    bottom edge may be cut or padded.
    """
    out = np.zeros((region.height, region.width, 4), np.uint8)
    left, top = max(region.x, 0), max(region.y, 0)
    right, bottom = min(region.x + region.width, size.width), min(region.y + region.height, size.height)
    if right <= left or bottom <= top:
        return out
    for row in range(top // tile.height, (bottom - 1) // tile.height + 1):
        for column in range(left // tile.width, (right - 1) // tile.width + 1):
            piece = fetch(column, row)
            if piece is not None:
                corner = (column * tile.width, row * tile.height)
                _paste(out, region, piece, corner, (left, top, right, bottom))
    return out


def _paste(
    out: Array, region: Region, piece: Array, corner: tuple[int, int], inside: tuple[int, int, int, int]
) -> None:
    """Copy the part of `piece` at `corner` that lies `inside` (left, top, right, bottom)."""
    x, y = max(corner[0], inside[0]), max(corner[1], inside[1])
    end_x = min(corner[0] + piece.shape[1], inside[2])
    end_y = min(corner[1] + piece.shape[0], inside[3])
    part = piece[y - corner[1] : end_y - corner[1], x - corner[0] : end_x - corner[0]]
    window = out[y - region.y : end_y - region.y, x - region.x : end_x - region.x]
    window[..., : part.shape[2]] = part
    if part.shape[2] == _RGB_SAMPLES:
        window[..., 3] = 255


def _downsample(base: Size, size: Size) -> float:
    across, down = base.width / size.width, base.height / size.height
    whole = round((across + down) / 2)
    for factor in {whole, max(1, whole - 1), whole + 1}:
        if _explains(factor, base.width, size.width) and _explains(factor, base.height, size.height):
            return float(factor)
    return (across + down) / 2


def _explains(factor: int, fine: int, coarse: int) -> bool:
    return factor > 0 and coarse in {fine // factor, -(-fine // factor)}


def _bytes(piece: Array | None) -> int:
    return 0 if piece is None else piece.nbytes
