"""The data set of tiles [hot]: single rows of a whole cohort, for probes, tile heads and clustering.

Rows are asked for in batches and read slide by slide, so that nothing is done a row at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_features.mil.bag import Rows
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.labels import Task, label_columns
from wsi_features.mil.slides import SlideRows
from wsi_features.store.raw import aligned_empty

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class TileDataset:
    """All tiles that the bags of a data set may hold, numbered through; a tile has its bag's label.

    An item, or a list of them as DataLoader asks (`__getitems__`), is a dict of arrays: `features` (b, d) as stored
    (float32 where slides of the batch differ in that), `slide` int64 (b,) the place in `slide_ids`, `row` int64 (b,) of its store, and the labels.
    """

    slides: tuple[SlideRows, ...]
    labels: tuple[Any, ...]
    task: Task | None = None

    @classmethod
    def of(cls, bags: BagDataset) -> TileDataset:
        """The tiles of a data set of bags, or of a part of one: a split of patients is then one of their tiles."""
        pairs = [(slide, bag.label) for bag in bags.bags for slide in bag.slides if slide.used]
        return cls(tuple(slide for slide, _ in pairs), tuple(label for _, label in pairs), bags.task)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, item: int) -> dict[str, npt.NDArray[Any]]:
        return {name: values[0] for name, values in self.__getitems__([item]).items()}

    def __getitems__(self, items: Sequence[int] | Rows) -> dict[str, npt.NDArray[Any]]:
        """The tiles `items` (b,), in that order. Raises IndexError and StoreError."""
        wanted = np.asarray(items, np.int64)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"tiles are 0 to {len(self) - 1}; asked for {wanted.min()} to {wanted.max()}")
        slide = np.searchsorted(self.starts, wanted, side="right") - 1
        rows = np.empty(len(wanted), np.int64)
        of_batch = np.unique(slide).tolist()
        dtype = np.result_type(*(self.slides[one].features.dtype for one in of_batch or [0]))
        features = aligned_empty((len(wanted), self.slides[0].dim), dtype)
        order = np.argsort(wanted, kind="stable")
        for one in of_batch:
            place = order[slice(*np.searchsorted(slide[order], [one, one + 1]))]
            rows[place] = self.slides[one].rows[wanted[place] - self.starts[one]]
            features[place] = self.slides[one].features.rows(rows[place])
        found = {"features": features, "slide": slide, "row": rows}
        if self.task is None:
            return found
        return found | label_columns(self.task, [self.labels[k] for k in slide.tolist()])

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """The number of each slide's first tile, and of all tiles, (slides + 1,)."""
        return np.cumsum([0, *(slide.used for slide in self.slides)], dtype=np.int64)

    @property
    def slide_ids(self) -> tuple[str, ...]:
        """Slides that have tiles, in order."""
        return tuple(slide.slide_id for slide in self.slides)


@dataclass(eq=False)
class TileBatches:
    """Batches of tile numbers for DataLoader's `sampler` with `batch_size=None`: each tile once an epoch, in random order.

    Slides are taken in random order, `together` at a time, and their tiles mixed: a batch then touches so many stores at
    most, and only their tile numbers are held. Each pass is the next epoch, unless `set_epoch` said which one it is.
    """

    data: TileDataset
    batch_size: int = 256
    together: int = 16
    seed: int = 0
    epoch: int = 0
    _passed: bool = field(default=False, init=False, repr=False)

    def __len__(self) -> int:
        return ceil(len(self.data) / self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """The order of the next pass."""
        self.epoch, self._passed = epoch, False

    def __iter__(self) -> Iterator[list[int]]:
        if self._passed:
            self.set_epoch(self.epoch + 1)
        self._passed = True
        rng = np.random.default_rng((self.seed, self.epoch))
        left = np.zeros(0, np.int64)
        for group in np.array_split(rng.permutation(len(self.data.slides)), self._groups()):
            starts = self.data.starts
            mixed = np.concatenate([left, *(np.arange(starts[k], starts[k + 1]) for k in group)])
            rng.shuffle(mixed)
            whole = len(mixed) // self.batch_size * self.batch_size
            yield from (chunk.tolist() for chunk in mixed[:whole].reshape(-1, self.batch_size))
            left = mixed[whole:]
        if len(left):
            yield left.tolist()

    def _groups(self) -> int:
        return max(1, -(-len(self.data.slides) // self.together))


def tensors(batch: dict[str, npt.NDArray[Any]]) -> dict[str, torch.Tensor]:
    """A batch of tiles as torch tensors, features float32: the `collate_fn` of a DataLoader over tiles."""
    import torch

    found = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in batch.items()}
    found["features"] = found["features"].float()
    return found
