"""[hot] Tiled TIFFs read directly: regions put together from compressed tiles, each decoded once where it can be.

The pixels are OpenSlide's to the bit, at whole pixels of every level. What the file does not hold, or cannot be
decoded, is reported and never filled in.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region
from wsi_features.slides.slide import BlockLayout, Form, Level, Pixels, Scene, SlideBase
from wsi_features.slides.tiff.decode import decoded, pixels
from wsi_features.slides.tiff.fetch import compressed
from wsi_features.slides.tiff.index import TiffIndex
from wsi_features.slides.tiff.jpeg import jpeg_stream
from wsi_features.slides.tiff.level import TiffLevel, TileState
from wsi_features.slides.tiff.scenes import TiffScene

U8 = npt.NDArray[np.uint8]

_MISSING = int(TileState.MISSING)
CACHE_BYTES = 64 * 2**20
"""Decoded tiles that a reader keeps: two rows of 256 px tiles of a slide 43,000 pixels wide."""


class TiffReader(SlideBase):
    """One scene and focal plane of an index, for one thread; readers of one index share its file.

    Without `scene` it is the first, without `plane` the middle one. Raises SlideFileError where there is no such.
    Tiles that a read used in part are kept for the next ones, and all once reads are seen to overlap; what a
    read gives never depends on earlier ones.
    """

    reader = "tiff"

    def __init__(
        self,
        slide_id: str,
        path: str,
        index: TiffIndex,
        scene: str = "",
        plane: int | None = None,
        why: str = "tiled TIFF, read directly",
    ) -> None:
        self._slide_id, self._path, self._index, self.why = slide_id, path, index, why
        chosen = _chosen(slide_id, path, index, scene)
        planes = len(chosen.planes)
        self.scene, self.plane = chosen.name, planes // 2 if plane is None else plane
        if not 0 <= self.plane < planes:
            raise SlideFileError.no_plane(slide_id, path, self.plane, planes)
        self._tables = chosen.planes[self.plane]
        self._recent = _RecentTiles(CACHE_BYTES)
        self._let_go = [bytearray(len(table.states)) for table in self._tables]
        self._overlapping = False
        self._holds_file, self._holding = False, Lock()
        self.levels = tuple(Level(table.size, table.downsample) for table in self._tables)
        self.form = _form(chosen, self._tables, index)
        self.mpp_candidates, self.properties = chosen.mpp_candidates, MappingProxyType(dict(chosen.properties))
        self.icc_profile = chosen.icc_profile

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All that the file holds and that is decoded here."""
        return tuple(Scene(s.name, s.planes[0][0].size, len(s.planes)) for s in self._index.scenes)

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region` of `level`; what lies outside is missing, and damage is reported in the status."""
        table = self._tables[level]
        touched = table.touched(region)
        stored = [number for number in touched if table.states[number] != _MISSING]
        whole = len(stored) == len(touched) and region.inside(table.size)
        canvas: U8 | None = None
        covered = 0
        for number in stored:
            box = table.box(number)
            keep = self._overlapping or not _contains(region, box)
            tile = self._tile(level, number, keep=keep)
            if isinstance(tile, str):
                return _unreadable(region, f"tile {number} of level {level} at x={box.x}, y={box.y}: {tile}")
            if whole and region == box and tile.shape[:2] == (region.height, region.width):
                return Pixels(tile.copy() if keep else tile, 1.0, "ok")
            if canvas is None:
                canvas = _canvas(region, filled=not whole)
            covered += _paint(canvas, region, tile, box)
        return _composed(_canvas(region, filled=True) if canvas is None else canvas, covered)

    def _tile(self, level: int, number: int, *, keep: bool) -> U8 | str:
        """The decoded tile, or why there is none. One that is kept must not be given away, only copied from."""
        kept = self._recent.get((level, number))
        if kept is not None:
            return kept if keep else kept.copy()
        if not keep:
            # Keeping takes a third of decoding and more (measured): whole tiles are kept once one is needed again.
            self._overlapping = bool(self._let_go[level][number])
            self._let_go[level][number] = 1
        if refused := self._hold():
            return refused
        tile = decoded(self._index, self._tables[level], number)
        if keep and not isinstance(tile, str):
            self._recent.put((level, number), tile)
        return tile

    def blocks(self, level: int) -> BlockLayout:
        """The compressed tiles of `level`."""
        table = self._tables[level]
        coding = table.coding
        return BlockLayout(coding.tile, table.across, table.states == TileState.STORED, coding.scheme == "JPEG")

    def compressed(self, level: int, numbers: Sequence[int]) -> list[bytes | str]:
        """The bytes of compressed tiles, or why they cannot be had; for any thread."""
        if refused := self._hold():
            return [refused] * len(numbers)
        return compressed(self._index, self._tables[level], numbers)

    def decode(self, level: int, data: bytes, out: U8 | None = None, reduction: int = 1) -> U8 | str:
        """The pixels that `data` of `level` codes, nothing kept; for any thread."""
        return pixels(data, self._tables[level].coding, out, reduction)

    def standalone(self, level: int, data: bytes) -> bytes | None:
        """The block as a JPEG file of Y, Cb, Cr; None where it is none."""
        coding = self._tables[level].coding
        if coding.scheme != "JPEG" or not coding.ycbcr:
            return None
        found = jpeg_stream(data, coding.tile, coding.tables, ycbcr=True)
        return None if isinstance(found, str) else found

    def _hold(self) -> str:
        """Have the file open from now on; says why where that cannot be."""
        if self._holds_file:
            return ""
        with self._holding:
            if not self._holds_file:
                try:
                    self._index.file.retain()
                except OSError as error:
                    return error.strerror or "the file cannot be opened"
                self._holds_file = True
        return ""

    def close(self) -> None:
        """Let go of the file and of decoded tiles; a later read opens it again."""
        self._recent.clear()
        if self._holds_file:
            self._holds_file = False
            self._index.file.release()

    def reopened(self) -> TiffReader:
        """Another reader of the same index; nothing is read again."""
        return TiffReader(self._slide_id, self._path, self._index, self.scene, self.plane, self.why)


class _RecentTiles:
    """The tiles used last, of bounded size."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._bytes = most_bytes, 0
        self._tiles: OrderedDict[tuple[int, int], U8] = OrderedDict()

    def get(self, key: tuple[int, int]) -> U8 | None:
        tile = self._tiles.get(key)
        if tile is not None:
            self._tiles.move_to_end(key)
        return tile

    def put(self, key: tuple[int, int], tile: U8) -> None:
        self._tiles[key] = tile
        self._bytes += tile.nbytes
        while self._bytes > self._most:
            self._bytes -= self._tiles.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        self._tiles.clear()
        self._bytes = 0


def _chosen(slide_id: str, path: str, index: TiffIndex, name: str) -> TiffScene:
    found = index.scenes[0] if not name else next((scene for scene in index.scenes if scene.name == name), None)
    if found is None:
        raise SlideFileError.no_scene(slide_id, path, name, [scene.name for scene in index.scenes])
    return found


def _form(scene: TiffScene, tables: tuple[TiffLevel, ...], index: TiffIndex) -> Form:
    coding = tables[0].coding
    notes = tuple(f"{note[0].upper()}{note[1:]}." for note in (*index.damage, *index.notes))
    colour = "YCbCr" if coding.ycbcr else "RGB"
    return Form(scene.vendor, coding.scheme, bits=8, colour=colour, tile=coding.tile, notes=notes)


def _contains(region: Region, box: Region) -> bool:
    right, bottom = region.x + region.width, region.y + region.height
    return region.x <= box.x and region.y <= box.y and box.x + box.width <= right and box.y + box.height <= bottom


def _canvas(region: Region, *, filled: bool) -> U8:
    shape = (region.height, region.width, 3)
    return np.full(shape, 255, np.uint8) if filled else np.empty(shape, np.uint8)


def _paint(canvas: U8, region: Region, tile: U8, box: Region) -> int:
    """Copy what a tile at `box` has of the region, and say how many pixels these were."""
    left, top = max(region.x, box.x), max(region.y, box.y)
    right, bottom = min(region.x + region.width, box.x + box.width), min(region.y + region.height, box.y + box.height)
    part = tile[top - box.y : bottom - box.y, left - box.x : right - box.x]
    canvas[top - region.y : bottom - region.y, left - region.x : right - region.x] = part
    return (right - left) * (bottom - top)


def _composed(canvas: U8, covered: int) -> Pixels:
    area = canvas.shape[0] * canvas.shape[1]
    if covered == area:
        return Pixels(canvas, 1.0, "ok")
    return Pixels(canvas, covered / area, "ok" if covered else "missing", "" if covered else "not scanned")


def _unreadable(region: Region, reason: str) -> Pixels:
    return Pixels(_canvas(region, filled=True), 0.0, "unreadable", reason)
