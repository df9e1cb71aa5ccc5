"""OME-Zarr 0.4 (NGFF on Zarr v2): a folder of chunks with their axes, scales and colours in JSON.

A chunk that is not there is missing: Zarr would fill it with a number. What the JSON says is read here;
tiatoolbox opens the arrays.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.folders import json_object, ome_zarr_version
from wsi_features.slides.foreign.source import Array, PieceCache, chosen, from_tiles, pyramid
from wsi_features.slides.slide import Form, MppCandidate, Scene

_MICRONS = {"angstrom": 1e-4, "nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}
_PRIMARIES = ["FF0000", "00FF00", "0000FF"]
_BLOSC_HEAD = 16

Json = dict[str, Any]


class OmeZarr:
    """One image and focal plane of an OME-Zarr folder. Raises SlideFileError when none is 8-bit RGB."""

    def __init__(self, slide_id: str, path: str, scene: str = "", plane: int | None = None) -> None:
        found = _images(slide_id, Path(path))
        self.scenes = tuple(Scene(name, image.sizes[0], image.planes) for name, image in found.items())
        index, self.plane = chosen(slide_id, path, self.scenes, scene, plane)
        self.scene = self.scenes[index].name
        self._image = found[self.scene]
        if unmet := self._image.unmet():
            remedy = "Write it with bioformats2raw, or add what is missing to its .zattrs"
            raise SlideFileError.unsupported(slide_id, path, unmet, remedy)
        self._arrays = self._image.arrays()
        self.levels = pyramid(self._image.sizes)
        self.mpp_candidates = self._image.mpp_candidates()
        self.icc_profile: bytes | None = None
        compressor = self._image.meta[0].get("compressor") or {}
        self.form = Form(vendor="OME-Zarr", compression=str(compressor.get("id", "none")), tile=self._image.tile(0))
        self._cache = PieceCache()

    def rgba(self, region: Region, level: int) -> Array:
        """The pixels of `region`; chunks that are not there are transparent."""

        def fetch(column: int, row: int) -> Array | None:
            return self._cache.get((level, column, row), lambda: self._piece(level, column, row))

        return from_tiles(region, self._image.sizes[level], self._image.tile(level), fetch)

    def shift(self, level: int) -> float:  # noqa: ARG002 - levels are averages of whole blocks
        """No shift."""
        return 0.0

    def close(self) -> None:
        """Nothing stays open between reads."""

    def _piece(self, level: int, column: int, row: int) -> Array | None:
        image, tile = self._image, self._image.tile(level)
        if not image.has_chunks(level, self.plane, column, row):
            return None
        place: dict[str, Any] = {"t": 0, "z": self.plane, "c": slice(None)}
        place["y"] = slice(row * tile.height, (row + 1) * tile.height)
        place["x"] = slice(column * tile.width, (column + 1) * tile.width)
        pixels = np.asarray(self._arrays[level][tuple(place[axis] for axis in image.axes)])
        kept = [axis for axis in image.axes if axis in "cyx"]
        return np.ascontiguousarray(pixels.transpose([kept.index(axis) for axis in "yxc"]))


class _Image:
    """What the JSON of one image says; `meta` holds the `.zarray` of each level."""

    def __init__(self, folder: Path, attributes: Json) -> None:
        self.folder = folder
        multiscale = attributes["multiscales"][0]
        self.axes = "".join(str(axis["name"]).lower() for axis in multiscale["axes"])
        self._units = [str(axis.get("unit", "")) for axis in multiscale["axes"]]
        self._datasets: list[Json] = multiscale["datasets"]
        omero = attributes.get("omero") or {}
        self._colours = [str(channel.get("color", "")).upper() for channel in omero.get("channels", [])]
        self._has_rdefs = "rdefs" in omero
        self.meta = [json_object(folder / str(dataset["path"]) / ".zarray") for dataset in self._datasets]
        self.sizes = tuple(Size(self._along(meta, "x"), self._along(meta, "y")) for meta in self.meta)
        self.planes = self._along(self.meta[0], "z")

    def problem(self) -> str:
        """What keeps it from being an 8-bit RGB image, empty when nothing does."""
        first = self.meta[0]
        if any(meta["dtype"] not in {"|u1", "<u1", ">u1"} for meta in self.meta):
            return f"pixels of type {first['dtype']}"
        channels = self._along(first, "c")
        if channels != 3 or self._colours != _PRIMARIES:
            stated = ", ".join(self._colours) or "no colours in `omero`"
            return f"{channels} channels ({stated}) that are not stated to be red, green and blue"
        others = [axis for axis in self.axes if axis not in "czyx" and self._along(first, axis) > 1]
        return f"several images along the axes {', '.join(others)}" if others else ""

    def unmet(self) -> str:
        """What tiatoolbox needs beyond the standard and does not find, empty when nothing."""
        if not self._has_rdefs:
            return "OME-Zarr whose `omero` has no `rdefs`"
        named = [str(dataset["path"]) for dataset in self._datasets if not str(dataset["path"]).isdecimal()]
        return f"OME-Zarr with levels that are not called by numbers ({', '.join(named)})" if named else ""

    def tile(self, level: int) -> Size:
        """Size of a chunk."""
        chunks = dict(zip(self.axes, self.meta[level]["chunks"], strict=True))
        return Size(int(chunks["x"]), int(chunks["y"]))

    def has_chunks(self, level: int, plane: int, column: int, row: int) -> bool:
        """Whether every file that holds a part of this tile is there. Raises ValueError when one is cut short."""
        meta = self.meta[level]
        chunks = dict(zip(self.axes, meta["chunks"], strict=True))
        folder = self.folder / str(self._datasets[level]["path"])
        separator = str(meta.get("dimension_separator", "."))
        for channel in {c // int(chunks["c"]) for c in range(3)}:
            place = {"c": channel, "z": plane // int(chunks.get("z", 1)), "y": row, "x": column}
            chunk = folder / separator.join(str(place.get(axis, 0)) for axis in self.axes)
            if not chunk.is_file():
                return False
            if (meta.get("compressor") or {}).get("id") == "blosc":
                _check_blosc(chunk)
        return True

    def mpp_candidates(self) -> tuple[MppCandidate, ...]:
        """The scale of level 0 where it is stated in a unit of length."""
        scale = next((t["scale"] for t in self._datasets[0].get("coordinateTransformations", []) if "scale" in t), None)
        if scale is None:
            return ()
        x, y = (self.axes.index(axis) for axis in "xy")
        units = [_MICRONS.get(self._units[i]) for i in (x, y)]
        if units[0] is None or units[1] is None:
            return ()
        return (MppCandidate("NGFF scale", float(scale[x]) * units[0], float(scale[y]) * units[1]),)

    def arrays(self) -> list[Any]:
        """The Zarr array of each level, opened by tiatoolbox."""
        from wsi_features.slides.foreign.toolbox import toolbox

        with toolbox() as readers:
            opened = readers.NGFFWSIReader(str(self.folder))
        return [opened.level_arrays[int(dataset["path"])].array for dataset in self._datasets]

    def _along(self, meta: Json, axis: str) -> int:
        return int(dict(zip(self.axes, meta["shape"], strict=True)).get(axis, 1))


def _images(slide_id: str, folder: Path) -> dict[str, _Image]:
    """The images that can be read, by scene name: "" when the folder is one image, else their group."""
    if ome_zarr_version(folder) != 2:
        remedy = "Convert it to OME-Zarr 0.4 on Zarr v2"
        raise SlideFileError.unsupported(slide_id, str(folder), "OME-Zarr 0.5 on Zarr v3", remedy)
    attributes = json_object(folder / ".zattrs")
    if "multiscales" in attributes:
        groups = {"": folder}
    else:
        numbered = [child for child in folder.iterdir() if child.name.isdecimal() and (child / ".zattrs").is_file()]
        groups = {child.name: child for child in sorted(numbered, key=lambda child: int(child.name))}
    found = {name: _Image(group, json_object(group / ".zattrs")) for name, group in groups.items()}
    usable = {name: image for name, image in found.items() if not image.problem()}
    if not usable:
        what = next((image.problem() for image in found.values()), "no image")
        raise SlideFileError.image_not_rgb(slide_id, str(folder), what)
    return usable


def _check_blosc(chunk: Path) -> None:
    """Blosc decodes a chunk that is cut short without an error, from whatever lies behind it in memory (measured)."""
    with chunk.open("rb") as file:
        head = file.read(_BLOSC_HEAD)
    stated, found = int.from_bytes(head[12:16], "little"), chunk.stat().st_size
    if len(head) < _BLOSC_HEAD or stated != found:
        raise ValueError(f"chunk {chunk.name} has {found} bytes, its head says {stated}")
