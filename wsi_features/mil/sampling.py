"""Which tiles of a bag are taken in an epoch: a fixed number, drawn anew each time and the same for the same seed."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from threading import Lock

import numpy as np
import numpy.typing as npt

from wsi_features.mil.bag import BagSlides, Rows
from wsi_features.mil.slides import BagRecipe, SlideRows
from wsi_features.tiles.curation import Spread, apportioned, spread_of

CACHED_TILES = 8_000_000
"""Tiles whose curve a process keeps, 8 bytes each: finding it takes 13 ms for 20,000 tiles, a draw from it 0.2 ms."""


class Curves:
    """The curves through slides that were drawn from lately; a process's own, dropped when a data set is pickled."""

    def __init__(self) -> None:
        self._found: dict[str, Spread] = {}
        self._tiles = 0
        self._lock = Lock()

    def of(self, slide: SlideRows) -> Spread:
        """The curve through the tiles of a slide that are used; position k of it is `slide.rows[k]`."""
        found = self._found.get(slide.slide_id)
        if found is None:
            found = spread_of(slide.array("grid")[slide.rows])
        with self._lock:
            if self._found.pop(slide.slide_id, None) is None:
                self._tiles += slide.used
            self._found[slide.slide_id] = found  # the latest last
            while self._tiles > CACHED_TILES and len(self._found) > 1:
                oldest = next(iter(self._found))
                self._tiles -= len(self._found.pop(oldest).order)
        return found

    def __reduce__(self) -> tuple[type[Curves], tuple[()]]:
        return Curves, ()


def draw_seed(seed: int, epoch: int, bag_id: str) -> int:
    """Of one bag in one epoch; it does not depend on the other bags, nor on which worker draws."""
    entropy = (seed, epoch, zlib.crc32(bag_id.encode()))
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


def drawn_rows(bag: BagSlides, recipe: BagRecipe, epoch: int, curves: Curves) -> list[Rows]:
    """The rows of each slide of a bag in an epoch, rising: all that are used, or `max_tiles` of them in all.

    Slides get their share of `max_tiles` by their tiles, and at least one; where there are more slides than that, as
    many of them are drawn.
    """
    if recipe.max_tiles is None or bag.used <= recipe.max_tiles:
        return [slide.rows for slide in bag.slides]
    seed = draw_seed(recipe.seed, epoch, bag.bag_id)
    quota = shares_of_slides([slide.used for slide in bag.slides], recipe.max_tiles, seed)
    return [
        _drawn(slide, int(count), seed + k, recipe, curves)
        for k, (slide, count) in enumerate(zip(bag.slides, quota, strict=True))
    ]


def shares_of_slides(used: Sequence[int], count: int, seed: int) -> npt.NDArray[np.int64]:
    """How many of `count` tiles each slide gives: in proportion, at least 1 of each that has any while `count` allows it."""
    sizes = np.asarray(used, np.int64)
    quota = np.zeros(len(sizes), np.int64)
    some = np.flatnonzero(sizes)
    if len(some) > count:
        quota[np.random.default_rng(seed).choice(some, count, replace=False)] = 1
    elif len(some):
        quota[some] = apportioned(sizes[some], min(count, int(sizes.sum())))
    return quota


def _drawn(slide: SlideRows, count: int, seed: int, recipe: BagRecipe, curves: Curves) -> Rows:
    if count >= slide.used:
        return slide.rows
    if not count:
        return np.zeros(0, np.int64)
    if recipe.sampling == "random":
        chosen = np.sort(np.random.default_rng(seed).choice(slide.used, count, replace=False, shuffle=False))
    else:
        chosen = curves.of(slide).rows(count, seed, jitter=True)
    return slide.rows[chosen]
