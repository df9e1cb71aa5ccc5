"""Sound images in forms that real cohorts hold: those that are read must give the same rows, the others are refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from base import (
    APERIO,
    HARMLESS,
    JPEG,
    LZW,
    NONE,
    OK,
    SPEC,
    U8,
    UNREADABLE,
    YCBCR,
    Bases,
    Ending,
    Input,
    file_of,
    pyramid,
    rebuilt,
    text_tag,
)
from jpeg_edit import shared_tables
from tiff_build import Directory, tiff_bytes
from tiff_edit import DESCRIPTION, ORIENTATION, PHOTOMETRIC, SHORT, SUBSAMPLING, TABLES, UNDEFINED, Tags

_GIVEN = {"mpp": "0.5"}
NOT_RGB = Ending("failed", "unreadable_slide", "8-bit RGB")
"""Turning these into RGB needs a rule that the file does not state."""


def inputs() -> tuple[Input, ...]:
    return (*_layouts(), *_compressions(), *_strips(), *_colours())


def _layouts() -> list[Input]:
    odd = {
        "620-px-tiles": (620, 620),
        "oblong-tiles": (208, 80),
        "16-px-tiles": (16, 16),
        "one-tile": (SPEC.width, SPEC.height),
    }
    return [
        _svs("big-tiff", lambda b: rebuilt(b.svs, len, big=True)),
        _svs("headers-first", lambda b: rebuilt(b.svs, len, headers_first=True)),
        _tif("big-endian", lambda b: tiff_bytes(pyramid(b.pixels), order=">")),
        _tif("big-endian-big-tiff", lambda b: tiff_bytes(pyramid(b.pixels), order=">", big=True)),
        _tif("single-level", lambda b: tiff_bytes(pyramid(b.pixels, downsamples=(1,)))),
        _tif("levels-of-2", lambda b: tiff_bytes(pyramid(b.pixels, downsamples=(1, 2, 4, 8, 16)))),
        *(_tif(name, partial(_in_tiles, tile)) for name, tile in odd.items()),
        _svs("shared-jpeg-tables", lambda b: rebuilt(b.svs, _share_tables)),
        _tif("resolution-in-manifest", lambda b: tiff_bytes(pyramid(b.pixels, mpp=None)), fields=_GIVEN),
    ]


def _compressions() -> list[Input]:
    text = APERIO + " J2K/RGB|AppMag = 20|MPP = 0.5000"
    return [
        _tif("uncompressed", lambda b: tiff_bytes(pyramid(b.pixels, lambda t: t.tobytes(), compression=NONE))),
        _tif("lzw", lambda b: tiff_bytes(pyramid(b.pixels, _codec("lzw_encode"), compression=LZW))),
        _tif("jpeg-2000", lambda b: tiff_bytes(_j2k(b, text)), suffix=".svs"),
        _tif("zstd", lambda b: tiff_bytes(pyramid(b.pixels, _codec("zstd_encode"), compression=50000)), HARMLESS),
        _tif("webp", lambda b: tiff_bytes(pyramid(b.pixels, _webp, compression=50001)), HARMLESS),
        _tif("jpeg-xl", lambda b: tiff_bytes(pyramid(b.pixels, _jxl, compression=50002)), HARMLESS),
        _tif("adobe-deflate-old-number", lambda b: tiff_bytes(pyramid(b.pixels, compression=32946)), HARMLESS),
        file_of("jpeg-444", lambda b: tiff_bytes(_jpeg(b.pixels, "444")), OK, ".tif"),
        file_of("jpeg-422", lambda b: tiff_bytes(_jpeg(b.pixels, "422")), OK, ".tif"),
    ]


def _strips() -> list[Input]:
    """One level without tiles, as image programs write it."""
    return [
        _tif("strips", _written(rowsperstrip=64, compression="zlib")),
        _tif("one-strip", _written(rowsperstrip=SPEC.height)),
        _tif("strips-predictor", _written(rowsperstrip=100, compression="lzw", predictor=True)),
        _tif("strips-planar", _written(rowsperstrip=64, compression="zlib", planar=True)),
        _tif("tiles-planar", _written(tile=(128, 128), compression="zlib", planar=True), HARMLESS),
        _tif("ome", _written(tile=(128, 128), compression="zlib", ome=True), suffix=".ome.tif", fields=_GIVEN),
        file_of("two-images", _two_images, UNREADABLE, ".tif", fields=_GIVEN),
        _tif("strips-turned", _turned, UNREADABLE),
        file_of("tiles-turned", lambda b: tiff_bytes(_tagged(b, {ORIENTATION: (SHORT, (3,))})), UNREADABLE, ".tif"),
    ]


def _colours() -> list[Input]:
    many: dict[str, tuple[Callable[[U8], Any], str]] = {
        "16-bit": (lambda p: p.astype(np.uint16) * 257, "rgb"),
        "float": (lambda p: p.astype(np.float32) / 255, "rgb"),
        "signed": (lambda p: (p.astype(np.int16) - 128).astype(np.int8), "rgb"),
        "gray": (lambda p: p[..., 1], "minisblack"),
        "gray-inverted": (lambda p: 255 - p[..., 1], "miniswhite"),
        "gray-16-bit": (lambda p: p[..., 1].astype(np.uint16) * 257, "minisblack"),
        "gray-alpha": (lambda p: np.stack([p[..., 1], np.full_like(p[..., 1], 255)], axis=-1), "minisblack"),
        "cmyk": (lambda p: np.concatenate([255 - p, np.zeros_like(p[..., :1])], axis=-1), "separated"),
        "five-channels": (lambda p: np.concatenate([p, p[..., :2]], axis=-1), "minisblack"),
    }
    listed = []
    for name, (convert, photometric) in many.items():
        for form, layout in (("tiles", {"tile": (128, 128)}), ("strips", {"rowsperstrip": 64})):
            make = _written(convert, photometric=photometric, compression="zlib", planarconfig="contig", **layout)
            listed.append(file_of(f"{name}-{form}", make, UNREADABLE, ".tif"))
    return [
        *listed,
        file_of("palette-strips", _palette, NOT_RGB, ".tif"),
        _tif("opaque-alpha-strips", _written(opaque, rowsperstrip=64, extrasamples=["unassalpha"])),
        _tif("opaque-alpha-tiles", _written(opaque, tile=(128, 128), extrasamples=["unassalpha"]), HARMLESS),
    ]


def _svs(name: str, content: Callable[[Bases], bytes]) -> Input:
    return file_of(name, content, OK, alike="clean-svs")


def _tif(name: str, content: Callable[[Bases], bytes], ending: Ending = OK, suffix: str = ".tif", **more: Any) -> Input:
    """The lossless slide in another form."""
    return file_of(name, content, ending, suffix, alike="clean-tif", **more)


def _in_tiles(tile: tuple[int, int], bases: Bases) -> bytes:
    return tiff_bytes(pyramid(bases.pixels, tile=tile))


def _codec(name: str) -> Callable[[U8], bytes]:
    def encode(tile: U8) -> bytes:
        import imagecodecs

        return bytes(getattr(imagecodecs, name)(tile.tobytes()))

    return encode


def _webp(tile: U8) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.webp_encode(tile, lossless=True))


def _jxl(tile: U8) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpegxl_encode(tile, lossless=True))


def _j2k(bases: Bases, text: str) -> list[Directory]:
    import imagecodecs

    def encode(tile: U8) -> bytes:
        return bytes(imagecodecs.jpeg2k_encode(tile, level=0, reversible=True, codecformat="j2k", mct=False))

    levels = pyramid(bases.pixels, encode, compression=33005, mpp=None, tags={DESCRIPTION: text_tag(text)})
    return [levels[0], *(replace(level, tags=level.tags | {DESCRIPTION: text_tag(APERIO)}) for level in levels[1:])]


def _jpeg(pixels: U8, subsampling: str) -> list[Directory]:
    import imagecodecs

    def encode(tile: U8) -> bytes:
        made = imagecodecs.jpeg8_encode(tile, 95, colorspace="RGB", outcolorspace="YCBCR", subsampling=subsampling)
        return bytes(made)

    factors = {"444": (1, 1), "422": (2, 1)}[subsampling]
    colour: Tags = {PHOTOMETRIC: (SHORT, (YCBCR,)), SUBSAMPLING: (SHORT, factors)}
    return pyramid(pixels, encode, compression=JPEG, tags=colour)


def _share_tables(directories: list[Directory]) -> None:
    """As Aperio scanners write: the tables once in a tag, the tiles without them."""
    for k, directory in enumerate(directories):
        tables, tiles = shared_tables(directory.segments)
        directories[k] = Directory(directory.tags | {TABLES: (UNDEFINED, tuple(tables))}, tiles)


def _tagged(bases: Bases, tags: Tags) -> list[Directory]:
    return pyramid(bases.pixels, tags=tags)


def _written(
    convert: Callable[[U8], Any] = lambda p: p, *, planar: bool = False, **options: Any
) -> Callable[[Bases], bytes]:
    """One level by tifffile, with the resolution in its tags."""

    def content(bases: Bases) -> bytes:
        import tifffile

        pixels = convert(bases.pixels)
        if planar:
            pixels = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
        more = {"photometric": "rgb", "planarconfig": "separate" if planar else "contig"} | options
        if pixels.ndim == 2:
            del more["planarconfig"]
        about = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5} if more.get("ome") else None
        ome = {"ome": more.pop("ome")} if "ome" in more else {}
        out = io.BytesIO()
        with tifffile.TiffWriter(out, **ome) as writer:
            writer.write(pixels, resolution=(20000, 20000), resolutionunit=3, metadata=about, **more)
        return out.getvalue()

    return content


def _two_images(bases: Bases) -> bytes:
    import tifffile

    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for pixels in (bases.pixels, bases.pixels[::-1]):
            writer.write(np.ascontiguousarray(pixels), photometric="rgb", rowsperstrip=64, metadata=None)
    return out.getvalue()


def _turned(bases: Bases) -> bytes:
    return _written(rowsperstrip=64, extratags=[(ORIENTATION, 3, 1, 3, True)])(bases)


def _palette(bases: Bases) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(bases.pixels).quantize(64).save(out, "TIFF", resolution=20000, resolution_unit=3)
    return out.getvalue()


def opaque(pixels: U8) -> U8:
    return np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=-1)
