"""Tags that lie: sizes, tables, colours, sample forms, directory chains."""

from __future__ import annotations

from collections.abc import Callable

from base import (
    DAMAGED,
    HARMLESS,
    OTHER_TISSUE,
    SPEC,
    TILES,
    TISSUE,
    UNREADABLE,
    Ending,
    Input,
    edited,
    file_of,
    svs_edit,
    tif_edit,
)
from tiff_edit import (
    BITS,
    COMPRESSION,
    DESCRIPTION,
    FORMAT,
    LENGTH,
    LONG,
    PHOTOMETRIC,
    PLANAR,
    RATIONAL,
    SAMPLES,
    SHORT,
    SUBFILE,
    SUBSAMPLING,
    TILE_COUNTS,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    TiffEdit,
)

_HUGE = 2**31 - 1
_FAR = 2**32 - 2
_LEGAL = "a warning tells that tiles lie out of order, and the run goes on: no check in the file proves it"
_UNSAID = Ending("failed", "unreadable_slide|bad_tiles|mpp")
"""Without its text nobody knows the resolution."""
_READ_ANYWAY = Ending("ok|failed", "|unreadable_slide|bad_tiles|mpp")
"""A text is the same bytes under any type."""


def inputs() -> tuple[Input, ...]:
    return (*_sizes(), *_offsets(), *_counts(), *_colours(), *_samples(), *_chains(), *_structure())


def _sizes() -> list[Input]:
    return [
        _svs("width-0", WIDTH, 0),
        _svs("height-0", LENGTH, 0),
        _svs("width-doubled", WIDTH, 2 * SPEC.width),
        _svs("width-halved", WIDTH, SPEC.width // 2),
        _svs("height-doubled", LENGTH, 2 * SPEC.height),
        _svs("height-halved", LENGTH, SPEC.height // 2),
        _svs("width-and-height-swapped", WIDTH, SPEC.height, LENGTH, SPEC.width),
        _svs("width-huge", WIDTH, _HUGE),
        _svs("both-huge", WIDTH, _HUGE, LENGTH, _HUGE),
        _svs("tile-width-0", TILE_WIDTH, 0),
        _svs("tile-width-halved", TILE_WIDTH, 64),
        _svs("tile-width-doubled", TILE_WIDTH, 256),
        _svs("tile-height-doubled", TILE_LENGTH, 256),
        _svs("tile-width-huge", TILE_WIDTH, 2**30),
        _svs("tile-width-odd", TILE_WIDTH, 127),
        tif_edit("deflate-tile-width-doubled", lambda e: e.put(0, TILE_WIDTH, [256]), DAMAGED),
        tif_edit("deflate-tile-sides-swapped", lambda e: _put(e, TILE_WIDTH, 256, TILE_LENGTH, 64), DAMAGED),
        svs_edit("level-1-twice-as-wide", lambda e: e.put(1, WIDTH, [SPEC.width // 2]), DAMAGED),
        svs_edit("level-1-as-large-as-level-0", lambda e: _sized(e, 1, SPEC.width, SPEC.height), DAMAGED),
        svs_edit("level-2-larger-than-its-tiles", lambda e: _sized(e, 2, 104, 72), DAMAGED),
        svs_edit("level-2-of-0-pixels", lambda e: _sized(e, 2, 0, 0), HARMLESS, alike="clean-svs"),
    ]


def _offsets() -> list[Input]:
    return [
        _item("offset-0", TILE_OFFSETS, 0),
        _item("offset-past-the-end", TILE_OFFSETS, 2**30),
        _item("offset-largest", TILE_OFFSETS, _FAR),
        _item("offset-in-the-header", TILE_OFFSETS, 8),
        _item("offset-one-further", TILE_OFFSETS, lambda was: was + 1),
        svs_edit("offset-of-another-tile", _other_tile, DAMAGED, gap=_LEGAL),
        svs_edit("two-tiles-swapped", _swapped, DAMAGED, gap=_LEGAL),
        svs_edit("all-offsets-0", lambda e: e.put(0, TILE_OFFSETS, [0] * TILES), DAMAGED),
        svs_edit("all-offsets-equal", lambda e: e.put(0, TILE_OFFSETS, [e.segment(0, TISSUE)[0]] * TILES), DAMAGED),
        svs_edit("offset-table-past-the-end", lambda e: e.put_place(0, TILE_OFFSETS, 2**30), UNREADABLE),
        svs_edit("offset-table-in-pixels", lambda e: e.put_place(0, TILE_OFFSETS, e.segment(0, 0)[0]), DAMAGED),
        svs_edit("offset-table-too-short", lambda e: e.put_count(0, TILE_OFFSETS, 20), DAMAGED),
        svs_edit(
            "offset-table-too-long", lambda e: e.put_count(0, TILE_OFFSETS, TILES + 1), HARMLESS, alike="clean-svs"
        ),
        svs_edit("offset-table-huge", lambda e: e.put_count(0, TILE_OFFSETS, _HUGE), HARMLESS, alike="clean-svs"),
        svs_edit("offsets-as-short", lambda e: e.put_kind(0, TILE_OFFSETS, SHORT), DAMAGED),
        svs_edit("offsets-as-rational", lambda e: e.put_kind(0, TILE_OFFSETS, RATIONAL), DAMAGED),
    ]


def _counts() -> list[Input]:
    return [
        _item("byte-count-0", TILE_COUNTS, 0),
        _item("byte-count-1", TILE_COUNTS, 1),
        _item("byte-count-halved", TILE_COUNTS, lambda was: was // 2),
        _item("byte-count-largest", TILE_COUNTS, _FAR),
        _item("byte-count-one-more", TILE_COUNTS, lambda was: was + 1, HARMLESS),
        svs_edit("all-byte-counts-0", lambda e: e.put(0, TILE_COUNTS, [0] * TILES), DAMAGED),
        svs_edit("byte-counts-too-short", lambda e: e.put_count(0, TILE_COUNTS, 20), DAMAGED),
        tif_edit("deflate-byte-count-halved", lambda e: _item_put(e, TILE_COUNTS, lambda was: was // 2), DAMAGED),
    ]


def _colours() -> list[Input]:
    """Wrong colours decode without complaint, so the statement must fit the stream."""
    other = [("white-is-zero", 0), ("black-is-zero", 1), ("palette", 3), ("mask", 4), ("cmyk", 5), ("lab", 8)]
    listed = [_svs(f"photometric-{name}", PHOTOMETRIC, value) for name, value in (*other, ("unknown", 99))]
    compressions = [("none", 1), ("ccitt", 4), ("lzw", 5), ("old-jpeg", 6), ("deflate", 8), ("jp2k", 33003)]
    listed += [_svs(f"compression-{name}", COMPRESSION, value) for name, value in (*compressions, ("unknown", 65000))]
    return [
        *listed,
        _svs("photometric-rgb-of-ycbcr", PHOTOMETRIC, 2, ending=DAMAGED),
        file_of("photometric-ycbcr-of-rgb", lambda b: edited(b.rgb, _every(PHOTOMETRIC, 6)), DAMAGED),
        svs_edit("photometric-of-level-0-only", lambda e: e.put(0, PHOTOMETRIC, [2]), DAMAGED),
        svs_edit("subsampling-tag-other", lambda e: e.put(0, SUBSAMPLING, [1, 1]), HARMLESS, alike="clean-svs"),
        tif_edit("deflate-photometric-ycbcr", _every(PHOTOMETRIC, 6), DAMAGED),
        tif_edit("deflate-photometric-inverted", _every(PHOTOMETRIC, 0), DAMAGED),
        tif_edit("deflate-as-jpeg", _every(COMPRESSION, 7), DAMAGED),
        tif_edit("deflate-as-raw", _every(COMPRESSION, 1), DAMAGED),
        tif_edit("deflate-as-lzw", _every(COMPRESSION, 5), DAMAGED),
    ]


def _samples() -> list[Input]:
    return [
        svs_edit("bits-16", lambda e: e.put(0, BITS, [16] * 3), DAMAGED),
        svs_edit("bits-1", lambda e: e.put(0, BITS, [1] * 3), DAMAGED),
        svs_edit("bits-unequal", lambda e: e.put(0, BITS, [8, 8, 16]), DAMAGED),
        svs_edit("bits-0", lambda e: e.put(0, BITS, [0] * 3), DAMAGED),
        _svs("samples-1", SAMPLES, 1),
        _svs("samples-4", SAMPLES, 4),
        _svs("samples-0", SAMPLES, 0),
        _svs("samples-65535", SAMPLES, 65535),
        _svs("planar-separate", PLANAR, 2),
        _svs("planar-7", PLANAR, 7, ending=HARMLESS),
        tif_edit("deflate-bits-16", _every(BITS, 16, 16, 16), DAMAGED),
        tif_edit("deflate-planar-separate", _every(PLANAR, 2), DAMAGED),
        tif_edit("deflate-samples-4", _every(SAMPLES, 4), DAMAGED),
        tif_edit("deflate-bits-4", _every(BITS, 4, 4, 4), DAMAGED),
    ]


def _chains() -> list[Input]:
    """Every image is whole; only the way from one to the next is not."""
    return [
        svs_edit("chain-to-itself", lambda e: e.link(0, e.directories[0]), DAMAGED),
        svs_edit("chain-in-a-circle", lambda e: e.link(2, e.directories[0]), HARMLESS, alike="clean-svs"),
        svs_edit("chain-past-the-end", lambda e: e.link(2, 2**31), HARMLESS, alike="clean-svs"),
        svs_edit("chain-into-pixels", lambda e: e.link(2, e.segment(0, TISSUE)[0]), HARMLESS, alike="clean-svs"),
        svs_edit("chain-cut-after-level-0", lambda e: e.link(0, 0), HARMLESS, alike="clean-svs"),
        svs_edit("chain-of-one-level-twice", lambda e: e.link(2, e.directories[1]), HARMLESS, alike="clean-svs"),
        svs_edit("chain-in-reverse", _reversed, HARMLESS, alike="clean-svs"),
    ]


def _structure() -> list[Input]:
    return [
        svs_edit("subfile-of-level-0-reduced", lambda e: e.put(0, SUBFILE, [1]), HARMLESS, alike="clean-svs"),
        svs_edit("subfile-of-level-1-label", lambda e: e.put(1, SUBFILE, [9]), HARMLESS, alike="clean-svs"),
        tif_edit("no-level-0", lambda e: e.put(0, SUBFILE, [1]), HARMLESS, alike="clean-tif"),
        svs_edit("no-width", lambda e: e.drop(0, WIDTH), UNREADABLE),
        svs_edit("no-tile-width", lambda e: e.drop(0, TILE_WIDTH), UNREADABLE),
        svs_edit("no-offsets", lambda e: e.drop(0, TILE_OFFSETS), DAMAGED),
        svs_edit("no-byte-counts", lambda e: e.drop(0, TILE_COUNTS), DAMAGED),
        svs_edit("no-compression", lambda e: e.drop(0, COMPRESSION), DAMAGED),
        svs_edit("no-photometric", lambda e: e.drop(0, PHOTOMETRIC), DAMAGED),
        svs_edit("description-huge", lambda e: e.put_count(0, DESCRIPTION, _HUGE), _UNSAID),
        svs_edit("description-as-long", lambda e: e.put_kind(0, DESCRIPTION, LONG), _READ_ANYWAY, alike="clean-svs"),
        svs_edit("entry-count-65535", lambda e: e.put_entry_count(0, 65535), DAMAGED),
        tif_edit("sample-format-float", _sample_format, DAMAGED),
    ]


def _svs(name: str, *pairs: int, ending: Ending = DAMAGED) -> Input:
    alike = "clean-svs" if ending == HARMLESS else ""
    return svs_edit(name, lambda e: _put(e, *pairs), ending, alike=alike)


def _put(edit: TiffEdit, *pairs: int) -> None:
    for tag, value in zip(pairs[::2], pairs[1::2], strict=True):
        edit.put(0, tag, [value])


def _every(tag: int, *values: int) -> Callable[[TiffEdit], object]:
    """The same lie in every directory."""
    return lambda edit: [edit.put(k, tag, values) for k in range(len(edit.directories))]


def _sized(edit: TiffEdit, directory: int, width: int, height: int) -> None:
    edit.put(directory, WIDTH, [width])
    edit.put(directory, LENGTH, [height])


def _item(name: str, tag: int, value: int | Callable[[int], int], ending: Ending = DAMAGED) -> Input:
    alike = "clean-svs" if ending == HARMLESS else ""
    return svs_edit(name, lambda e: _item_put(e, tag, value), ending, alike=alike)


def _item_put(edit: TiffEdit, tag: int, value: int | Callable[[int], int]) -> None:
    was = edit.values(0, tag)[TISSUE]
    edit.put_item(0, tag, TISSUE, value if isinstance(value, int) else value(was))


def _other_tile(edit: TiffEdit) -> None:
    for tag in (TILE_OFFSETS, TILE_COUNTS):
        edit.put_item(0, tag, TISSUE, edit.values(0, tag)[OTHER_TISSUE])


def _swapped(edit: TiffEdit) -> None:
    for tag in (TILE_OFFSETS, TILE_COUNTS):
        one, other = edit.values(0, tag)[TISSUE], edit.values(0, tag)[OTHER_TISSUE]
        edit.put_item(0, tag, TISSUE, other).put_item(0, tag, OTHER_TISSUE, one)


def _reversed(edit: TiffEdit) -> None:
    """Smallest level first."""
    first, second, third = edit.directories
    for directory, following in ((first, 0), (second, first), (third, second)):
        edit.link_of(directory, following)
    edit.write_at(4, third.to_bytes(4, "little"))


def _sample_format(edit: TiffEdit) -> None:
    """A tag in place of one that no reader needs."""
    entry = edit.entries(0)[SUBFILE]
    edit.data[entry.at : entry.at + 2] = FORMAT.to_bytes(2, "little")
    edit.put(0, FORMAT, [3], SHORT)
