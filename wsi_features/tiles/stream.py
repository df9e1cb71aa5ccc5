"""The tile stream: one slide's tiles as batches in row order, read by several threads ahead of use.

Results do not depend on the number of threads. At most `_AHEAD` batches are held
besides the one in use, so memory is bounded whatever the slide.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock, local

import numpy as np
import numpy.typing as npt

from wsi_features.slides.slide import Pixels, Slide
from wsi_features.tiles.grid import TileBatch, TileGrid, TileScale
from wsi_features.tiles.pixels import tile_pixels
from wsi_features.tiles.recipe import ReadRecipe

_AHEAD = 2

SlideOpener = Callable[[], Slide]


def tile_batches(
    open_slide: SlideOpener, grid: TileGrid, scale: TileScale, recipe: ReadRecipe, *, batch: int, workers: int
) -> Iterator[TileBatch]:
    """Read all tiles of `grid`, `batch` at a time; every thread opens its own slide.

    Closing the iterator stops the threads and closes the slides. An error that a reader raises
    reaches the caller; damage that it reports becomes an invalid tile.
    """
    with _Readers(open_slide, workers) as readers:
        waiting: deque[list[Future[_Part]]] = deque()
        for start in range(0, len(grid), batch):
            rows = np.arange(start, min(start + batch, len(grid)))
            parts = np.array_split(rows, min(workers, len(rows)))
            waiting.append([readers.pool.submit(_read, readers, grid, scale, recipe, part) for part in parts])
            if len(waiting) > _AHEAD:
                yield _joined(waiting.popleft())
        while waiting:
            yield _joined(waiting.popleft())


_Part = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.bool_], list[str]]


class _Readers:
    """A thread pool in which every thread has its own open slide, for one `with` block."""

    def __init__(self, open_slide: SlideOpener, workers: int) -> None:
        self.pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="tiles")
        self._open, self._mine, self._lock = open_slide, local(), Lock()
        self._all: list[Slide] = []

    def slide(self) -> Slide:
        """The calling thread's slide, opened on first use."""
        if not hasattr(self._mine, "slide"):
            slide = self._open()
            with self._lock:
                self._all.append(slide)
            self._mine.slide = slide
        opened: Slide = self._mine.slide
        return opened

    def __enter__(self) -> _Readers:
        return self

    def __exit__(self, *exc: object) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        for slide in self._all:
            slide.close()


def _read(
    readers: _Readers, grid: TileGrid, scale: TileScale, recipe: ReadRecipe, rows: npt.NDArray[np.int64]
) -> _Part:
    slide = readers.slide()
    pixels = np.empty((len(rows), scale.size, scale.size, 3), np.uint8)
    valid = np.ones(len(rows), np.bool_)
    problems = []
    for k, row in enumerate(rows):
        x, y = (int(v) for v in grid.origins[row])
        tile = tile_pixels(slide, x, y, scale)
        pixels[k] = tile.rgb
        problem = _problem(tile, recipe)
        if problem:
            valid[k] = False
            problems.append(problem)
    return pixels, rows, valid, problems


def _problem(tile: Pixels, recipe: ReadRecipe) -> str:
    if tile.status == "ok" and tile.coverage >= recipe.min_coverage:
        return ""
    return tile.reason or f"only {tile.coverage:.1%} of it was scanned"


def _joined(parts: list[Future[_Part]]) -> TileBatch:
    done = [part.result() for part in parts]
    problems = tuple(text for part in done for text in part[3])
    if len(done) == 1:
        return TileBatch(*done[0][:3], problems)
    pixels, rows, valid = (np.concatenate([part[i] for part in done]) for i in range(3))
    return TileBatch(pixels, rows, valid, problems)
