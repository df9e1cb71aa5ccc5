"""Sound images that are no pyramids: photos and pictures, and sizes at the edge of what can be a slide."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from base import (
    EMPTY,
    OK,
    U8,
    UNREADABLE,
    Bases,
    Ending,
    Input,
    file_of,
    image,
    pyramid,
    resolution_tags,
)
from forms import NOT_RGB, opaque
from tiff_build import Directory, tiff_bytes

_GIVEN = {"mpp": "0.5"}


def inputs() -> tuple[Input, ...]:
    return (*_photos(), *_sizes())


def _photos() -> list[Input]:
    return [
        _like("png", _photo("PNG"), ".png"),
        _like("png-named-svs", _photo("PNG"), ".svs"),
        _like("png-opaque-alpha", _photo("PNG", opaque), ".png"),
        file_of("jpeg", _photo("JPEG", quality=95), OK, ".jpg", fields=_GIVEN),
        file_of("png-without-resolution", _photo("PNG"), Ending("failed", "mpp", "column `mpp`"), ".png"),
        file_of("png-gray", _photo("PNG", lambda p: p[..., 1]), NOT_RGB, ".png", fields=_GIVEN),
        file_of("png-16-bit", _png16, NOT_RGB, ".png", fields=_GIVEN),
        file_of("jpeg-gray", _photo("JPEG", lambda p: p[..., 1]), NOT_RGB, ".jpg", fields=_GIVEN),
        file_of("jpeg-cmyk", _photo("JPEG", lambda p: p, mode="CMYK"), NOT_RGB, ".jpg", fields=_GIVEN),
        *(
            file_of(f"{kind.lower()}-picture", _photo(kind), UNREADABLE, f".{kind.lower()}", fields=_GIVEN)
            for kind in ("BMP", "GIF", "WEBP")
        ),
    ]


def _sizes() -> list[Input]:
    """Sizes that hold no tile end as empty; sizes that cannot be true are refused."""
    return [
        file_of("one-pixel-tif", lambda _: _small(1, 1), EMPTY, ".tif"),
        file_of("one-pixel-png", lambda _: _png(np.full((1, 1, 3), 200, np.uint8)), EMPTY, ".png", fields=_GIVEN),
        file_of("one-row", lambda _: _small(100_000, 1), EMPTY, ".tif"),
        file_of("one-column", lambda _: _small(1, 100_000), EMPTY, ".tif"),
        file_of("smaller-than-a-tile", lambda b: tiff_bytes(pyramid(b.pixels[200:327, 100:227], downsamples=(1,))), EMPTY, ".tif"),
        file_of("four-tiles-exactly", lambda b: tiff_bytes(pyramid(b.pixels[128:384, 112:368], downsamples=(1,))), OK, ".tif"),
        file_of("huge-and-sparse", lambda _: _sparse(131_072, 4096), Ending("failed", "unreadable_slide|bad_tiles"), ".tif"),
        file_of("huge-strip", lambda _: _sparse_strip(), UNREADABLE, ".tif"),
    ]  # fmt: skip


def _like(name: str, content: Callable[[Bases], bytes], suffix: str) -> Input:
    """The lossless slide as a picture."""
    return file_of(name, content, OK, suffix, fields=_GIVEN, alike="clean-tif")


def _photo(
    kind: str, convert: Callable[[U8], U8] = lambda p: p, mode: str = "", **options: Any
) -> Callable[[Bases], bytes]:
    def content(bases: Bases) -> bytes:
        from PIL import Image

        picture = Image.fromarray(convert(bases.pixels))
        out = io.BytesIO()
        (picture.convert(mode) if mode else picture).save(out, kind, **options)
        return out.getvalue()

    return content


def _png(pixels: Any) -> bytes:
    import cv2

    return bytes(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes())


def _png16(bases: Bases) -> bytes:
    return _png(bases.pixels.astype(np.uint16) * 257)


def _small(width: int, height: int) -> bytes:
    import tifffile

    out = io.BytesIO()
    pixels = np.full((height, width, 3), 200, np.uint8)
    tifffile.imwrite(out, pixels, photometric="rgb", resolution=(20000, 20000), resolutionunit=3, metadata=None)
    return out.getvalue()


def _sparse(side: int, tile: int) -> bytes:
    """A level of 17 gigapixels in which no tile was ever written."""
    small = image(np.zeros((tile, tile, 3), np.uint8)[:16, :16], tile=(tile, tile), tags=resolution_tags(0.5))
    count = -((-side // tile) ** 2)
    tags = small.tags | {256: (4, (side,)), 257: (4, (side,))}
    return tiff_bytes([Directory(tags, [b""] * count)])


def _sparse_strip() -> bytes:
    """A gigabyte declared, a hundred bytes present."""
    one = image(np.zeros((16, 16, 3), np.uint8), tile=(16, 16), tags=resolution_tags(0.5))
    tags = {t: v for t, v in one.tags.items() if t not in {322, 323}} | {256: (4, (20_000,)), 257: (4, (20_000,))}
    return tiff_bytes([Directory(tags | {278: (4, (20_000,))}, [one.segments[0]])])
