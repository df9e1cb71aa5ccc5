"""TIFF structures in raw bytes: directories, tags, offset tables, each of which can be made to lie.

Nothing here checks that what it writes is a TIFF; that is the purpose. Classic and
BigTIFF, both byte orders. Numbers of the tags used are named as in the TIFF 6.0 text.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 256, 257, 258, 259, 262, 270
STRIP_OFFSETS, ORIENTATION, SAMPLES, STRIP_COUNTS = 273, 274, 277, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR, UNIT = 282, 283, 284, 296
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 322, 323, 324, 325
SUBFILE, EXTRA, FORMAT, TABLES, SUBSAMPLING = 254, 338, 339, 347, 530

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16
CODES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d"}
CODES |= {13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_DIRECTORIES = 64

Values = tuple[int, ...]
Tags = dict[int, tuple[int, Values]]
"""Kind and values by tag; a rational is two values, text is its bytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory: where its 12 or 20 bytes lie, and where its values do."""

    tag: int
    kind: int
    count: int
    at: int
    values_at: int


@dataclass(frozen=True, slots=True)
class Form:
    """The sizes in which classic TIFF and BigTIFF differ."""

    order: str
    big: bool

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def offset(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def entry(self) -> int:
        return 20 if self.big else 12

    @property
    def inline(self) -> int:
        return 8 if self.big else 4

    @property
    def first(self) -> int:
        """Where the header holds the offset of the first directory."""
        return 8 if self.big else 4

    def packed(self, kind: int, values: Sequence[int]) -> bytes:
        code = CODES[kind][0]
        return struct.pack(f"{self.order}{len(values)}{code}", *values)


class TiffEdit:
    """The bytes of a TIFF, to be changed in place or at the end. Directories are counted from 0 along their chain."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        order = "<" if data[:2] == b"II" else ">"
        self.form = Form(order, struct.unpack(order + "H", data[2:4])[0] == 43)

    @property
    def directories(self) -> list[int]:
        """Offset of each directory, as far as the chain can be followed."""
        found: list[int] = []
        following = self._number(self.form.offset, self.form.first)
        while following and following not in found and len(found) < _MOST_DIRECTORIES:
            found.append(following)
            following = self._number(self.form.offset, self._link_at(following))
        return found

    def entries(self, directory: int) -> dict[int, Entry]:
        """The tags of a directory."""
        start = self.directories[directory]
        size = struct.calcsize(self.form.count)
        places = [start + size + self.form.entry * k for k in range(self._number(self.form.count, start))]
        return {entry.tag: entry for entry in map(self._entry, places)}

    def values(self, directory: int, tag: int) -> Values:
        """The numbers of a tag."""
        entry = self.entries(directory)[tag]
        code = CODES[entry.kind]
        wanted = f"{self.form.order}{entry.count * len(code)}{code[0]}"
        return struct.unpack_from(wanted, self.data, entry.values_at)

    def tags(self, directory: int) -> Tags:
        """Everything in a directory."""
        return {tag: (entry.kind, self.values(directory, tag)) for tag, entry in self.entries(directory).items()}

    def segment(self, directory: int, index: int) -> tuple[int, int]:
        """Offset and byte count of one tile or strip."""
        offsets, counts = self._tables(directory)
        return self.values(directory, offsets)[index], self.values(directory, counts)[index]

    def segments(self, directory: int) -> list[bytes]:
        """The bytes of every tile or strip."""
        offsets, counts = (self.values(directory, tag) for tag in self._tables(directory))
        return [bytes(self.data[o : o + n]) for o, n in zip(offsets, counts, strict=True)]

    def put(self, directory: int, tag: int, values: Sequence[int] | bytes, kind: int | None = None) -> TiffEdit:
        """Give a tag other values; they go to its place where they fit, else to the end of the file."""
        entry = self.entries(directory)[tag]
        kind = entry.kind if kind is None else kind
        content = self.form.packed(kind, tuple(values))
        count = len(values) // len(CODES[kind])
        place = entry.values_at
        if len(content) > max(self.form.inline, _bytes_of(entry)):
            place = self.append(content)
            self._write(entry.at + self._value_field, self.form.offset, place)
        elif len(content) <= self.form.inline:
            place = entry.at + self._value_field
            content = content.ljust(self.form.inline, b"\0")
        self.data[place : place + len(content)] = content
        self._write(entry.at + 2, self.form.order + "H", kind)
        return self.put_count(directory, tag, count)

    def put_item(self, directory: int, tag: int, index: int, value: int) -> TiffEdit:
        """Change one of a tag's numbers."""
        values = list(self.values(directory, tag))
        values[index] = value
        return self.put(directory, tag, values)

    def put_count(self, directory: int, tag: int, count: int) -> TiffEdit:
        """State another number of values, whatever is there."""
        code = self.form.order + ("Q" if self.form.big else "I")
        self._write(self.entries(directory)[tag].at + 4, code, count)
        return self

    def put_kind(self, directory: int, tag: int, kind: int) -> TiffEdit:
        """State another type of the values, whatever is there."""
        self._write(self.entries(directory)[tag].at + 2, self.form.order + "H", kind)
        return self

    def put_place(self, directory: int, tag: int, offset: int) -> TiffEdit:
        """Point to other values, or change those that lie in the entry itself."""
        self._write(self.entries(directory)[tag].at + self._value_field, self.form.offset, offset)
        return self

    def drop(self, directory: int, tag: int) -> TiffEdit:
        """Take a tag out; the entries after it move up."""
        start, entries = self.directories[directory], self.entries(directory)
        end = self._link_at(start) + struct.calcsize(self.form.offset)
        place = entries[tag].at
        self.data[place : end - self.form.entry] = self.data[place + self.form.entry : end]
        self._write(start, self.form.count, len(entries) - 1)
        return self

    def link(self, directory: int, following: int) -> TiffEdit:
        """State another offset of the next directory."""
        return self.link_of(self.directories[directory], following)

    def link_of(self, offset: int, following: int) -> TiffEdit:
        """The same for the directory at an offset, whether or not the chain leads there."""
        self._write(self._link_at(offset), self.form.offset, following)
        return self

    def put_entry_count(self, directory: int, count: int) -> TiffEdit:
        """State another number of entries."""
        self._write(self.directories[directory], self.form.count, count)
        return self

    def write_at(self, offset: int, content: bytes) -> TiffEdit:
        """Overwrite some bytes."""
        self.data[offset : offset + len(content)] = content
        return self

    def append(self, content: bytes) -> int:
        """Add bytes at the end, at an even offset, which is returned."""
        self.data += b"\0" * (len(self.data) % 2)
        self.data += content
        return len(self.data) - len(content)

    @property
    def _value_field(self) -> int:
        return 12 if self.form.big else 8

    def _tables(self, directory: int) -> tuple[int, int]:
        tiled = TILE_OFFSETS in self.entries(directory)
        return (TILE_OFFSETS, TILE_COUNTS) if tiled else (STRIP_OFFSETS, STRIP_COUNTS)

    def _entry(self, at: int) -> Entry:
        tag, kind = struct.unpack_from(self.form.order + "HH", self.data, at)
        count = self._number(self.form.order + ("Q" if self.form.big else "I"), at + 4)
        entry = Entry(tag, kind, count, at, at + self._value_field)
        if _bytes_of(entry) <= self.form.inline:
            return entry
        return Entry(tag, kind, count, at, self._number(self.form.offset, entry.values_at))

    def _link_at(self, directory: int) -> int:
        count = self._number(self.form.count, directory)
        return int(directory + struct.calcsize(self.form.count) + self.form.entry * count)

    def _number(self, code: str, at: int) -> int:
        return int(struct.unpack_from(code, self.data, at)[0])

    def _write(self, at: int, code: str, value: int) -> None:
        struct.pack_into(code, self.data, at, value)


def _bytes_of(entry: Entry) -> int:
    code = CODES.get(entry.kind, "B")
    return entry.count * struct.calcsize("<" + code)
