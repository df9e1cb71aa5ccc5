"""OME-TIFF: its series are the scenes, its pyramids lie in SubIFDs, which OpenSlide does not see.

Tiles are decoded one by one from the pages that tiatoolbox holds open: its own reader would give black
for tiles that were never written. Names of images are not passed on, since they may name patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.foreign.source import DAMAGE, Array, PieceCache, chosen, from_tiles, pyramid
from wsi_features.slides.resolution import tiff_candidate
from wsi_features.slides.slide import Form, MppCandidate, Scene

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffFrame, TiffPage, TiffPageSeries

_MICRONS = {"pm": 1e-6, "nm": 1e-3, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "in": 25_400.0}
_MICRONS |= {"\u00c5": 1e-4, "\u00b5m": 1.0, "\u03bcm": 1.0}
"""Length units of the OME schema; both ways to write the Greek letter occur."""

_PAGE_AXES = "YXS"
_NOT_SLIDES = ("label", "macro", "overview", "thumbnail", "barcode")
_PRIMARIES = (0xFF0000FF, 0x00FF00FF, 0x0000FFFF)
"""Red, green and blue as OME writes the colour of a channel: RGBA in one number, which may be signed."""

_LARGEST_PIECE = 100_000_000
_RESOLUTION_UNITS = {2: "inch", 3: "centimeter"}
_UNASSOCIATED_ALPHA = 2


def is_ome_tiff(path: str) -> bool:
    """Whether the first page of a TIFF describes itself in OME XML."""
    from tifffile import TiffFile

    try:
        with TiffFile(path) as tiff:
            return bool(tiff.is_ome)
    except DAMAGE:
        return False


class OmeTiff:
    """One series and focal plane of an OME-TIFF. Raises SlideFileError when none is 8-bit RGB."""

    def __init__(self, slide_id: str, path: str, scene: str = "", plane: int | None = None) -> None:
        self._tiff: TiffFile = _opened(path)
        try:
            images = _images(self._tiff)
            usable = _usable(slide_id, path, self._tiff, images)
            self.scenes = tuple(_scene(self._tiff.series[i], str(i) if len(usable) > 1 else "") for i in usable)
            index, self.plane = chosen(slide_id, path, self.scenes, scene, plane)
            self.scene = self.scenes[index].name
            self._series: TiffPageSeries = self._tiff.series[usable[index]]
            _check_alone(slide_id, path, self._series)
        except (SlideFileError, *DAMAGE):
            self.close()
            raise
        self.levels = pyramid([_size(level) for level in self._series.levels])
        page = self._series.keyframe
        stated = (_physical_size(images[usable[index]]), _tiff_resolution(page))
        self.mpp_candidates = tuple(candidate for candidate in stated if candidate is not None)
        self.icc_profile: bytes | None = page.iccprofile
        self.form = _form(page)
        self._cache = PieceCache()

    def rgba(self, region: Region, level: int) -> Array:
        """The pixels of `region`; tiles that were never written are transparent."""
        series = self._series.levels[level]
        tile = _tile(series.keyframe)

        def fetch(column: int, row: int) -> Array | None:
            return self._cache.get((level, column, row), lambda: self._piece(series, column, row))

        return from_tiles(region, _size(series), tile, fetch)

    def shift(self, level: int) -> float:  # noqa: ARG002 - levels are averages of whole blocks
        """No shift."""
        return 0.0

    def close(self) -> None:
        """Release the file."""
        self._tiff.close()

    def _piece(self, series: TiffPageSeries, column: int, row: int) -> Array | None:
        """One tile of the plane, (h, w, 3 or 4), its channels taken from as many pages as hold them."""
        key = series.keyframe
        size, tile = _size(series), _tile(key)
        across, down = -(-size.width // tile.width), -(-size.height // tile.height)
        parts = 1 if key.planarconfig == 1 else key.samplesperpixel
        numbers = [part * across * down + row * across + column for part in range(parts)]
        pages = [_page(series, self.plane, channel) for channel in range(_channels(series))]
        pieces = [_decoded(page, key, number) for page in pages for number in numbers]
        if any(piece is None for piece in pieces):
            return None
        return np.concatenate([piece for piece in pieces if piece is not None], axis=2)


def _opened(path: str) -> TiffFile:
    from tifffile import TiffFile

    from wsi_features.slides.foreign.toolbox import toolbox

    with TiffFile(path) as tiff:
        stacked = tiff.series[0].axes not in {"YXS", "SYX", "CYX"}
    if stacked:
        return TiffFile(path)  # tiatoolbox refuses the axes of focal planes, tifffile under it does not
    with toolbox() as readers:
        reader = readers.TIFFWSIReader(path, series=0, post_proc=None)
    reader._zarr_store.close()  # noqa: SLF001 - the file opened a second time, which tiatoolbox never closes
    opened: TiffFile = reader.tiff
    return opened


def _images(tiff: TiffFile) -> list[dict[str, Any]]:
    """The Image elements of the OME XML, one for each series."""
    from tifffile import xml2dict

    found = xml2dict(tiff.ome_metadata or "")["OME"]["Image"]
    images = found if isinstance(found, list) else [found]
    if len(images) != len(tiff.series):
        raise ValueError(f"its OME XML describes {len(images)} images, the file holds {len(tiff.series)}")
    return images


def _usable(slide_id: str, path: str, tiff: TiffFile, images: Sequence[dict[str, Any]]) -> list[int]:
    """The series that are 8-bit RGB and no label or overview."""
    problems = [_problem(series, image) for series, image in zip(tiff.series, images, strict=True)]
    usable = [i for i, problem in enumerate(problems) if not problem]
    slides = [i for i in usable if not any(word in str(images[i].get("Name", "")).lower() for word in _NOT_SLIDES)]
    if not usable:
        raise SlideFileError.image_not_rgb(slide_id, path, problems[0])
    return slides or usable


def _problem(series: TiffPageSeries, image: dict[str, Any]) -> str:
    """What keeps a series from being an 8-bit RGB image, empty when nothing does."""
    page = series.keyframe
    extent = dict(zip(series.axes, series.shape, strict=True))
    others = [f"{count} of axis {axis}" for axis, count in extent.items() if axis not in "YXSZC" and count > 1]
    alpha = tuple(int(extra) for extra in page.extrasamples)
    kind = getattr(page.photometric, "name", "unknown")
    found = f"{page.bitspersample}-bit {kind} with {page.samplesperpixel} samples a pixel"
    channels = extent.get("C", 1)
    if others or page.bitspersample != 8 or page.dtype != np.uint8 or _pieces_too_large(page):
        return ", ".join([found, *others])
    if channels == 1:
        plain = kind == "RGB" or (kind == "YCBCR" and page.compression in {6, 7})
        return "" if plain and (page.samplesperpixel, alpha) in {(3, ()), (4, (_UNASSOCIATED_ALPHA,))} else found
    rgb = channels == 3 and page.samplesperpixel == 1 and kind == "MINISBLACK" and _states_rgb(image)
    return "" if rgb else f"{found} in {channels} channels that are not stated to be red, green and blue"


def _pieces_too_large(page: TiffPage) -> bool:
    return _tile(page).area > _LARGEST_PIECE


def _states_rgb(image: dict[str, Any]) -> bool:
    """Whether the three channels are one of three samples, or red, green and blue in this order."""
    channels = image["Pixels"].get("Channel", [])
    if isinstance(channels, dict):
        return bool(channels.get("SamplesPerPixel") == 3)
    return [int(channel.get("Color", -1)) & 0xFFFFFFFF for channel in channels] == list(_PRIMARIES)


def _scene(series: TiffPageSeries, name: str) -> Scene:
    planes = dict(zip(series.axes, series.shape, strict=True)).get("Z", 1)
    return Scene(name, _size(series), int(planes))


def _check_alone(slide_id: str, path: str, series: TiffPageSeries) -> None:
    """Refuse pages that lie in other files, or nowhere: a copy of this file alone would be another slide."""
    for level in series.levels:
        if any(page is None or page.parent is not series.keyframe.parent for page in level.pages):
            remedy = "Convert it to one OME-TIFF file"
            raise SlideFileError.unsupported(slide_id, path, "a part of an OME-TIFF of several files", remedy)


def _size(series: TiffPageSeries) -> Size:
    return Size(int(series.keyframe.imagewidth), int(series.keyframe.imagelength))


def _tile(page: TiffPage) -> Size:
    if page.is_tiled:
        return Size(int(page.tilewidth), int(page.tilelength))
    return Size(int(page.imagewidth), int(min(page.rowsperstrip, page.imagelength)))


def _channels(series: TiffPageSeries) -> int:
    return int(dict(zip(series.axes, series.shape, strict=True)).get("C", 1))


def _page(series: TiffPageSeries, plane: int, channel: int) -> TiffPage | TiffFrame:
    """The page of one focal plane and channel."""
    axes = [(axis, int(count)) for axis, count in zip(series.axes, series.shape, strict=True) if axis not in _PAGE_AXES]
    place = {"Z": plane, "C": channel}
    number = 0
    for axis, count in axes:
        number = number * count + place.get(axis, 0)
    page = series.pages[number]
    if page is None:
        raise ValueError(f"page {number} is missing")
    return page


def _decoded(page: TiffPage | TiffFrame, key: TiffPage, number: int) -> Array | None:
    """One tile or strip of a page, (h, w, samples), or None where the file leaves it out."""
    offset, count = page.dataoffsets[number], page.databytecounts[number]
    if offset == 0 or count == 0:
        return None
    file = page.parent.filehandle
    file.seek(offset)
    data = file.read(count)
    if len(data) != count:
        raise ValueError(f"piece {number} lies beyond the end of the file")
    pixels, _, shape = key.decode(data, number, jpegtables=page.jpegtables)
    if pixels is None or pixels.dtype != np.uint8:
        raise ValueError(f"piece {number} holds no 8-bit pixels")
    return np.ascontiguousarray(pixels[0, : shape[1], : shape[2]])


def _physical_size(image: dict[str, Any]) -> MppCandidate | None:
    pixels = image["Pixels"]
    sides = [_microns(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "um")) for axis in "XY"]
    x, y = sides
    return MppCandidate("OME PhysicalSize", x, y) if x is not None and y is not None else None


def _microns(value: object, unit: object) -> float | None:
    """A length in micrometres; None when it is not stated or in a unit of no length (`pixel`)."""
    if not isinstance(value, int | float) or str(unit) not in _MICRONS:
        return None
    return float(value) * _MICRONS[str(unit)]


def _tiff_resolution(page: TiffPage) -> MppCandidate | None:
    x, y = (page.tags.get(name) for name in ("XResolution", "YResolution"))
    unit = page.tags.get("ResolutionUnit")
    ratios = [tag.value[0] / tag.value[1] if tag is not None and tag.value[1] else None for tag in (x, y)]
    return tiff_candidate(ratios[0], ratios[1], _RESOLUTION_UNITS.get(int(unit.value) if unit else 2, "none"))


def _form(page: TiffPage) -> Form:
    photometric = getattr(page.photometric, "name", "")
    colour = {"YCBCR": "YCbCr", "MINISBLACK": "RGB"}.get(photometric, "RGBA" if page.extrasamples else "RGB")
    notes = () if page.is_tiled else ("The pixels lie in strips, not in tiles.",)
    return Form(
        vendor="OME-TIFF",
        compression=str(getattr(page.compression, "name", page.compression)).lower(),
        colour=colour,
        tile=_tile(page) if page.is_tiled else None,
        notes=notes,
    )
