"""Sound files whose picture is the problem: nothing on it, holes in it, levels that show something else."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from base import (
    BAD_TILES,
    COLUMNS,
    DAMAGED,
    EMPTY,
    GLASS,
    HARMLESS,
    OK,
    SPEC,
    TILES,
    TISSUE,
    U8,
    Bases,
    Ending,
    Input,
    file_of,
    headers_first,
    image,
    pyramid,
    rebuilt,
    text_tag,
)
from tiff_build import Directory, tiff_bytes
from tiff_edit import DESCRIPTION, LONG, SUBFILE

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import SlideSpec, slide_pixels


def inputs() -> tuple[Input, ...]:
    return (*_plain(), *_tissue(), *_holes(), *_other_levels(), *_extras())


def box(tile: int) -> Region:
    """The level-0 pixels of a tile of the sound slides."""
    return Region(tile % COLUMNS * SPEC.tile, tile // COLUMNS * SPEC.tile, SPEC.tile, SPEC.tile)


def _plain() -> list[Input]:
    flat = {"white": (255, 255, 255), "black": (0, 0, 0), "light-gray": (225, 225, 225), "off-white": (243, 240, 236)}
    return [
        *(_picture(name, partial(_only, colour), EMPTY) for name, colour in flat.items()),
        file_of("white-png", lambda _: _png(_flat((255, 255, 255))), EMPTY, ".png", fields={"mpp": "0.5"}),
        _picture("noise-around-white", lambda _: _noisy(), EMPTY),
        _picture("no-tissue", lambda _: _made(replace(SPEC, tissue=False)), EMPTY),
        _picture("pen-only", lambda _: _made(replace(SPEC, tissue=False, pen=True)), EMPTY),
        _picture("single-colour", lambda _: _flat((214, 120, 170)), EMPTY),
    ]  # fmt: skip


def _tissue() -> list[Input]:
    return [
        _picture("tissue-to-all-edges", lambda b: np.tile(_patch(b), (2, 3, 1)), OK),
        _picture("tiny-tissue", _tiny, EMPTY),
        _picture("tissue-in-one-corner", _corner, OK),
        _picture(
            "fold-pen-bubble-blur", lambda _: _made(replace(SPEC, pen=True, fold=True, bubble=True, blur=True)), OK
        ),
    ]


def _holes() -> list[Input]:
    """Parts that the file does not hold: refused in tissue, without consequence where there is none."""
    glass = (box(GLASS),)
    return [
        file_of("tile-never-scanned", lambda b: rebuilt(b.svs, _without(TISSUE)), BAD_TILES),
        file_of("tile-never-scanned-tif", lambda b: rebuilt(b.tif, _without(TISSUE)), BAD_TILES, ".tif"),
        file_of("glass-tile-never-scanned", lambda b: rebuilt(b.svs, _without(GLASS)), OK, alike="clean-svs", missing=glass),
        file_of("tail-never-scanned", lambda b: rebuilt(b.svs, _without(*range(14, TILES)), headers_first=True), DAMAGED),
        file_of("level-0-never-scanned", lambda b: rebuilt(b.svs, _without(*range(TILES))), DAMAGED),
        file_of("nothing-scanned", lambda b: rebuilt(b.svs, _nothing), DAMAGED),
        file_of("thumbnail-level-never-scanned", lambda b: rebuilt(b.svs, _without(0, level=2)), HARMLESS, alike="clean-svs"),
        file_of("thumbnail-tiles-never-scanned", _thumbnail_with_holes, DAMAGED, ".tif"),
        file_of("transparent-hole-png", lambda b: _png(_with_hole(b, box(TISSUE))), BAD_TILES, ".png", fields={"mpp": "0.5"}),
        file_of("transparent-glass-png", lambda b: _png(_with_hole(b, box(GLASS))), OK, ".png", fields={"mpp": "0.5"}, alike="clean-tif", missing=glass),
        file_of("transparent-png", lambda b: _png(_with_hole(b, Region(0, 0, SPEC.width, SPEC.height))), DAMAGED, ".png", fields={"mpp": "0.5"}),
        file_of("half-transparent-png", lambda b: _png(_with_hole(b, box(TISSUE), 128)), BAD_TILES, ".png", fields={"mpp": "0.5"}),
        file_of("tail-black", lambda b: tiff_bytes(_levels(b, _blackened(b))), DAMAGED, ".tif"),
        file_of("tail-white", lambda b: tiff_bytes(_levels(b, _blackened(b, 255))), DAMAGED, ".tif"),
    ]  # fmt: skip


def _other_levels() -> list[Input]:
    """Tissue found on one image and read from another."""
    return [
        file_of("thumbnail-level-of-another-slide", lambda b: tiff_bytes(_mixed(b, 2, _other())), DAMAGED, ".tif"),
        file_of("middle-level-of-another-slide", lambda b: tiff_bytes(_mixed(b, 1, _other())), DAMAGED, ".tif"),
        file_of("level-0-of-another-slide", lambda b: tiff_bytes(_mixed(b, 0, _other())), DAMAGED, ".tif"),
        file_of("thumbnail-level-upside-down", lambda b: tiff_bytes(_mixed(b, 2, b.pixels[::-1])), DAMAGED, ".tif"),
        file_of("thumbnail-level-mirrored", lambda b: tiff_bytes(_mixed(b, 2, b.pixels[:, ::-1])), DAMAGED, ".tif"),
        file_of("thumbnail-level-shifted", lambda b: tiff_bytes(_mixed(b, 2, np.roll(b.pixels, 160, axis=1))), DAMAGED, ".tif"),
        file_of("thumbnail-level-white", lambda b: tiff_bytes(_mixed(b, 2, _flat((250, 250, 250)))), DAMAGED, ".tif"),
        file_of("levels-in-other-colours", lambda b: tiff_bytes(_mixed(b, 2, b.pixels[..., ::-1])), HARMLESS, ".tif", alike="clean-tif"),
    ]  # fmt: skip


def _extras() -> list[Input]:
    return [
        file_of("with-label-and-macro", lambda b: rebuilt(b.svs, _labelled), OK, alike="clean-svs"),
        file_of("bytes-after-the-end", lambda b: b.svs + b"\0" * 5000, OK, alike="clean-svs"),
        file_of("two-slides-in-a-row", lambda b: b.svs + b.tif, OK, alike="clean-svs"),
        file_of("svs-named-tif", lambda b: b.svs, OK, ".tif", alike="clean-svs"),
        file_of("tif-named-ndpi", lambda b: b.tif, OK, ".ndpi", alike="clean-tif"),
        file_of("cog-of-tif", lambda b: headers_first(b.tif), OK, ".tif", alike="clean-tif"),
    ]


def _picture(name: str, pixels: Callable[[Bases], U8], ending: Ending, **more: Any) -> Input:
    return file_of(name, lambda b: tiff_bytes(pyramid(np.ascontiguousarray(pixels(b)))), ending, ".tif", **more)


def _made(spec: SlideSpec) -> U8:
    return slide_pixels(spec, Region(0, 0, spec.width, spec.height))


def _other() -> U8:
    return _made(replace(SPEC, seed=7))


def _flat(colour: tuple[int, int, int]) -> U8:
    return np.full((SPEC.height, SPEC.width, 3), colour, np.uint8)


def _only(colour: tuple[int, int, int], _bases: Bases) -> U8:
    return _flat(colour)


def _noisy() -> U8:
    return np.random.default_rng(5).integers(236, 256, (SPEC.height, SPEC.width, 3), np.uint8)


def _patch(bases: Bases) -> U8:
    """Tissue only."""
    return bases.pixels[128:384, 112:368]


def _tiny(bases: Bases) -> U8:
    """A crumb of 80 um."""
    pixels = _made(replace(SPEC, tissue=False)).copy()
    pixels[200:360, 400:560] = _patch(bases)[:160, :160]
    return pixels


def _corner(bases: Bases) -> U8:
    """Tissue that touches the right and the lower edge."""
    pixels = _made(replace(SPEC, tissue=False)).copy()
    pixels[-256:, -512:] = np.tile(_patch(bases), (1, 2, 1))
    return pixels


def _without(*tiles: int, level: int = 0) -> Callable[[list[Directory]], None]:
    def change(directories: list[Directory]) -> None:
        for tile in tiles:
            directories[level].segments[tile] = b""

    return change


def _nothing(directories: list[Directory]) -> None:
    for directory in directories:
        directory.segments[:] = [b""] * len(directory.segments)


def _thumbnail_with_holes(bases: Bases) -> bytes:
    """The level for the thumbnail lacks the left half of the tissue, which level 0 has."""
    levels = pyramid(bases.pixels, tile=(16, 16), downsamples=(1, 16))
    across = -(-levels[1].tags[256][1][0] // 16)
    for k in range(len(levels[1].segments)):
        if k % across < 2:
            levels[1].segments[k] = b""
    return tiff_bytes(levels)


def _with_hole(bases: Bases, hole: Region, alpha: int = 0) -> U8:
    rgba = np.concatenate([bases.pixels, np.full_like(bases.pixels[..., :1], 255)], axis=-1)
    rgba[hole.y : hole.y + hole.height, hole.x : hole.x + hole.width, 3] = alpha
    return rgba


def _blackened(bases: Bases, value: int = 0) -> U8:
    """Level 0 with its lower half lost, as some copying programs leave it."""
    pixels = bases.pixels.copy()
    pixels[256:] = value
    return pixels


def _levels(bases: Bases, finest: U8) -> list[Directory]:
    return [image(finest, tags=pyramid(bases.pixels)[0].tags), *pyramid(bases.pixels)[1:]]


def _mixed(bases: Bases, level: int, pixels: U8) -> list[Directory]:
    """The sound pyramid with one level made of other pixels."""
    levels, other = pyramid(bases.pixels), pyramid(np.ascontiguousarray(pixels))
    levels[level] = other[level]
    return levels


def _labelled(directories: list[Directory]) -> None:
    """The two small pictures that scanners add, of one tile each."""
    for name, subfile in (("label", 1), ("macro", 9)):
        tags = directories[2].tags | {
            SUBFILE: (LONG, (subfile,)),
            DESCRIPTION: text_tag(f"Aperio Image\r\n{name} 52x36"),
        }
        directories.append(Directory(tags, list(directories[2].segments)))


def _png(pixels: U8) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()
