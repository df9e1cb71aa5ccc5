"""Plain images as slides: PNG, JPEG, and TIFF of one level that OpenSlide does not know.

The whole image is held in memory, once for all readers of a file. Nothing is converted: other
colours than 8-bit RGB, turned images and several pages are refused. Colour profiles are not applied.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from wsi_features.errors import SlideFileError, one_line
from wsi_features.geometry import Region, Size
from wsi_features.slides.array_reader import ArraySlide
from wsi_features.slides.resolution import tiff_candidate
from wsi_features.slides.slide import Level, MppCandidate, Pixels, SlideBase

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile as PhotoFile
    from tifffile import TiffFile, TiffPage

MOST_PIXELS = 200_000_000
"""Larger images are refused: this many take 0.9 GB while open, and four times that while they are decoded (measured)."""

SMALLEST_SIDE = 256
"""Levels are averaged while both of their sides have at least this many pixels."""

_REDUCTIONS = (4, 16)
_UNITS = {2: "inch", 3: "centimeter"}
_ORIENTATION = 0x0112
_UNASSOCIATED_ALPHA = 2
_MODES = {"1": "grayscale", "L": "grayscale", "LA": "grayscale with alpha", "I;16": "grayscale", "P": "indexed colour"}
_DAMAGE = (OSError, ValueError, SyntaxError, RuntimeError, LookupError, TypeError, struct.error, zlib.error)
"""What Pillow, tifffile and their codecs raise on damaged files."""

_MAGIC = {
    b"\x89PNG": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
}

_held: WeakValueDictionary[tuple[str, int, int, tuple[int, ...]], ArraySlide] = WeakValueDictionary()
_held_lock = Lock()


class ImageReader(SlideBase):
    """A plain image and its area-averaged reductions at 1:4 and 1:16, where both sides keep `smallest_side` pixels.

    The header is checked on opening, the pixels are decoded by the first read. Raises SlideFileError when it is
    damaged, too large, turned, or anything but 8-bit RGB or RGBA. The dots per inch of PNG and JPEG say how to
    print it, not how it was scanned, so they are no candidates for its resolution.
    """

    reader = "image"
    why = "a plain image"

    def __init__(self, slide_id: str, path: str, smallest_side: int = SMALLEST_SIDE) -> None:
        self._slide_id, self._path, self._smallest_side = slide_id, path, smallest_side
        size, candidate = _header(slide_id, path)
        reductions = [d for d in _REDUCTIONS if min(size.width, size.height) // d >= smallest_side]
        self._downsamples = (1, *reductions)
        self._image: ArraySlide | None = None
        self.levels = tuple(Level(Size(size.width // d, size.height // d), float(d)) for d in self._downsamples)
        self.mpp_candidates: tuple[MppCandidate, ...] = (candidate,) if candidate is not None else ()
        self.properties: Mapping[str, str] = MappingProxyType({})

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region` of `level`; what lies outside is missing, and damage is reported in the status."""
        try:
            if self._image is None:
                self._image = _shared(self._slide_id, self._path, self._downsamples)
        except (SlideFileError, OSError) as error:
            white = np.full((region.height, region.width, 3), 255, np.uint8)
            return Pixels(white, 0.0, "unreadable", one_line(error))
        return self._image.read(region, level)

    def close(self) -> None:
        """Let go of the pixels, which the last reader of the file frees; a later read decodes them again."""
        self._image = None

    def reopened(self) -> ImageReader:
        """Another reader of the same pixels, which are held once."""
        return ImageReader(self._slide_id, self._path, self._smallest_side)


def image_format(path: str) -> str | None:
    """`png`, `jpeg` or `tiff` by the first bytes of `path`, or None."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(4)
    except OSError:
        return None
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def _header(slide_id: str, path: str) -> tuple[Size, MppCandidate | None]:
    """Size and stated resolution, without decoding pixels."""
    with _damage_told(slide_id, path):
        if image_format(path) == "tiff":
            with _tiff_page(slide_id, path) as page:
                return Size(page.imagewidth, page.imagelength), _tiff_resolution(page)
        with _photo(slide_id, path) as photo:
            return Size(*photo.size), None


def _shared(slide_id: str, path: str, downsamples: tuple[int, ...]) -> ArraySlide:
    """The decoded image, which the threads that read one slide share."""
    info = Path(path).stat()
    key = (path, info.st_size, info.st_mtime_ns, downsamples)
    with _held_lock:
        image = _held.get(key)
        if image is None:
            image = _held[key] = ArraySlide(_decoded(slide_id, path), mpp=None, downsamples=downsamples)
    return image


def _decoded(slide_id: str, path: str) -> npt.NDArray[np.uint8]:
    """All pixels, uint8 (h, w, 3 or 4)."""
    with _damage_told(slide_id, path):
        if image_format(path) == "tiff":
            with _tiff_page(slide_id, path) as page:
                pixels: npt.NDArray[np.uint8] = page.asarray(maxworkers=1)
                return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
        with _photo(slide_id, path) as photo:
            _check_upright(slide_id, path, photo.getexif().get(_ORIENTATION, 1))  # a PNG may say so after its pixels
            return np.asarray(photo)


@contextmanager
def _damage_told(slide_id: str, path: str) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise SlideFileError.refused(slide_id, path, "the image reader", one_line(error)) from error


@contextmanager
def _photo(slide_id: str, path: str) -> Iterator[PhotoFile]:
    """A PNG or JPEG with its header read and checked.

    The plugins are called directly: `PIL.Image.open` has a size limit of its own, set for the whole process.
    """
    from PIL.Image import Image
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    is_png = image_format(path) == "png"
    with Path(path).open("rb") as file:
        head = file.read(26)
        file.seek(0)
        image = PngImageFile(file) if is_png else JpegImageFile(file)
        _check_size(slide_id, path, *image.size)
        depth = head[24] if is_png else 8  # Pillow cuts 16-bit RGB to 8 bits without a word
        keyed = " with a transparent colour" if "transparency" in image.info else ""
        if depth != 8 or image.mode not in {"RGB", "RGBA"} or keyed:
            found = f"{depth}-bit {_MODES.get(image.mode, image.mode)}{keyed}"
            raise SlideFileError.image_not_rgb(slide_id, path, found)
        # PngImageFile.getexif would decode the pixels.
        _check_upright(slide_id, path, Image.getexif(image).get(_ORIENTATION, 1))
        yield image


@contextmanager
def _tiff_page(slide_id: str, path: str) -> Iterator[TiffPage]:
    """The only full-resolution page of a TIFF, checked."""
    from tifffile import TiffFile, TiffPage

    with TiffFile(path) as file:
        pages = [page for page in file.pages if isinstance(page, TiffPage) and not page.is_reduced]
        if len(pages) != 1:
            raise SlideFileError.image_pages(slide_id, path, len(pages))
        page = pages[0]
        _check_whole(slide_id, path, file, page)
        _check_size(slide_id, path, page.imagewidth, page.imagelength)
        _check_rgb(slide_id, path, page)
        _check_upright(slide_id, path, _tag(page, "Orientation", 1))
        yield page


def _tiff_resolution(page: TiffPage) -> MppCandidate | None:
    x, y = (_ratio(_tag(page, name, None)) for name in ("XResolution", "YResolution"))
    return tiff_candidate(x, y, _UNITS.get(int(_tag(page, "ResolutionUnit", 2)), "none"))


def _check_size(slide_id: str, path: str, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise SlideFileError.image_too_large(slide_id, path, width=width, height=height, most=MOST_PIXELS)


def _check_upright(slide_id: str, path: str, orientation: object) -> None:
    if orientation != 1:
        raise SlideFileError.image_turned(slide_id, path, orientation)


def _check_whole(slide_id: str, path: str, file: TiffFile, page: TiffPage) -> None:
    """Refuse parts beyond the end of the file or never written: tifffile would give zeros for some of them."""
    parts = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    bad = sum(offset <= 0 or count <= 0 or offset + count > file.filehandle.size for offset, count in parts)
    if bad or not parts:
        why = f"{bad} of {len(parts)} strips or tiles are not in the file"
        raise SlideFileError.refused(slide_id, path, "the image reader", why)


def _check_rgb(slide_id: str, path: str, page: TiffPage) -> None:
    from tifffile import COMPRESSION, PHOTOMETRIC

    colour = page.photometric == PHOTOMETRIC.RGB or (
        page.photometric == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.JPEG
    )
    alpha = tuple(int(extra) for extra in page.extrasamples)
    plain = (page.samplesperpixel, alpha) in {(3, ()), (4, (_UNASSOCIATED_ALPHA,))}
    if not (colour and plain and page.dtype == np.uint8 and page.bitspersample == 8 and page.axes in {"YXS", "SYX"}):
        name = getattr(page.photometric, "name", page.photometric)
        extra = f", extra sample of kind {', '.join(map(str, alpha))}" if alpha else ""
        found = f"{page.bitspersample}-bit {name} with {page.samplesperpixel} samples a pixel{extra}"
        raise SlideFileError.image_not_rgb(slide_id, path, found)


def _tag(page: TiffPage, name: str, default: Any) -> Any:
    tag = page.tags.get(name)
    return default if tag is None else tag.value


def _ratio(value: tuple[int, int] | None) -> float | None:
    return value[0] / value[1] if value is not None and value[1] else None
