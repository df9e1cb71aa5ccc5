"""The sound slides that everything damaged is made from, and the words that an input is described with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tiff_build import Directory, directories_of, tiff_bytes
from tiff_edit import (
    ASCII,
    BITS,
    COMPRESSION,
    DESCRIPTION,
    LENGTH,
    LONG,
    PHOTOMETRIC,
    PLANAR,
    RATIONAL,
    SAMPLES,
    SHORT,
    SUBFILE,
    TILE_LENGTH,
    TILE_WIDTH,
    UNIT,
    WIDTH,
    X_RESOLUTION,
    Y_RESOLUTION,
    Tags,
    TiffEdit,
)

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import SlideSpec, slide_pixels, write_slide

U8 = npt.NDArray[np.uint8]

SPEC = SlideSpec(width=832, height=576, seed=6, mpp=0.5, objective=20, levels=(1, 4, 16), tile=128)
"""Seven by five tiles, of which six by four are whole; each level is a whole number of pixels."""

COLUMNS, TILES = 7, 35
TISSUE, OTHER_TISSUE, GLASS = 8, 11, 34
"""Numbers of level-0 tiles: two full of tissue, one in the corner without any."""

APERIO = f"Aperio Image Library v12.0.0 \r\n{SPEC.width}x{SPEC.height} [0,0 {SPEC.width}x{SPEC.height}] (128x128)"
"""How the text of an Aperio scan of this size begins."""

DEFLATE, JPEG, NONE, LZW = 8, 7, 1, 5
RGB, YCBCR = 2, 6


@dataclass(frozen=True)
class Bases:
    """The three sound slides, and the pixels of their level 0 before compression."""

    folder: Path

    @cached_property
    def pixels(self) -> U8:
        return slide_pixels(SPEC, Region(0, 0, SPEC.width, SPEC.height))

    @cached_property
    def svs(self) -> bytes:
        """Aperio, JPEG YCbCr 4:2:0, three levels."""
        return _written(self.folder / "ycc.svs", SPEC)

    @cached_property
    def rgb(self) -> bytes:
        """Aperio, JPEG RGB, three levels."""
        return _written(self.folder / "rgb.svs", replace(SPEC, photometric="RGB", subsampling="444", levels=(1, 4)))

    @cached_property
    def tif(self) -> bytes:
        """A generic tiled TIFF, deflate, three levels, resolution in its tags."""
        return tiff_bytes(pyramid(self.pixels))


def _written(path: Path, spec: SlideSpec) -> bytes:
    write_slide(path, spec, threads=1)
    return path.read_bytes()


Make = Callable[[Path, Bases], Path]
"""Writes the input into a folder of its own and returns the path for the manifest."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How an input must end. `reason` and `message` are regular expressions: of the whole code, and of a part of the text."""

    status: str
    reason: str = ""
    message: str = ""


OK = Ending("ok")
EMPTY = Ending("empty")
UNREADABLE = Ending("failed", "unreadable_slide")
BAD_TILES = Ending("failed", "bad_tiles")
DAMAGED = Ending("failed", "unreadable_slide|bad_tiles")
"""Refused when opened, or at the tile that shows the damage."""
MPP = Ending("failed", "mpp")
HARMLESS = Ending("ok|failed", "|unreadable_slide|bad_tiles")
"""Either refused, or read with the right pixels: the damage hides none of them."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input of the corpus.

    `alike` is the sound slide whose features its rows must equal where the tiles coincide. `missing` holds level-0
    boxes from which no row may come. `gap` says what is not done yet about an input that ends otherwise today.
    """

    name: str
    make: Make
    ending: Ending
    alike: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    missing: tuple[Region, ...] = ()
    gap: str = ""


def file_of(name: str, content: Callable[[Bases], bytes], ending: Ending, suffix: str = ".svs", **more: Any) -> Input:
    """An input that is one file of `content`."""

    def make(folder: Path, bases: Bases) -> Path:
        path = folder / f"{name}{suffix}"
        path.write_bytes(content(bases))
        return path

    return Input(name, make, ending, **more)


def svs_edit(name: str, change: Callable[[TiffEdit], object], ending: Ending, **more: Any) -> Input:
    """The YCbCr slide with one change of its structure."""
    return file_of(name, lambda bases: edited(bases.svs, change), ending, **more)


def tif_edit(name: str, change: Callable[[TiffEdit], object], ending: Ending, **more: Any) -> Input:
    """The deflate slide with one change of its structure."""
    return file_of(name, lambda bases: edited(bases.tif, change), ending, ".tif", **more)


def edited(data: bytes, change: Callable[[TiffEdit], object]) -> bytes:
    edit = TiffEdit(data)
    change(edit)
    return bytes(edit.data)


def rebuilt(data: bytes, change: Callable[[list[Directory]], object], **order: Any) -> bytes:
    """A TIFF taken apart, changed and put together again."""
    directories = directories_of(data)
    change(directories)
    return tiff_bytes(directories, **order)


def headers_first(data: bytes) -> bytes:
    """The same TIFF in the order of cloud-optimised files."""
    return tiff_bytes(directories_of(data), headers_first=True)


def reduced(pixels: U8, factor: int) -> U8:
    """Area average."""
    import cv2

    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def tiles_of(pixels: npt.NDArray[Any], width: int, height: int) -> list[npt.NDArray[Any]]:
    """The tiles of an image (h, w, ...) row by row; what a tile has beyond the image repeats its edge."""
    down, right = -pixels.shape[0] % height, -pixels.shape[1] % width
    padded = np.pad(pixels, ((0, down), (0, right), *((0, 0),) * (pixels.ndim - 2)), mode="edge")
    return [
        np.ascontiguousarray(padded[top : top + height, left : left + width])
        for top in range(0, padded.shape[0], height)
        for left in range(0, padded.shape[1], width)
    ]


def deflated(tile: npt.NDArray[Any]) -> bytes:
    import zlib

    return zlib.compress(tile.tobytes(), 1)


def resolution_tags(mpp: float) -> Tags:
    """Pixels per centimetre."""
    per_cm = (round(1e7 / mpp), 1000)
    return {X_RESOLUTION: (RATIONAL, per_cm), Y_RESOLUTION: (RATIONAL, per_cm), UNIT: (SHORT, (3,))}


def text_tag(text: str) -> tuple[int, tuple[int, ...]]:
    return ASCII, tuple(text.encode() + b"\0")


def image(
    pixels: npt.NDArray[Any],
    encode: Callable[[npt.NDArray[Any]], bytes] = deflated,
    *,
    tile: tuple[int, int] = (128, 128),
    compression: int = DEFLATE,
    tags: Tags | None = None,
) -> Directory:
    """One tiled image; `tags` goes over what its array implies: an RGB image of the array's depth."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    about: Tags = {
        SUBFILE: (LONG, (0,)),
        WIDTH: (LONG, (width,)),
        LENGTH: (LONG, (height,)),
        BITS: (SHORT, (pixels.dtype.itemsize * 8,) * samples),
        COMPRESSION: (SHORT, (compression,)),
        PHOTOMETRIC: (SHORT, (RGB,)),
        SAMPLES: (SHORT, (samples,)),
        PLANAR: (SHORT, (1,)),
        TILE_WIDTH: (LONG, (tile[0],)),
        TILE_LENGTH: (LONG, (tile[1],)),
    }
    return Directory(about | (tags or {}), [encode(part) for part in tiles_of(pixels, *tile)])


def pyramid(
    pixels: npt.NDArray[Any],
    encode: Callable[[npt.NDArray[Any]], bytes] = deflated,
    *,
    downsamples: tuple[int, ...] = (1, 4, 16),
    mpp: float | None = 0.5,
    tags: Tags | None = None,
    **form: Any,
) -> list[Directory]:
    """A generic tiled TIFF of `pixels` and its area averages."""
    over = (tags or {}) | (resolution_tags(mpp) if mpp else {})
    levels = [pixels if d == 1 else reduced(pixels, d) for d in downsamples]
    return [
        image(level, encode, tags=over | {SUBFILE: (LONG, (int(k > 0),))}, **form) for k, level in enumerate(levels)
    ]


def description(text: str) -> Callable[[TiffEdit], object]:
    """Put another ImageDescription into level 0."""
    return lambda edit: edit.put(0, DESCRIPTION, text.encode("latin-1") + b"\0")
