"""Whole TIFFs from parts: taken apart into directories and tiles, changed, and put together in any order."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tiff_edit import (
    CODES,
    LONG,
    LONG8,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    TILE_COUNTS,
    TILE_OFFSETS,
    TILE_WIDTH,
    Form,
    Tags,
    TiffEdit,
)


@dataclass(frozen=True, slots=True)
class Directory:
    """One image of a TIFF: its tags without the tables, and its tiles or strips as they are in the file."""

    tags: Tags
    segments: list[bytes]


def directories_of(data: bytes) -> list[Directory]:
    """Take a sound TIFF apart."""
    edit = TiffEdit(data)
    tables = {TILE_OFFSETS, TILE_COUNTS, STRIP_OFFSETS, STRIP_COUNTS}
    return [
        Directory({t: v for t, v in edit.tags(k).items() if t not in tables}, edit.segments(k))
        for k in range(len(edit.directories))
    ]


def tiff_bytes(
    directories: Sequence[Directory], *, headers_first: bool = False, big: bool = False, order: str = "<"
) -> bytes:
    """Put a TIFF together.

    `headers_first` is the order of cloud-optimised files: all directories, then the levels
    from the smallest to the largest; otherwise each directory is followed by its tiles. An empty
    segment is written as offset 0 and count 0, as writers mark tiles that were never scanned.
    """
    form = Form(order, big)
    sizes = [_header_size(form, directory) for directory in directories]
    numbers = range(len(directories))
    blocks: list[tuple[str, int]] = [item for k in numbers for item in (("header", k), ("tiles", k))]
    if headers_first:
        blocks = [("header", k) for k in numbers] + [("tiles", k) for k in reversed(numbers)]
    places, end = {}, 16 if big else 8
    for kind, k in blocks:
        places[kind, k] = end
        end += sizes[k] if kind == "header" else even(sum(map(len, directories[k].segments)))
    out = bytearray(end)
    out[: form.first] = (
        (b"II" if order == "<" else b"MM")
        + struct.pack(order + "H", 43 if big else 42)[:2]
        + (struct.pack(order + "HH", 8, 0) if big else b"")
    )
    struct.pack_into(form.offset, out, form.first, places["header", 0])
    for k, directory in enumerate(directories):
        following = places["header", k + 1] if k + 1 < len(directories) else 0
        header = _header(form, directory, places["header", k], places["tiles", k], following)
        out[places["header", k] : places["header", k] + len(header)] = header
        body = b"".join(directory.segments)
        out[places["tiles", k] : places["tiles", k] + len(body)] = body
    return bytes(out)


def _all_tags(form: Form, directory: Directory, tiles_at: int) -> Tags:
    offsets, place = [], tiles_at
    for segment in directory.segments:
        offsets.append(place if segment else 0)
        place += len(segment)
    tiled = TILE_WIDTH in directory.tags
    kind = LONG8 if form.big else LONG
    tables = {
        (TILE_OFFSETS if tiled else STRIP_OFFSETS): (kind, tuple(offsets)),
        (TILE_COUNTS if tiled else STRIP_COUNTS): (kind, tuple(map(len, directory.segments))),
    }
    return dict(sorted((directory.tags | tables).items()))


def _header_size(form: Form, directory: Directory) -> int:
    return len(_header(form, directory, 0, 0, 0))


def _header(form: Form, directory: Directory, at: int, tiles_at: int, following: int) -> bytes:
    tags = _all_tags(form, directory, tiles_at)
    start = at + struct.calcsize(form.count) + form.entry * len(tags) + struct.calcsize(form.offset)
    entries, extra = struct.pack(form.count, len(tags)), b""
    for tag, (kind, values) in tags.items():
        content = form.packed(kind, values)
        count = len(values) // len(CODES[kind])
        entries += struct.pack(form.order + "HH" + ("Q" if form.big else "I"), tag, kind, count)
        if len(content) <= form.inline:
            entries += content.ljust(form.inline, b"\0")
        else:
            entries += struct.pack(form.offset, start + len(extra))
            extra += content.ljust(even(len(content)), b"\0")
    whole = entries + struct.pack(form.offset, following) + extra
    return whole.ljust(even(len(whole)), b"\0")


def even(size: int) -> int:
    return size + size % 2
