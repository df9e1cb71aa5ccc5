"""Mutations by structure: tags, chains of directories, tables of tiles, JPEG segments, and plain bytes.

Each takes random numbers and the bytes of a sound TIFF and gives other bytes. All of them together are `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jpeg_edit import DHT, DQT, DRI, EOI, SOF0, SOS, Jpeg, Segment
from tiff_edit import CODES, TILE_COUNTS, TILE_OFFSETS, Entry, TiffEdit

Random = np.random.Generator
Mutation = Callable[[Random, bytes], bytes]

_WIDTHS = {1: 8, 2: 8, 3: 16, 4: 32, 5: 32, 7: 8, 16: 64}
_EXTREMES = (0, 1, 2, 3, 7, 8, 255, 256, 2**15, 2**16 - 1, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


def near_or_far(random: Random, value: int, most: int) -> int:
    """Another number: a neighbour, a multiple, an extreme or any, up to `most`."""
    near = (value - 1, value + 1, value + 2, value * 2, value // 2, value + 16, value - 16, value ^ 1)
    anything = int(random.integers(0, min(most, 2**32 - 1)))
    chosen = (near[random.integers(len(near))], _EXTREMES[random.integers(len(_EXTREMES))], anything)
    return int(np.clip(chosen[random.choice(3, p=(0.5, 0.35, 0.15))], 0, most))


def tag_value(random: Random, data: bytes) -> bytes:
    """One number of one tag."""
    edit, directory, entry = _any_entry(random, data)
    index = int(random.integers(len(edit.values(directory, entry.tag))))
    most = 2 ** _WIDTHS.get(entry.kind, 8) - 1
    value = near_or_far(random, edit.values(directory, entry.tag)[index], most)
    return bytes(edit.put_item(directory, entry.tag, index, value).data)


def tag_kind(random: Random, data: bytes) -> bytes:
    edit, directory, entry = _any_entry(random, data)
    return bytes(edit.put_kind(directory, entry.tag, int(random.integers(0, 20))).data)


def tag_count(random: Random, data: bytes) -> bytes:
    edit, directory, entry = _any_entry(random, data)
    return bytes(edit.put_count(directory, entry.tag, near_or_far(random, entry.count, 2**32 - 1)).data)


def tag_place(random: Random, data: bytes) -> bytes:
    """Where the values of a tag are said to lie; of short ones it is the value."""
    edit, directory, entry = _any_entry(random, data)
    places = (
        near_or_far(random, entry.values_at, 2**32 - 1),
        int(random.integers(len(data))),
        len(data) - 1,
        len(data),
    )
    return bytes(edit.put_place(directory, entry.tag, places[random.integers(4)]).data)


def tag_dropped(random: Random, data: bytes) -> bytes:
    edit, directory, entry = _any_entry(random, data)
    return bytes(edit.drop(directory, entry.tag).data)


def tag_renamed(random: Random, data: bytes) -> bytes:
    """The values of one tag under the number of another."""
    edit, _, entry = _any_entry(random, data)
    known = (254, 255, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 279, 284, 317, 320, 330, 338, 339, 347, 34675)
    return bytes(edit.write_at(entry.at, int(known[random.integers(len(known))]).to_bytes(2, "little")).data)


def chain(random: Random, data: bytes) -> bytes:
    """The way from one directory to the next, or the number of entries of one."""
    edit = TiffEdit(data)
    places = edit.directories
    directory = int(random.integers(len(places)))
    targets = (
        0,
        1,
        8,
        *places,
        places[directory] + 2,
        len(data) - 2,
        len(data),
        2**32 - 2,
        int(random.integers(len(data))),
    )
    if random.random() < 0.3:
        count = near_or_far(random, len(edit.entries(directory)), 2**16 - 1)
        return bytes(edit.put_entry_count(directory, count).data)
    target = int(targets[random.integers(len(targets))])
    if random.random() < 0.25:
        return bytes(edit.write_at(4, target.to_bytes(4, "little")).data)
    return bytes(edit.link(directory, target).data)


def tile_table(random: Random, data: bytes) -> bytes:
    """Positions and lengths of up to four tiles: none, past the end, overlapping, in the header, a bit more or less."""
    edit = TiffEdit(data)
    for _ in range(random.integers(1, 5)):
        directory, tile = _any_tile(random, edit)
        offset, count = edit.segment(directory, tile)
        tag, value = (
            (TILE_OFFSETS, 0),
            (TILE_OFFSETS, len(data) - 1),
            (TILE_OFFSETS, near_or_far(random, offset, 2**32 - 1)),
            (TILE_OFFSETS, offset + count // 2),
            (TILE_COUNTS, 0),
            (TILE_COUNTS, len(data)),
            (TILE_COUNTS, near_or_far(random, count, 2**32 - 1)),
            (TILE_COUNTS, count // 2),
        )[random.integers(8)]
        edit.put_item(directory, tag, tile, value)
    return bytes(edit.data)


def tiles_exchanged(random: Random, data: bytes) -> bytes:
    """Two tiles change places, or one is put in the place of another, in one level or between two."""
    edit = TiffEdit(data)
    one, other = _any_tile(random, edit), _any_tile(random, edit)
    first, second = edit.segment(*one), edit.segment(*other)
    _point(edit, one, second)
    if random.random() < 0.5:
        _point(edit, other, first)
    return bytes(edit.data)


def jpeg_frame(random: Random, data: bytes) -> bytes:
    """The depth, size, components and sampling of one tile, or the components and spectrum of its scan."""

    def change(tile: Jpeg) -> Jpeg:
        marker, places = ((SOF0, (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13)), (SOS, (0, 1, 3, 5, 7, 8, 9)))[
            random.integers(2)
        ]
        at = int(places[random.integers(len(places))])
        was = next(s.content[at] for s in tile.segments if s.marker == marker)
        return tile.put(marker, at, near_or_far(random, was, 255))

    return _in_jpeg(random, data, change)


def jpeg_segments(random: Random, data: bytes) -> bytes:
    """A segment of one tile lost, doubled, or added: restart interval, colour mark, unknown."""

    def change(tile: Jpeg) -> Jpeg:
        chosen = tile.segments[random.integers(len(tile.segments))]
        transform = int(random.integers(3))
        return (
            lambda: Jpeg(tuple(s for s in tile.segments if s is not chosen or s.marker == SOS), tile.scan),
            lambda: tile.add(chosen) if chosen.marker != SOS else tile,
            lambda: tile.add(Segment(DRI, int(random.integers(1, 40)).to_bytes(2, "big"))),
            lambda: tile.add(Segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))),
            lambda: tile.add(Segment(0xE5, random.bytes(8))),
            lambda: tile.with_scan(tile.scan.removesuffix(bytes([0xFF, EOI]))),
            lambda: tile.with_scan(tile.scan[: int(random.integers(len(tile.scan)))]),
        )[random.integers(7)]()

    return _in_jpeg(random, data, change)


def jpeg_tables(random: Random, data: bytes) -> bytes:
    """A number of the quantisation or Huffman tables of one tile, or which of them it uses: often another legal picture."""

    def change(tile: Jpeg) -> Jpeg:
        if random.random() < 0.2:
            marker, places = ((SOF0, (8, 11, 14)), (SOS, (2, 4, 6)))[random.integers(2)]
            return tile.put(marker, int(places[random.integers(3)]), (0, 1, 0x10, 0x11)[random.integers(4)])
        marker = (DQT, DHT)[random.integers(2)]
        size = next(len(s.content) for s in tile.segments if s.marker == marker)
        return tile.put(marker, int(random.integers(size)), int(random.integers(256)))

    return _in_jpeg(random, data, change)


def coded_flip(random: Random, data: bytes) -> bytes:
    """One to three bits inside the coded pixels of one tile."""
    edit = TiffEdit(data)
    offset, count = edit.segment(*_any_tile(random, edit))
    tile = bytes(edit.data[offset : offset + count])
    start = count - len(Jpeg.of(tile).scan) if tile[:2] == b"\xff\xd8" else 2
    for _ in range(random.integers(1, 4)):
        edit.data[offset + int(random.integers(start, count))] ^= 1 << int(random.integers(8))
    return bytes(edit.data)


def truncated(random: Random, data: bytes) -> bytes:
    return data[: int(random.integers(1, len(data)))]


def spliced(random: Random, data: bytes) -> bytes:
    """Some bytes lost or put in, so that all after them lie elsewhere; or two stretches exchanged."""
    at, size = int(random.integers(8, len(data))), int(2 ** random.uniform(0, 12))
    if random.random() < 0.4:
        return data[:at] + data[at + size :]
    if random.random() < 0.6:
        return data[:at] + random.bytes(size) + data[at:]
    second = int(random.integers(8, len(data)))
    at, second = sorted((at, second))
    size = min(size, second - at)
    middle = data[at + size : second]
    return data[:at] + data[second : second + size] + middle + data[at : at + size] + data[second + size :]


def appended(random: Random, data: bytes) -> bytes:
    """Bytes after the end, which nothing points to."""
    return data + random.bytes(int(2 ** random.uniform(0, 14)))


def header_bytes(random: Random, data: bytes) -> bytes:
    """Up to four bytes of the file's header or of a directory, whatever they mean."""
    edit = TiffEdit(data)
    starts = (0, *edit.directories)
    for _ in range(random.integers(1, 5)):
        start = starts[random.integers(len(starts))]
        at = start + int(random.integers(8 if start == 0 else 200))
        edit.data[at % len(data)] = int(random.integers(256))
    return bytes(edit.data)


def zeroed(random: Random, data: bytes) -> bytes:
    """A stretch of the file lost to zeros, as a disk loses its sectors."""
    at, size = int(random.integers(len(data))) // 512 * 512, 512 * int(2 ** random.uniform(0, 7))
    return data[:at] + bytes(min(size, len(data) - at)) + data[at + size :]


FAMILIES: dict[str, tuple[Mutation, float]] = {
    "tag value": (tag_value, 5),
    "tag type": (tag_kind, 2),
    "tag count": (tag_count, 2),
    "tag place": (tag_place, 2),
    "tag dropped": (tag_dropped, 1),
    "tag renamed": (tag_renamed, 1),
    "chain": (chain, 2),
    "tile table": (tile_table, 4),
    "tiles exchanged": (tiles_exchanged, 2),
    "jpeg frame": (jpeg_frame, 2),
    "jpeg segments": (jpeg_segments, 2),
    "jpeg tables": (jpeg_tables, 1),
    "coded flip": (coded_flip, 2),
    "truncated": (truncated, 2),
    "spliced": (spliced, 2),
    "appended": (appended, 0.5),
    "header bytes": (header_bytes, 2),
    "zeroed": (zeroed, 2),
}
"""Every family with its share."""

JPEG_ONLY = frozenset({"jpeg frame", "jpeg segments", "jpeg tables"})


def coded_bits_changed(sound: bytes, data: bytes) -> bool:
    """Whether two files differ in the coded pixels of JPEG tiles, and nowhere outside of tiles."""
    if len(sound) != len(data):
        return False
    changed = np.frombuffer(sound, np.uint8) != np.frombuffer(data, np.uint8)
    edit, coded = TiffEdit(sound), False
    for directory in range(len(edit.directories)):
        for tile, segment in enumerate(edit.segments(directory)):
            offset, count = edit.segment(directory, tile)
            if segment[:2] == b"\xff\xd8":
                coded |= bool(changed[offset + count - len(Jpeg.of(segment).scan) : offset + count].any())
                changed[offset : offset + count] = False
    return coded and not changed.any()


def _any_entry(random: Random, data: bytes) -> tuple[TiffEdit, int, Entry]:
    edit = TiffEdit(data)
    directory = int(random.integers(len(edit.directories)))
    entries = [entry for entry in edit.entries(directory).values() if entry.kind in CODES]
    return edit, directory, entries[random.integers(len(entries))]


def _any_tile(random: Random, edit: TiffEdit) -> tuple[int, int]:
    """Level 0 three times of four, where the pixels come from."""
    directory = 0 if random.random() < 0.75 else int(random.integers(len(edit.directories)))
    return directory, int(random.integers(len(edit.values(directory, TILE_OFFSETS))))


def _point(edit: TiffEdit, tile: tuple[int, int], segment: tuple[int, int]) -> None:
    edit.put_item(tile[0], TILE_OFFSETS, tile[1], segment[0])
    edit.put_item(tile[0], TILE_COUNTS, tile[1], segment[1])


def _in_jpeg(random: Random, data: bytes, change: Callable[[Jpeg], Jpeg]) -> bytes:
    """Change one tile; a longer one goes to the end of the file."""
    edit = TiffEdit(data)
    directory, tile = _any_tile(random, edit)
    offset, count = edit.segment(directory, tile)
    content = change(Jpeg.of(bytes(edit.data[offset : offset + count]))).stream()
    place = offset if len(content) <= count else edit.append(content)
    edit.write_at(place, content)
    _point(edit, (directory, tile), (place, len(content)))
    return bytes(edit.data)
