"""The class map: what a segmenter takes every part of a slide for, at the resolution of the tissue mask.

It is made window by window: of a slide at the network's own resolution no more than two batches of windows and one row
of votes are ever in memory. A map pixel gets the class that most of the network's pixels in it have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TissueModelSlideError
from wsi_features.geometry import Size
from wsi_features.tissue.learned.card import SegmenterCard
from wsi_features.tissue.learned.predictor import UNDEFINED, Classify
from wsi_features.tissue.learned.windows import U8, Read, Window, kept_of, pixels_of, window_rows
from wsi_features.tissue.mask import TissueMask

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class ClassMap:
    """`classes` uint8 (h, w), numbers of `names`, laid over a whole slide of `slide` level-0 pixels."""

    classes: U8
    names: tuple[str, ...]
    slide: Size

    def among(self, numbers: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Where the class is one of these, bool (h, w)."""
        wanted = np.zeros(256, np.bool_)
        wanted[list(numbers)] = True
        return wanted[self.classes]

    def shares(self, names: Sequence[str], origins: Ints, span: int) -> dict[str, npt.NDArray[np.float32]]:
        """The share, 0 to 1, that each class of `names` has of n boxes, float32 (n,).

        `origins` int64 (n, 2) are their top-left x, y, and `span` their width, in level-0 pixels. Raises ValueError
        for a box that leaves the slide.
        """
        found = {name: TissueMask(self.classes == self.names.index(name), self.slide) for name in names}
        return {name: mask.share(origins, span).astype(np.float32) for name, mask in found.items()}


def class_map(  # noqa: PLR0913 - the slide in three sizes, and the model in two halves
    slide_id: str,
    read: Read,
    *,
    picture: Size,
    size: Size,
    slide: Size,
    card: SegmenterCard,
    classify: Classify,
    batch: int,
) -> ClassMap:
    """Segment a picture of `picture` pixels at the card's resolution into a map of `size` over the slide.

    `read` is asked in row order and from one thread, for no more than `2 * batch` windows ahead of what is classified.
    Raises TissueModelSlideError where the network returns no number, and what `read` raises.
    """
    votes = _Votes(picture, Size(min(size.width, picture.width), min(size.height, picture.height)), len(card.classes))
    with ThreadPoolExecutor(1, "tissue windows") as reader:
        for row in window_rows(picture, card.window_px, card.overlap_px):
            for windows, pixels in _read_ahead(reader, read, row, card, batch):
                for window, labels in zip(windows, classify(pixels), strict=True):
                    votes.add(window, _checked(slide_id, card.name, window, kept_of(window, labels)))
            votes.row_ends(row[0].keep.y + row[0].keep.height)
    return ClassMap(_spread(votes.classes, size), card.classes, slide)


def _read_ahead(
    reader: ThreadPoolExecutor, read: Read, row: Sequence[Window], card: SegmenterCard, batch: int
) -> Iterator[tuple[Sequence[Window], U8]]:
    """Batches of a row, each read while the one before is classified."""

    def pixels(windows: Sequence[Window]) -> U8:
        return np.stack([_recompressed(pixels_of(w, read, card.window_px), card.jpeg_quality) for w in windows])

    groups = [row[i : i + batch] for i in range(0, len(row), batch)]
    ahead = reader.submit(pixels, groups[0])
    for group, following in zip(groups, [*groups[1:], None], strict=True):
        found = ahead.result()
        if following is not None:
            ahead = reader.submit(pixels, following)
        yield group, found


def _recompressed(pixels: U8, quality: int | None) -> U8:
    """The pixels after JPEG, for networks that learned from such."""
    if quality is None:
        return pixels
    import cv2

    data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def _checked(slide_id: str, name: str, window: Window, labels: U8) -> U8:
    bad = labels == UNDEFINED
    if bad.any():
        y, x = np.unravel_index(int(bad.argmax()), bad.shape)
        raise TissueModelSlideError.not_finite(slide_id, name, window.keep.x + int(x), window.keep.y + int(y))
    return labels


class _Votes:
    """Counts the network's pixels of each class in the pixels of a map, for the rows that are not finished."""

    def __init__(self, picture: Size, size: Size, classes: int) -> None:
        self.classes = np.empty((size.height, size.width), np.uint8)
        self._columns = _cell_of(np.arange(picture.width), picture.width, size.width)
        self._picture, self._first = picture, 0
        self._counts = np.zeros((0, size.width, classes), np.int32)

    def add(self, window: Window, labels: U8) -> None:
        """Count the labels (h, w) of what a window keeps."""
        keep = window.keep
        down = self._row_of(np.arange(keep.y, keep.y + keep.height)) - self._first
        across = self._columns[keep.x : keep.x + keep.width]
        shape = (int(down[-1] - down[0]) + 1, int(across[-1] - across[0]) + 1, self._counts.shape[2])
        cells = ((down - down[0])[:, None] * shape[1] + (across - across[0])) * shape[2] + labels
        found = np.bincount(cells.ravel(), minlength=shape[0] * shape[1] * shape[2]).reshape(shape)
        self._grow(int(down[-1]) + 1)
        self._counts[down[0] : down[-1] + 1, across[0] : across[-1] + 1] += found.astype(np.int32)

    def row_ends(self, y: int) -> None:
        """All above row `y` of the picture is counted: map rows that lie wholly there are decided."""
        height = self.classes.shape[0]
        done = height if y == self._picture.height else int(self._row_of(np.array([y]))[0])
        decided, self._counts = np.split(self._counts, [done - self._first])
        self.classes[self._first : done] = decided.argmax(axis=2)
        self._first = done

    def _row_of(self, y: Ints) -> Ints:
        return _cell_of(y, self._picture.height, self.classes.shape[0])

    def _grow(self, rows: int) -> None:
        more = rows - len(self._counts)
        if more > 0:
            self._counts = np.pad(self._counts, ((0, more), (0, 0), (0, 0)))


def _cell_of(position: Ints, length: int, cells: int) -> Ints:
    """Which of `cells` equal parts of an axis the middle of each pixel lies in."""
    return np.asarray((2 * position + 1) * cells // (2 * length))


def _spread(classes: U8, size: Size) -> U8:
    """The map at `size`, which is as large or larger: each pixel has the class at its middle."""
    height, width = classes.shape
    if (width, height) == (size.width, size.height):
        return classes
    rows, columns = (_cell_of(np.arange(n), n, m) for n, m in ((size.height, height), (size.width, width)))
    return classes[rows[:, None], columns]
