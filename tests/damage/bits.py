"""Damage inside a file of the right length: flipped bits, lost sectors, tiles that no longer decode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from base import (
    BAD_TILES,
    DAMAGED,
    GLASS,
    HARMLESS,
    OK,
    TISSUE,
    UNREADABLE,
    Ending,
    Input,
    svs_edit,
    tif_edit,
)
from jpeg_edit import DHT, DQT, EOI, SOF0, SOS, Jpeg
from tiff_edit import TILE_COUNTS, TiffEdit

Change = Callable[[bytes], bytes]


def inputs() -> tuple[Input, ...]:
    return (*_headers(), *_jpeg_tiles(), *_sectors(), *_deflate_tiles(), *_small_levels())


def _headers() -> list[Input]:
    return [
        svs_edit("flip-in-byte-order", lambda e: e.write_at(0, b"IK"), UNREADABLE),
        svs_edit("flip-in-version", lambda e: e.write_at(2, b"\x2b"), UNREADABLE),
        svs_edit("flip-in-first-offset", lambda e: e.write_at(5, b"\x40"), UNREADABLE),
        svs_edit("flip-in-entry-count", lambda e: e.put_entry_count(0, 15 ^ 128), DAMAGED),
        svs_edit("entry-count-0", lambda e: e.put_entry_count(0, 0), UNREADABLE),
    ]


def _jpeg_tiles() -> list[Input]:
    """One tile in tissue."""
    return [
        _tile("tile-zeros", lambda tile: bytes(len(tile))),
        _tile("tile-ones", lambda tile: b"\xff" * len(tile)),
        _tile("tile-noise", _noise),
        _tile("tile-second-half-zeros", lambda tile: tile[: len(tile) // 2].ljust(len(tile), b"\0")),
        _tile("tile-second-half-ones", lambda tile: tile[: len(tile) // 2].ljust(len(tile), b"\xff")),
        _tile("tile-second-half-noise", _half_noise),
        _tile("tile-last-10-percent-zeros", lambda tile: tile[: len(tile) * 9 // 10].ljust(len(tile), b"\0")),
        _tile("tile-early-end-marker", lambda tile: tile[: len(tile) // 2] + b"\xff\xd9"),
        _tile("tile-no-start-marker", lambda tile: b"\0\0" + tile[2:]),
        _tile("tile-no-end-marker", lambda tile: tile.removesuffix(bytes([0xFF, EOI])) + b"\0\0", HARMLESS),
        _tile("tile-frame-larger", lambda tile: _put(tile, SOF0, 2, 1)),
        _tile("tile-frame-smaller", lambda tile: _put(tile, SOF0, 2, 64)),
        _tile("tile-frame-height-0", lambda tile: _put(tile, SOF0, 2, 0)),
        _tile("tile-frame-12-bit", lambda tile: _put(tile, SOF0, 0, 12)),
        _tile("tile-frame-1-component", lambda tile: _put(tile, SOF0, 5, 1)),
        _tile("tile-sampling-0", lambda tile: _put(tile, SOF0, 7, 0)),
        _tile("tile-no-quantisation", lambda tile: Jpeg.of(tile).without(DQT).stream()),
        _tile("tile-no-huffman", lambda tile: Jpeg.of(tile).without(DHT).stream(), HARMLESS),
        _tile("tile-huffman-overfull", lambda tile: _put(tile, DHT, 2, 255)),
        _tile("tile-scan-of-other-tables", lambda tile: _put(tile, SOS, 2, 0x33)),
        _tile("glass-tile-zeros", lambda tile: bytes(len(tile)), HARMLESS, GLASS),
    ]


def _sectors() -> list[Input]:
    """Blocks that a disk lost, somewhere in the tissue of level 0."""
    return [svs_edit(f"sector-{size}", partial(_lost, size=size), DAMAGED) for size in (512, 4096, 65536)]


def _deflate_tiles() -> list[Input]:
    return [
        tif_edit("deflate-flip", lambda e: _in_tile(e, _flipped), BAD_TILES),
        tif_edit("deflate-zeros", lambda e: _in_tile(e, lambda tile: bytes(len(tile))), BAD_TILES),
        tif_edit("deflate-cut", lambda e: _in_tile(e, lambda tile: tile[:-9] + bytes(9)), BAD_TILES),
        tif_edit("deflate-noise", lambda e: _in_tile(e, _noise), BAD_TILES),
    ]


def _small_levels() -> list[Input]:
    """The thumbnail is made of the smallest level; the middle one is not used at this resolution."""
    return [
        svs_edit("thumbnail-level-zeros", lambda e: _in_tile(e, lambda tile: bytes(len(tile)), 0, 2), DAMAGED),
        svs_edit("thumbnail-level-half", lambda e: _in_tile(e, _half_noise, 0, 2), DAMAGED),
        svs_edit(
            "middle-level-zeros", lambda e: _in_tile(e, lambda t: bytes(len(t)), 1, 1), HARMLESS, alike="clean-svs"
        ),
    ]


def _tile(name: str, change: Change, ending: Ending = BAD_TILES, index: int = TISSUE) -> Input:
    alike = "clean-svs" if ending in {OK, HARMLESS} else ""
    return svs_edit(name, lambda e: _in_tile(e, change, index), ending, alike=alike)


def _in_tile(edit: TiffEdit, change: Change, index: int = TISSUE, directory: int = 0) -> None:
    """Change one tile; it must not become longer."""
    offset, count = edit.segment(directory, index)
    content = change(bytes(edit.data[offset : offset + count]))
    edit.write_at(offset, content)
    edit.put_item(directory, TILE_COUNTS, index, len(content))


def _put(tile: bytes, marker: int, offset: int, value: int) -> bytes:
    return Jpeg.of(tile).put(marker, offset, value).stream()


def _noise(tile: bytes) -> bytes:
    return np.random.default_rng(1).bytes(len(tile))


def _half_noise(tile: bytes) -> bytes:
    half = len(tile) // 2
    return tile[:half] + np.random.default_rng(3).bytes(len(tile) - half)


def _flipped(tile: bytes) -> bytes:
    changed = bytearray(tile)
    changed[len(tile) // 2] ^= 16
    return bytes(changed)


def _lost(edit: TiffEdit, size: int) -> None:
    offset = (edit.segment(0, TISSUE)[0] + 600) // 512 * 512 + 512
    edit.write_at(offset, bytes(size))
