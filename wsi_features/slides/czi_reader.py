"""Zeiss CZI through pylibCZIrw, an optional package: mosaics whose origin may be negative, with scenes and planes.

The library fills what no tile covers with a background colour, so coverage comes from the tiles' boxes. It
reads coarser zooms by taking every nth pixel; only a stored pyramid that lies on the grid of level 0 is offered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import SlideFileError, one_line
from wsi_features.geometry import Region, Size
from wsi_features.slides.array_reader import composed_on_white
from wsi_features.slides.foreign.source import DAMAGE, chosen
from wsi_features.slides.slide import Form, Level, MppCandidate, Pixels, Scene, SlideBase

_MAGIC = b"ZISRAWFILE\0\0\0\0\0\0"
_ONE_ONLY = "TRIHVB"
"""Dimensions in which more than one image would leave open which of them is the slide."""

_COMPRESSIONS = {"UnCompressed": "none", "Jpg": "JPEG", "JpgXr": "JPEG XR", "Zstd0": "Zstandard", "Zstd1": "Zstandard"}


@dataclass(frozen=True, slots=True)
class _Tile:
    """One stored tile: its box in the file's level-0 pixels, and level-0 pixels per stored pixel."""

    box: Region
    shrink: float
    pixel_type: str
    compression: str


class CziReader(SlideBase):
    """One scene and focal plane: the first scene and the middle plane where none is asked for.

    Scenes are numbered as in the file; level-0 positions start at the scene's own corner. Raises SlideFileError
    when pylibCZIrw is not installed, or the file is damaged or anything but 8-bit RGB in one channel.
    """

    reader = "czi"

    def __init__(
        self, slide_id: str, path: str, scene: str = "", plane: int | None = None, why: str = "a CZI file"
    ) -> None:
        self._slide_id, self._path, self.why = slide_id, path, why
        self._handle: Any = _opened(slide_id, path)
        try:
            self._lay_out(scene, plane)
        except SlideFileError:
            self.close()
            raise
        except DAMAGE as error:
            self.close()
            raise _refused(slide_id, path, error) from error

    def _lay_out(self, scene: str, plane: int | None) -> None:
        extent = self._handle.total_bounding_box
        _check_one(self._slide_id, self._path, extent)
        boxes = _scene_boxes(self._handle)
        planes = int(extent["Z"][1])
        self._scenes = tuple(Scene(_name(number), Size(b.width, b.height), planes) for number, b in boxes.items())
        index, self.plane = chosen(self._slide_id, self._path, self._scenes, scene, plane)
        self.scene = self._scenes[index].name
        self._number, self._box = list(boxes.items())[index]
        tiles = _tiles(self._handle, self._number, self.plane)
        _check_rgb(self._slide_id, self._path, tiles)
        shrinks, note = _aligned_shrinks(tiles, self._box)
        boxes_of_0 = [tile.box for tile in tiles if tile.shrink == 1]
        self._covered = np.array([(box.x, box.y, box.width, box.height) for box in boxes_of_0], np.float64)
        self.levels = tuple(_level(self._box, shrink) for shrink in shrinks)
        self.mpp_candidates = _scaling(self._handle.metadata)
        compression = sorted({_COMPRESSIONS.get(tile.compression, tile.compression) for tile in tiles})
        self.form = Form(vendor="zeiss", compression=", ".join(compression), notes=(note,) if note else ())

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """All scenes of the file; without scenes one that has no name."""
        return self._scenes

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region` of `level`; damage is reported in the status, and the file opened again after it."""
        try:
            if self._handle is None:
                self._handle = _opened(self._slide_id, self._path)
            rgba = self._rgba(region, level)
        except (SlideFileError, *DAMAGE) as error:
            self.close()
            white = np.full((region.height, region.width, 3), 255, np.uint8)
            return Pixels(white, 0.0, "unreadable", one_line(error) or type(error).__name__)
        return composed_on_white(rgba)

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def reopened(self) -> CziReader:
        """Another handle of the same scene and plane."""
        return CziReader(self._slide_id, self._path, self.scene, self.plane, self.why)

    def _rgba(self, region: Region, level: int) -> npt.NDArray[np.uint8]:
        """(h, w, 4); what no tile of level 0 covers is transparent."""
        out = np.zeros((region.height, region.width, 4), np.uint8)
        size, shrink = self.levels[level].size, int(self.levels[level].downsample)
        left, top = max(region.x, 0), max(region.y, 0)
        right, bottom = min(region.x + region.width, size.width), min(region.y + region.height, size.height)
        if right <= left or bottom <= top:
            return out
        inside = Region(left, top, right - left, bottom - top)
        covered = _coverage(self._covered, self._box, inside, shrink)
        window = out[top - region.y : bottom - region.y, left - region.x : right - region.x]
        if covered.any():
            window[..., :3] = self._pixels(inside, shrink)
            window[..., 3] = np.where(covered, 255, 0)
        return out

    def _pixels(self, inside: Region, shrink: int) -> npt.NDArray[np.uint8]:
        corner = (self._box.x + inside.x * shrink, self._box.y + inside.y * shrink)
        roi = (*corner, inside.width * shrink, inside.height * shrink)
        bgr = self._handle.read(
            roi=roi, plane={"Z": self.plane}, scene=self._number, zoom=1 / shrink, pixel_type="Bgr24"
        )
        if bgr.shape != (inside.height, inside.width, 3):
            raise ValueError(f"{inside.width} x {inside.height} pixels were asked for, {bgr.shape} read")
        return np.asarray(bgr[..., ::-1], np.uint8)


def is_czi(path: str) -> bool:
    """Whether the file starts as a CZI file does."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _opened(slide_id: str, path: str) -> Any:
    try:
        from pylibCZIrw import czi
    except ImportError as error:
        raise SlideFileError.no_package(slide_id, path, "CZI", "pylibCZIrw", "czi") from error
    try:
        return czi.CziReader(path)
    except DAMAGE as error:
        raise _refused(slide_id, path, error) from error


def _refused(slide_id: str, path: str, error: Exception) -> SlideFileError:
    return SlideFileError.refused(slide_id, path, "pylibCZIrw", one_line(error) or type(error).__name__)


def _check_one(slide_id: str, path: str, extent: Mapping[str, Sequence[int]]) -> None:
    several = [f"{extent[axis][1]} images along {axis}" for axis in _ONE_ONLY if extent.get(axis, (0, 1))[1] > 1]
    channels = int(extent["C"][1])
    if channels > 1:
        raise SlideFileError.image_not_rgb(slide_id, path, f"{channels} channels")
    if several:
        raise SlideFileError.unsupported(slide_id, path, ", ".join(several), "Export one of them as an RGB image")


def _scene_boxes(handle: Any) -> dict[int | None, Region]:
    """The box of level 0 of each scene, by its number; the whole file under None where it has no scenes."""
    found: dict[int | None, Region] = {
        n: Region(*box) for n, box in handle.scenes_bounding_rectangle_no_pyramid.items()
    }
    return found or {None: Region(*handle.total_bounding_rectangle_no_pyramid)}


def _name(number: int | None) -> str:
    return "" if number is None else str(number)


def _tiles(handle: Any, number: int | None, plane: int) -> list[_Tile]:
    """The tiles of one scene and plane, of all zooms."""
    found: list[_Tile] = []

    def add(_index: int, info: Any) -> bool:
        box = info.logicalRect
        shrink = box.w / info.physicalSize.w
        mode = info.get_compression_mode()
        found.append(_Tile(Region(box.x, box.y, box.w, box.h), shrink, info.pixelType.name, mode.name))
        return True

    place = {"Z": plane} if handle.total_bounding_box["Z"][1] > 1 else {}
    place |= {} if number is None else {"S": number}
    handle.enumerate_subblocks_subset(add, plane=place or None)
    return found


def _check_rgb(slide_id: str, path: str, tiles: Sequence[_Tile]) -> None:
    if not any(tile.shrink == 1 for tile in tiles):
        raise SlideFileError.refused(slide_id, path, "pylibCZIrw", "the scene has no tile of level 0")
    other = sorted({tile.pixel_type for tile in tiles} - {"Bgr24"})
    if other:
        raise SlideFileError.image_not_rgb(slide_id, path, f"pixels of type {', '.join(other)}")


def _aligned_shrinks(tiles: Sequence[_Tile], box: Region) -> tuple[list[int], str]:
    """1, and the powers of two in which a pyramid is stored without a gap, up to the first that is off the grid.

    Off the grid, the library would shift pixels by up to one of the level without saying so.
    """
    level0 = sum(tile.box.width * tile.box.height for tile in tiles if tile.shrink == 1)
    shrinks, stored = [1], {tile.shrink for tile in tiles if tile.shrink > 1}
    while (shrink := 2 * shrinks[-1]) in {round(found) for found in stored}:
        of_it = [tile for tile in tiles if round(tile.shrink) == shrink]
        lies = all(_on_grid(tile, box, shrink) for tile in of_it)
        area = sum(tile.box.width * tile.box.height for tile in of_it)
        if not lies or area < level0 / 2:
            return shrinks, f"The stored level at 1:{shrink} does not lie on the grid of level 0 and is not used."
        shrinks.append(shrink)
    return shrinks, ""


def _on_grid(tile: _Tile, box: Region, shrink: int) -> bool:
    return (tile.box.x - box.x) % shrink == 0 and (tile.box.y - box.y) % shrink == 0 and tile.shrink == shrink


def _level(box: Region, shrink: int) -> Level:
    """Whole pixels only: the rest of a pixel at the right and bottom edge is left out."""
    return Level(Size(box.width // shrink, box.height // shrink), float(shrink))


def _coverage(boxes: npt.NDArray[np.float64], origin: Region, inside: Region, shrink: int) -> npt.NDArray[np.bool_]:
    """Which pixels of `inside` (level pixels from `origin`) lie wholly on tiles, bool (h, w).

    `boxes` (n, 4) holds x, y, width and height of the tiles in the file's level-0 pixels.
    """
    share = np.zeros((inside.height, inside.width), np.float32)
    corners = (boxes[:, :2] - (origin.x, origin.y)) / shrink - (inside.x, inside.y)
    sizes = boxes[:, 2:] / shrink
    near = ((corners < (inside.width, inside.height)) & (corners + sizes > 0)).all(axis=1)
    for (x, y), (width, height) in zip(corners[near], sizes[near], strict=True):
        columns, across = _overlap(x, width, inside.width)
        rows, down = _overlap(y, height, inside.height)
        share[rows, columns] += np.outer(down, across)
    # Tiles overlap at their seams, so a sum may be more than one.
    return share > 1 - 1e-4


def _overlap(start: float, length: float, extent: int) -> tuple[slice, npt.NDArray[np.float32]]:
    """The pixels of 0 to `extent` that an interval touches, and how much of each it covers."""
    first, last = max(0, math.floor(start)), min(extent, math.ceil(start + length))
    at = np.arange(first, last)
    covered = np.minimum(at + 1, start + length) - np.maximum(at, start)
    return slice(first, last), np.clip(covered, 0, 1).astype(np.float32)


def _scaling(metadata: Any) -> tuple[MppCandidate, ...]:
    """Metres per pixel along X and Y, as the file's metadata states them."""
    found: dict[str, float] = {}
    items = _inner(metadata, "ImageDocument", "Metadata", "Scaling", "Items", "Distance")
    for item in items if isinstance(items, list) else [items]:
        value = item.get("Value") if isinstance(item, Mapping) else None
        if value is not None and float(value) != 0:  # the writer puts 0 where nothing was stated
            found[str(item.get("@Id"))] = float(value) * 1e6
    return (MppCandidate("CZI scaling", found["X"], found["Y"]),) if {"X", "Y"} <= found.keys() else ()


def _inner(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree
