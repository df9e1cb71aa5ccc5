"""A level of a slide as a lazy dask array, for users' own code: pixels are read when they are computed."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from threading import Lock, local
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TileReadError
from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import Slide

_Part = int | slice | list[int] | npt.NDArray[np.int64]


def as_dask(
    slide: Slide, level: int = 0, chunk: int = 2048, *, name: str = "", opener: Callable[[], Slide] | None = None
) -> Any:
    """The pixels of a level as a dask array, uint8 (h, w, 3), of which nothing is read yet.

    Chunks are about `chunk` pixels wide and high, with borders between stored tiles. A slice of the
    array reads no more than the slice. What was never scanned is white; what cannot be decoded
    raises TileReadError, which calls the slide `name`, or its reader where that is empty. Each
    thread that computes has a slide of its own, closed when the array is gone; `slide` itself may be
    closed before. For schedulers of several processes `opener` must be given, a picklable function
    that opens the slide, such as `partial(open_slide, "s1", path)`. Raises IndexError when there is
    no such level.
    """
    import dask.array as da

    level = range(len(slide.levels))[level]
    tile = slide.form.tile or Size(0, 0)
    pixels = _LevelPixels(opener or slide.reopened, name or slide.reader, level, slide.levels[level].size)
    chunks = (_side(chunk, tile.height), _side(chunk, tile.width), 3)
    # A name of its own for every array: two slides, or one file before and after its repair, are never taken for equal.
    return da.from_array(pixels, chunks=chunks, name=False, meta=np.empty((0, 0, 0), np.uint8))  # type: ignore[no-untyped-call]  # dask is untyped


def _side(chunk: int, tile: int) -> int:
    """A multiple of the tile near `chunk`; strips and tiles much larger than that are cut."""
    return max(1, round(chunk / tile)) * tile if 0 < tile <= 2 * chunk else chunk


class _LevelPixels:
    """What dask takes for an array: its shape, and the pixels of a slice."""

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, opener: Callable[[], Slide], name: str, level: int, size: Size) -> None:
        self._opener, self._name, self._level, self._size = opener, name, level, size
        self.shape = (size.height, size.width, 3)
        self._mine, self._lock = local(), Lock()
        self._all: list[Slide] = []
        weakref.finalize(self, _close, self._all)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._opener, self._name, self._level, self._size)

    def __getitem__(self, index: tuple[_Part, _Part, _Part]) -> npt.NDArray[np.uint8]:
        """The pixels at an index with a number, slice or list for each axis; dask fuses a user's index into its own."""
        top, height, rows = _span(index[0], self._size.height)
        left, width, columns = _span(index[1], self._size.width)
        block = np.empty((height, width, 3), np.uint8)
        if block.size:
            block = self._read(Region(left, top, width, height))
        found: npt.NDArray[np.uint8] = block[rows][..., columns, :][..., index[2]]
        return found

    def _read(self, region: Region) -> npt.NDArray[np.uint8]:
        pixels = self._slide().read(region, self._level)
        if pixels.status == "unreadable":
            raise TileReadError.region(self._name, self._level, region.x, region.y, pixels.reason)
        return pixels.rgb

    def _slide(self) -> Slide:
        """The calling thread's slide, opened on first use."""
        if not hasattr(self._mine, "slide"):
            slide = self._opener()
            with self._lock:
                self._all.append(slide)
            self._mine.slide = slide
        opened: Slide = self._mine.slide
        return opened


def _span(part: _Part, extent: int) -> tuple[int, int, Any]:
    """First position and number of positions to read along an axis, and the index into what was read."""
    wanted = np.arange(extent)[part]
    if not wanted.size:
        return 0, 0, slice(0)
    first, last = int(wanted.min()), int(wanted.max())
    return first, last - first + 1, slice(None, None, part.step) if isinstance(part, slice) else wanted - first


def _close(slides: list[Slide]) -> None:
    for slide in slides:
        slide.close()
