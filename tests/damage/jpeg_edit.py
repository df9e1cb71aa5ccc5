"""JPEG streams as segments: found, changed, left out, or moved into the tables that a TIFF shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SOI, EOI, SOF0, DHT, DQT, DRI, SOS, APP14 = 0xD8, 0xD9, 0xC0, 0xC4, 0xDB, 0xDD, 0xDA, 0xEE


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker with its content, without the marker and the length."""

    marker: int
    content: bytes

    def stream(self) -> bytes:
        return bytes([0xFF, self.marker]) + (len(self.content) + 2).to_bytes(2, "big") + self.content


@dataclass(frozen=True, slots=True)
class Jpeg:
    """A baseline stream: the segments up to the scan, and the entropy-coded data after it with its end marker."""

    segments: tuple[Segment, ...]
    scan: bytes

    @classmethod
    def of(cls, data: bytes) -> Jpeg:
        found: list[Segment] = []
        at = 2
        while not found or found[-1].marker != SOS:
            size = int.from_bytes(data[at + 2 : at + 4], "big")
            found.append(Segment(data[at + 1], data[at + 4 : at + 2 + size]))
            at += 2 + size
        return cls(tuple(found), data[at:])

    def stream(self) -> bytes:
        return bytes([0xFF, SOI]) + b"".join(segment.stream() for segment in self.segments) + self.scan

    def without(self, *markers: int) -> Jpeg:
        return Jpeg(tuple(s for s in self.segments if s.marker not in markers), self.scan)

    def put(self, marker: int, offset: int, value: int) -> Jpeg:
        """Change one byte of the first segment of a marker."""
        segments = list(self.segments)
        index = next(k for k, s in enumerate(segments) if s.marker == marker)
        content = bytearray(segments[index].content)
        content[offset % len(content)] = value
        segments[index] = Segment(marker, bytes(content))
        return Jpeg(tuple(segments), self.scan)

    def add(self, segment: Segment) -> Jpeg:
        """A segment before all others."""
        return Jpeg((segment, *self.segments), self.scan)

    def with_scan(self, scan: bytes) -> Jpeg:
        return Jpeg(self.segments, scan)


def shared_tables(tiles: Sequence[bytes]) -> tuple[bytes, list[bytes]]:
    """The tables of equal streams on their own, as TIFF tag 347 holds them, and the streams without them."""
    parts = [Jpeg.of(tile) for tile in tiles]
    tables = [s for s in parts[0].segments if s.marker in {DQT, DHT}]
    whole = bytes([0xFF, SOI]) + b"".join(s.stream() for s in tables) + bytes([0xFF, EOI])
    return whole, [part.without(DQT, DHT, 0xE0).stream() for part in parts]
