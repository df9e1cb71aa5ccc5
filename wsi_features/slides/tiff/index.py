"""What a TIFF holds, found once from its headers: scenes, levels, and where each compressed tile lies.

The index is shared by all readers of a file, and answers from tables alone. A file that is not decoded here
gets a reason instead, in a few words for a person, and goes to another reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from wsi_features.slides.tiff.file import SharedFile
from wsi_features.slides.tiff.ifd import DamagedTiffError, Directory, NotDirectError, directories
from wsi_features.slides.tiff.jpeg import jpeg_header, jpeg_mismatch
from wsi_features.slides.tiff.jpeg2000 import jpeg2000_mismatch
from wsi_features.slides.tiff.level import TiffLevel, TileState, mark_overlaps, out_of_order
from wsi_features.slides.tiff.ome import is_ome, ome_scenes
from wsi_features.slides.tiff.scenes import TiffScene, aperio_scene, is_aperio, other_vendor, plain_scene

_HEAD = 16_384
"""Bytes of a tile that are looked at: JPEG headers are below 1 KiB unless they carry a profile."""

_DAMAGE = {
    TileState.NOWHERE: "have a length but no position",
    TileState.BEYOND: "end beyond the end of the file",
    TileState.TOO_LONG: "are said to take many times the bytes of their pixels",
    TileState.OVERLAPPING: "overlap others in the file",
}


@dataclass(frozen=True, slots=True, eq=False)
class TiffIndex:
    """The tables of one file. `file` must be held while tiles are read.

    `damage` tells of tiles that the tables show to be unreadable (`TiffLevel.states` says which), `notes` of
    images that are left out; one sentence each.
    """

    file: SharedFile
    scenes: tuple[TiffScene, ...]
    damage: tuple[str, ...]
    notes: tuple[str, ...] = ()


def tiff_index(path: str) -> TiffIndex | str:
    """The index of a file, or in a few words why it must go to another reader. Raises DamagedTiffError where none may try."""
    file = SharedFile(path)
    try:
        with file.held():
            scenes, notes = _scenes(file)
            levels = [level for scene in scenes for plane in scene.planes for level in plane]
            mark_overlaps(levels)
            for scene in scenes:
                _check_first_tiles(file, scene)
    except DamagedTiffError:
        raise
    except NotDirectError as error:
        return str(error)
    except OSError as error:
        return error.strerror or "the disk does not give it"
    return TiffIndex(file, scenes, tuple(_damage(scenes)), (*notes, *_exchanged(scenes)))


def _scenes(file: SharedFile) -> tuple[tuple[TiffScene, ...], tuple[str, ...]]:
    chain = directories(file)
    first = next(chain)
    if vendor := other_vendor(first):
        raise NotDirectError(f"{vendor} files have rules of their own")
    found = [first, *chain]
    if is_ome(first):
        return ome_scenes(found, file.size)
    return (_pyramid(found, file.size),), ()


def _pyramid(found: Sequence[Directory], file_size: int) -> TiffScene:
    return aperio_scene(found, file_size) if is_aperio(found[0]) else plain_scene(found, file_size)


def _check_first_tiles(file: SharedFile, scene: TiffScene) -> None:
    """Refuse a scene whose tiles are other than its directories say. A broken tile says nothing of the others."""
    for number, level in enumerate(scene.planes[0]):
        readable = np.flatnonzero(level.states == TileState.STORED)
        if readable.size:
            first = int(readable[0])
            head = file.read(int(level.offsets[first]), min(int(level.counts[first]), _HEAD))
            if mismatch := _mismatch(head, level):
                raise NotDirectError(f"level {number} holds {mismatch}")


def _mismatch(head: bytes, level: TiffLevel) -> str:
    if level.coding.scheme == "JPEG":
        header = jpeg_header(head)
        return jpeg_mismatch(header, level.coding.tile) if header is not None else ""
    if level.coding.scheme == "JPEG 2000":
        mismatch = jpeg2000_mismatch(head, level.coding.tile)
        return mismatch if mismatch.startswith("JPEG 2000") else ""
    return ""


def _damage(scenes: Sequence[TiffScene]) -> Iterator[str]:
    for where, level in _levels(scenes):
        for state, text in _DAMAGE.items():
            if bad := np.count_nonzero(level.states == state):
                yield f"{where}: {bad} of {len(level.states)} tiles {text}"


def _exchanged(scenes: Sequence[TiffScene]) -> Iterator[str]:
    """A tile in the place of another decodes without an error: only the order of the file can tell."""
    seen = np.empty(0, np.int64)
    for where, level in _levels(scenes):
        stored = level.offsets[level.states == TileState.STORED]
        apart = out_of_order(level) or np.count_nonzero(np.isin(stored, seen))  # or it is a tile of another level
        seen = np.concatenate([seen, stored])
        if apart:
            yield f"{where}: {apart} of {len(level.states)} tiles lie out of the file's order, as if put in others' places"


def _levels(scenes: Sequence[TiffScene]) -> Iterator[tuple[str, TiffLevel]]:
    """Every level with its name for a person."""
    for scene in scenes:
        for depth, plane in enumerate(scene.planes):
            where = f"{scene.name}: " * bool(scene.name) + f"plane {depth}, " * (len(scene.planes) > 1)
            yield from ((f"{where}level {number}", level) for number, level in enumerate(plane))
