"""The bags of a training [hot]: features as stored, in memory as far as they fit, and the moments of every slide.

Every slide is read whole once, for its mean and deviation; what fits into the budget stays, the rest is read again when
it is asked for. Both give the same numbers.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from wsi_features.errors import TrainingError
from wsi_features.mil.bag import BagSlides, Rows
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.sampling import Curves, drawn_rows
from wsi_features.mil.slides import SlideRows

if TYPE_CHECKING:
    import torch

BLOCK = 4096
"""Tiles that a model is given at a time."""

USUAL = 8 << 30
"""Bytes of features that a training keeps unless told otherwise: a job of a cluster seldom knows how much is its own."""

CACHED = 256
"""Tiles whose features, of a usual width, stay in a processor's cache in single precision."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and variance (d,) of `count` tiles, in double precision."""

    count: int
    mean: Doubles
    variance: Doubles


@dataclass(frozen=True, eq=False)
class HeldBags:
    """The bags of `data`. A bag is its `segments`: one, or one a slide where patients are fused late."""

    data: BagDataset
    held: dict[str, torch.Tensor]
    moments: dict[str, Moments]
    curves: Curves

    @classmethod
    def of(cls, data: BagDataset, memory: int | None = None) -> HeldBags:
        """Read all slides; features of up to `memory` bytes stay, by default 8 GiB, or half of what is free where that is less.

        Raises TrainingError naming a slide and row whose features are not finite, and StoreError.
        """
        import torch

        left = min(USUAL, free_memory() // 2) if memory is None else memory
        held: dict[str, torch.Tensor] = {}
        moments: dict[str, Moments] = {}
        for slide in (slide for bag in data.bags for slide in bag.slides if slide.used):
            features = torch.from_numpy(slide.read(slide.rows, data.recipe.verify))
            moments[slide.slide_id] = _moments(slide, features)
            left -= features.nbytes
            if left >= 0:
                held[slide.slide_id] = features
        return cls(data, held, moments, Curves())

    @classmethod
    def unread(cls, data: BagDataset) -> HeldBags:
        """Bags to predict: nothing is held, and no moments are known."""
        return cls(data, {}, {}, Curves())

    def __len__(self) -> int:
        return len(self.data)

    def segments(self, item: int) -> tuple[BagSlides, ...]:
        """What is pooled by itself of bag number `item`."""
        bag = self.data.bags[item]
        return bag.of_slides() if self.data.recipe.late else (bag,)

    def drawn(self, item: int, max_tiles: int | None, seed: int, epoch: int) -> list[torch.Tensor]:
        """Features (n, d) as stored of each segment: `max_tiles` of its tiles at most, as a data set with that seed draws."""
        recipe = self.data.recipe.model_copy(update={"max_tiles": max_tiles, "seed": seed})
        return [self._features(part, drawn_rows(part, recipe, epoch, self.curves)) for part in self.segments(item)]

    def blocks(self, slide: SlideRows) -> list[torch.Tensor]:
        """All features of one slide that are used, as stored, `BLOCK` rows at a time."""
        import torch

        found = self.held.get(slide.slide_id)
        if found is None:
            found = torch.from_numpy(slide.read(slide.rows, self.data.recipe.verify))
        return list(torch.split(found, BLOCK))

    def bag_moments(self, item: int) -> Moments:
        """Of all tiles of bag number `item`."""
        return _joined([self.moments[slide.slide_id] for slide in self.data.bags[item].slides if slide.used])

    @cached_property
    def bag_means(self) -> Doubles:
        """What the linear probe sees of each bag (bags, d): the mean of its tiles, or of its segments' means."""
        return np.stack([np.mean([self._mean(part) for part in self.segments(k)], axis=0) for k in range(len(self))])

    def _mean(self, part: BagSlides) -> Doubles:
        return _joined([self.moments[slide.slide_id] for slide in part.slides if slide.used]).mean

    def standard(self, items: npt.NDArray[np.int64]) -> tuple[Doubles, Doubles]:
        """Mean and deviation (d,) of the features of some bags, in which each bag counts the same. A deviation is never 0."""
        bags = [self.bag_moments(int(item)) for item in items]
        means = np.stack([bag.mean for bag in bags])
        mean = means.mean(axis=0)
        variance = np.mean([bag.variance for bag in bags], axis=0) + ((means - mean) ** 2).mean(axis=0)
        deviation = np.sqrt(variance)
        tiny = deviation <= 1e-6 * np.maximum(1.0, np.abs(mean))  # the same in all tiles: it can tell nothing
        return mean, np.where(tiny, 1.0, deviation)

    def _features(self, part: BagSlides, rows: Sequence[Rows]) -> torch.Tensor:
        import torch

        found = []
        for slide, wanted in zip(part.slides, rows, strict=True):
            held = self.held.get(slide.slide_id)
            if not len(wanted):
                continue
            if held is None:
                found.append(torch.from_numpy(slide.read(wanted, self.data.recipe.verify)))
            elif len(wanted) == slide.used:
                found.append(held)
            else:
                places = wanted if slide.bits is None else np.searchsorted(slide.rows, wanted)
                found.append(held[torch.from_numpy(places)])
        return found[0] if len(found) == 1 else torch.cat(found)


def free_memory() -> int:
    """Bytes that programs may still take on this machine."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _moments(slide: SlideRows, features: torch.Tensor) -> Moments:
    """In single precision a cache's worth of tiles at a time, around the first one, which all others are near to."""
    import torch

    shift = features[0].float()
    total, squares = torch.zeros(slide.dim, dtype=torch.float64), torch.zeros(slide.dim, dtype=torch.float64)
    for start, block in zip(range(0, len(features), CACHED), torch.split(features, CACHED), strict=True):
        apart = block.float() - shift
        here = apart.sum(0)
        if not bool(torch.isfinite(here).all()):
            row = int(torch.nonzero(~torch.isfinite(block).all(1))[:1].sum())
            raise TrainingError.not_finite(slide.slide_id, int(slide.rows[start + row]))
        total += here
        squares += apart.square_().sum(0)
    mean = total / len(features)
    return Moments(len(features), (shift + mean).numpy(), (squares / len(features) - mean**2).clamp(min=0).numpy())


def _joined(parts: Sequence[Moments]) -> Moments:
    count = sum(part.count for part in parts)
    mean = np.asarray(sum(part.mean * (part.count / count) for part in parts))
    variance = sum((part.variance + (part.mean - mean) ** 2) * (part.count / count) for part in parts)
    return Moments(count, mean, np.asarray(variance))
