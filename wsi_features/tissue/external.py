"""Masks of other programs: a PNG or TIFF that covers a whole slide, at any scale.

Pixels that are not 0 are tissue, or those of the label values that the recipe names. An image finer than
the working resolution is reduced to it by area (half or more of a mask pixel is tissue), a coarser one is
repeated. A huge TIFF is gone through block by block and never held whole.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import AnnotationError
from wsi_features.geometry import Size
from wsi_features.tissue.mask import TissueMask

Pixels = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]

_ASPECT = 0.03
"""How far, relatively, a mask's height may be from what its width and the slide say, besides one pixel."""

_MOST_AT_ONCE = 1 << 28
"""Pixels that are decoded together: of a PNG all, of a TIFF one strip or tile."""

_MOST = 1 << 35
"""Pixels of a mask: a slide of 180,000 x 180,000 level-0 pixels."""

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True, slots=True)
class _Source:
    """The mask file of one slide, for messages, and which values are tissue."""

    slide_id: str
    path: Path
    labels: tuple[int, ...]

    def unreadable(self, why: str) -> AnnotationError:
        return AnnotationError.bad_mask(self.slide_id, str(self.path), why)

    def tissue(self, pixels: Pixels) -> Bools:
        """Which pixels (h, w) or (h, w, channels) are tissue; of colours any of the first three counts."""
        if pixels.ndim == 3:
            channels = pixels[..., : 1 if pixels.shape[2] == 2 else 3]
            grey = bool((channels == channels[..., :1]).all())
            if self.labels and not grey:
                raise self.unreadable("it has colours where `tissue.mask_labels` needs one value a pixel")
            pixels = channels[..., 0] if grey else np.asarray(channels.any(axis=2))
        if self.labels:
            return np.isin(pixels, self.labels)
        return np.asarray(np.nan_to_num(pixels) != 0 if pixels.dtype.kind == "f" else pixels != 0)


def mask_from_image(path: Path, *, slide_id: str, slide: Size, size: Size, labels: Sequence[int] = ()) -> TissueMask:
    """The tissue that a PNG or TIFF says a slide of `slide` level-0 pixels has, as a mask of `size`.

    Raises AnnotationError when the file is no whole PNG or TIFF, is too large, has not the slide's proportions,
    or is not empty but holds none of the `labels`.
    """
    source = _Source(slide_id, path, tuple(labels))
    try:
        with path.open("rb") as file:
            head = file.read(32)
        if head.startswith(_PNG):
            covered = _of_png(source, head, slide, size)
        elif head.startswith(_TIFF):
            covered = _of_tiff(source, slide, size)
        else:
            raise source.unreadable("it is neither a PNG nor a TIFF image")
    except OSError as error:
        raise source.unreadable(error.strerror or str(error)) from error
    return TissueMask(covered, slide)


def _of_png(source: _Source, head: bytes, slide: Size, size: Size) -> Bools:
    import cv2

    if len(head) < 32 or head[12:16] != b"IHDR":
        raise source.unreadable("it is cut short")
    width, height = struct.unpack(">II", head[16:24])
    _check(source, Size(width, height), slide, _MOST_AT_ONCE)
    data = source.path.read_bytes()
    _check_chunks(source, data)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None:
        raise source.unreadable("its pixels cannot be decoded")
    tissue = source.tissue(np.asarray(decoded))
    _check_labels(source, tissue, np.asarray(decoded))
    return _fitted(tissue, size)


def _check_chunks(source: _Source, data: bytes) -> None:
    """Every chunk's checksum: OpenCV decodes what is there of a cut PNG, and takes 12 s over a damaged header (measured)."""
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,), kind = struct.unpack_from(">I", data, at), data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            break
        if zlib.crc32(memoryview(data)[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise source.unreadable("its bytes have changed: a checksum is wrong")
        if kind == b"IEND":
            return
        at = end + 4
    raise source.unreadable("it is cut short")


def _of_tiff(source: _Source, slide: Size, size: Size) -> Bools:
    import tifffile

    try:
        with tifffile.TiffFile(source.path) as tiff:
            page = _page(tiff, size)
            whole = Size(page.imagewidth, page.imagelength)
            _check(source, whole, slide, _MOST)
            if page.compression in {6, 7}:
                raise source.unreadable("it is compressed as JPEG, which blurs its values; write it without loss")
            if page.imagedepth != 1 or page.planarconfig != 1 or page.samplesperpixel > 4:
                raise source.unreadable("it is no image of one plane with at most 4 values a pixel")
            if page.chunks[0] * page.chunks[1] > _MOST_AT_ONCE:
                raise source.unreadable("its strips or tiles are too large to decode one by one")
            return _gathered(source, page, whole, size)
    except (
        tifffile.TiffFileError,
        ArithmeticError,
        ValueError,
        RuntimeError,
        LookupError,
        TypeError,
        struct.error,
    ) as error:
        raise source.unreadable(str(error) or type(error).__name__) from error


def _page(tiff: Any, size: Size) -> Any:
    """The coarsest level that is not coarser than the working resolution, else the first image."""
    first = tiff.series[0]
    pages = [level.keyframe for level in first.levels]
    fine = [page for page in pages if page.imagewidth >= size.width and page.imagelength >= size.height]
    return fine[-1] if fine else pages[0]


def _gathered(source: _Source, page: Any, whole: Size, size: Size) -> Bools:
    """Reduced while it is read: what is held is one block and two counts a mask pixel."""
    if whole.area <= _MOST_AT_ONCE:
        pixels = np.asarray(page.asarray())
        tissue = source.tissue(pixels)
        _check_labels(source, tissue, pixels)
        return _fitted(tissue, size)
    counts, some, other = np.zeros((size.height, size.width), np.int64), False, False
    for x, y, pixels in _blocks(source, page):
        tissue = source.tissue(pixels)
        some, other = some or bool(tissue.any()), other or bool((pixels != 0).any())
        _count(counts, tissue, x, y, whole)
    if source.labels and other and not some:
        raise AnnotationError.no_such_label(source.slide_id, str(source.path), source.labels, ["others"])
    columns = np.bincount(np.arange(whole.width) * size.width // whole.width, minlength=size.width)
    rows = np.bincount(np.arange(whole.height) * size.height // whole.height, minlength=size.height)
    return np.asarray(2 * counts >= np.maximum(rows[:, None] * columns, 1))


def _blocks(source: _Source, page: Any) -> Iterator[tuple[int, int, Pixels]]:
    """Left, top and pixels of each strip or tile, cut to the image; one that is not stored holds no tissue."""
    for decoded, index, _ in page.segments(maxworkers=1):
        if decoded is None:
            continue
        y, x = index[-3], index[-2]
        block = np.asarray(decoded)[0]
        if block.shape[0] == 0 or block.shape[1] == 0:
            raise source.unreadable("a strip or tile is empty")
        yield x, y, block[: page.imagelength - y, : page.imagewidth - x]


def _count(counts: npt.NDArray[np.int64], tissue: Bools, x: int, y: int, whole: Size) -> None:
    """Add the tissue pixels of a block to the mask pixels they lie in."""
    height, width = counts.shape
    columns = (np.arange(x, x + tissue.shape[1]) * width) // whole.width
    rows = (np.arange(y, y + tissue.shape[0]) * height) // whole.height
    first_x, first_y = np.flatnonzero(np.diff(columns, prepend=-1)), np.flatnonzero(np.diff(rows, prepend=-1))
    sums = np.add.reduceat(np.add.reduceat(tissue.astype(np.int64), first_y, axis=0), first_x, axis=1)
    counts[rows[first_y][:, None], columns[first_x]] += sums


def _fitted(tissue: Bools, size: Size) -> Bools:
    import cv2

    image, wanted = tissue.astype(np.uint8) * 255, (size.width, size.height)
    finer = image.shape[1] >= size.width and image.shape[0] >= size.height
    interpolation = cv2.INTER_AREA if finer else cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(image, wanted, interpolation=interpolation)) > 127


def _check(source: _Source, found: Size, slide: Size, most: int) -> None:
    """Refuse what is too large to decode, and what does not cover the slide as it lies."""
    if not found.area:
        raise source.unreadable("it has no pixels")
    if found.area > most:
        raise source.unreadable(f"{found.width} x {found.height} pixels are too many; a mask of 4 um/px is fine enough")
    height = found.width * slide.height / slide.width
    if abs(found.height - height) > max(1.0, _ASPECT * height):
        raise AnnotationError.other_shape(
            source.slide_id, str(source.path), (found.width, found.height), (slide.width, slide.height)
        )


def _check_labels(source: _Source, tissue: Bools, pixels: Pixels) -> None:
    """An image of other labels than those asked for is a mistake, an empty one is not."""
    if source.labels and not tissue.any() and pixels.any():
        values = [str(value) for value in np.unique(pixels)[:8].tolist()]
        raise AnnotationError.no_such_label(source.slide_id, str(source.path), source.labels, values)
