"""Directories of a TIFF file: which tags each has, and their values when asked for.

Classic and BigTIFF, both byte orders (TIFF 6.0, Adobe 1992). Strict: what is cut short, runs in a circle
or lies outside the file is refused. Tables of tiles are read as arrays, so the size of a slide costs nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.slides.tiff.file import SharedFile

MOST_DIRECTORIES = 16_384
MOST_TAGS = 4_096
"""Most tags of a directory, and most values of a tag that is no table of tiles."""
MOST_TEXT = 32 * 2**20
"""Longest text or profile that is read; OME-XML of large files takes a few MiB."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE_NUMBERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_FRACTION = 5
_FURTHEST = np.uint64(2**62)
"""Larger positions and sizes are cut to this, so that sums of two of them still fit 64 bits."""


class NotDirectError(ValueError):
    """Why a file is left to another reader, in a few words; it never leaves this package."""


class DamagedTiffError(NotDirectError):
    """In what a TIFF contradicts itself, in a few words. No other reader may try it: most read on and give something."""


@dataclass(frozen=True, slots=True)
class Notation:
    """How numbers are written in one file: `order` is `<` or `>`."""

    order: str
    big: bool

    @property
    def entry(self) -> struct.Struct:
        """Tag, type, count; the value or its position follows."""
        return struct.Struct(f"{self.order}{'HHQ' if self.big else 'HHI'}")

    @property
    def count(self) -> struct.Struct:
        """Number of tags of a directory."""
        return struct.Struct(f"{self.order}{'Q' if self.big else 'H'}")

    @property
    def position(self) -> struct.Struct:
        """A place in the file."""
        return struct.Struct(f"{self.order}{'Q' if self.big else 'I'}")


@dataclass(frozen=True, slots=True)
class Field:
    """The type and number of a tag's values, and where in the file they lie."""

    kind: int
    count: int
    position: int


class Directory:
    """One image's tags. Values are read from the file, which must be open, each time they are asked for."""

    def __init__(self, file: SharedFile, notation: Notation, fields: dict[int, Field]) -> None:
        self._file, self._notation, self._fields = file, notation, fields

    def __contains__(self, tag: int) -> bool:
        return tag in self._fields

    def numbers(self, tag: int, most: int = MOST_TAGS) -> npt.NDArray[np.int64]:
        """The whole numbers of a tag, int64 (n,), cut to 2**62; none where the tag is absent."""
        field = self._fields.get(tag)
        if field is None:
            return np.zeros(0, np.int64)
        if field.count > most:
            raise NotDirectError(f"tag {tag} has {field.count} values")
        if field.kind not in _WHOLE_NUMBERS:
            raise NotDirectError(f"tag {tag} is not of whole numbers")
        stored = np.frombuffer(self._bytes(tag, field), np.dtype(self._notation.order + _WHOLE_NUMBERS[field.kind]))
        return np.asarray(np.minimum(stored.astype(np.uint64), _FURTHEST), np.int64)

    def number(self, tag: int, default: int) -> int:
        """The first whole number of a tag, or `default`."""
        found = self.numbers(tag)
        return int(found[0]) if found.size else default

    def ratio(self, tag: int) -> float | None:
        """The first fraction of a tag, or None."""
        field = self._fields.get(tag)
        if field is None or field.kind != _FRACTION or field.count != 1:
            return None
        above, below = struct.unpack(f"{self._notation.order}II", self._bytes(tag, field))
        return above / below if below else None

    def raw(self, tag: int) -> bytes:
        """The bytes of a tag of any type, empty where it is absent."""
        field = self._fields.get(tag)
        if field is None:
            return b""
        if field.count > MOST_TEXT:
            raise NotDirectError(f"tag {tag} has {field.count} bytes")
        return self._bytes(tag, field)

    def text(self, tag: int) -> str:
        """The text of a tag up to its first NUL, empty where it is absent."""
        return self.raw(tag).split(b"\0", 1)[0].decode("utf-8", "replace")

    def inner(self, tag: int) -> list[Directory]:
        """The directories that a tag of positions points to."""
        return [_directory(self._file, self._notation, int(position))[0] for position in self.numbers(tag)]

    def _bytes(self, tag: int, field: Field) -> bytes:
        size = field.count * _SIZES[field.kind]
        found = self._file.read(field.position, size) if field.position + size <= self._file.size else b""
        if len(found) != size:
            raise DamagedTiffError(f"the values of tag {tag} end beyond the end of the file")
        return found


def directories(file: SharedFile) -> Iterator[Directory]:
    """The chain of directories of an open file, in its order. Raises NotDirectError where it is no TIFF or damaged."""
    notation, position = _header(file.read(0, 16))
    seen: set[int] = set()
    while position:
        if position in seen:
            raise DamagedTiffError("its directories run in a circle")
        if len(seen) == MOST_DIRECTORIES:
            raise DamagedTiffError(f"more than {MOST_DIRECTORIES} directories")
        seen.add(position)
        directory, position = _directory(file, notation, position)
        yield directory
    if not seen:
        raise NotDirectError("it has no directory")


def _header(head: bytes) -> tuple[Notation, int]:
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise NotDirectError("it is not a TIFF")
    version, first = struct.unpack_from(f"{order}HI", head, 2)
    if version == 42:
        return Notation(order, big=False), first
    if version != 43 or len(head) < 16 or struct.unpack_from(f"{order}HH", head, 4) != (8, 0):
        raise NotDirectError("it is not a TIFF")
    return Notation(order, big=True), struct.unpack_from(f"{order}Q", head, 8)[0]


def _directory(file: SharedFile, notation: Notation, position: int) -> tuple[Directory, int]:
    """The directory at `position`, and the position of the next one."""
    width = notation.entry.size + notation.position.size
    head = _exactly(file, position, notation.count.size)
    (tags,) = notation.count.unpack(head)
    if not 0 < tags <= MOST_TAGS:
        raise DamagedTiffError(f"a directory of {tags} tags")
    start = position + notation.count.size
    body = _exactly(file, start, tags * width + notation.position.size)
    fields: dict[int, Field] = {}
    for at in range(0, tags * width, width):
        tag, kind, count = notation.entry.unpack_from(body, at)
        if kind not in _SIZES:
            continue  # the standard asks readers to pass over types they do not know
        inline = count * _SIZES[kind] <= notation.position.size
        value = at + notation.entry.size
        place = start + value if inline else notation.position.unpack_from(body, value)[0]
        fields.setdefault(tag, Field(kind, count, place))
    return Directory(file, notation, fields), notation.position.unpack_from(body, tags * width)[0]


def _exactly(file: SharedFile, position: int, count: int) -> bytes:
    found = file.read(position, count) if position + count <= file.size else b""
    if len(found) != count:
        raise DamagedTiffError("a directory lies beyond the end of the file")
    return found
