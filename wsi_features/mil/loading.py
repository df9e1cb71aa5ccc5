"""Loaders: torch DataLoaders over bags and tiles, seeded, with batches as `collate` makes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wsi_features.mil.collate import Dtype, Form, collate_of
from wsi_features.mil.dataset import BagDataset
from wsi_features.mil.splits import Split
from wsi_features.mil.table import PATIENT, SLIDE, Table
from wsi_features.mil.threads import thread_loader
from wsi_features.mil.tiles import TileBatches, TileDataset, tensors

if TYPE_CHECKING:
    from torch.utils.data import DataLoader


@dataclass(frozen=True, slots=True)
class Loading:
    """How bags are loaded; nothing of it changes which tiles a bag holds.

    `balanced` training takes as many bags an epoch, but draws them so that each class is as frequent (bags of a rare one
    come more than once). Workers are threads of this process, or with `start` processes that begin so; see `threads`.
    """

    batch_size: int = 1
    workers: int = 0
    form: Form = "padded"
    dtype: Dtype = "float32"
    start: Literal["threads", "fork", "spawn", "forkserver"] = "threads"
    pin_memory: bool = False
    balanced: bool = False


@dataclass(eq=False)
class EpochOrder:
    """A sampler over a data set of bags: shuffled, or drawn class by class, by the recipe's seed and the epoch.

    Each pass is the next epoch of the data set, whose tiles are drawn anew with it, unless `set_epoch` said which one it is;
    Lightning does.
    """

    data: BagDataset
    balanced: bool = False
    _passed: bool = field(default=False, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[int]:
        if self._passed:
            self.set_epoch(self.data.epoch + 1)
        self._passed = True
        rng = np.random.default_rng((self.data.recipe.seed, self.data.epoch))
        strata = self.data.strata() if self.balanced else None
        if strata is None:
            return iter(rng.permutation(len(self.data)).tolist())
        chance = 1 / np.bincount(strata)[strata]
        return iter(rng.choice(len(self.data), len(self.data), p=chance / chance.sum()).tolist())

    def set_epoch(self, epoch: int) -> None:
        """The order and the tiles of the next pass."""
        self._passed = False
        self.data.set_epoch(epoch)


def bag_loader(data: BagDataset, loading: Loading | None = None, *, shuffle: bool = False) -> DataLoader[Any]:
    """Batches of bags as dicts of tensors: shuffled, an epoch a pass (`EpochOrder`), or in order with the same tiles each time."""
    how = loading or Loading()
    collate = collate_of(data.task, late_fusion=data.recipe.late, form=how.form, dtype=how.dtype)
    order = EpochOrder(data, how.balanced) if shuffle else None
    return _loader(data, how, batch_size=how.batch_size, sampler=order, collate_fn=collate)


def tile_loader(data: TileDataset, order: TileBatches, loading: Loading | None = None) -> DataLoader[Any]:
    """Batches of tiles as dicts of tensors, of the size that `order` says, which also has `set_epoch`."""
    return _loader(_ByBatch(data), loading or Loading(), batch_size=None, sampler=order, collate_fn=tensors)


@dataclass(frozen=True, slots=True, eq=False)
class PartLoaders:
    """The loaders of a split. `evaluation` is what validation and test change of the recipe: whole bags unless given."""

    train: BagDataset
    val: BagDataset
    test: BagDataset
    loading: Loading

    @classmethod
    def of(
        cls,
        data: BagDataset,
        split: Split,
        loading: Loading | None = None,
        by: Sequence[str] = (PATIENT,),
        table: Table | None = None,
        evaluation: dict[str, Any] | None = None,
    ) -> PartLoaders:
        """The parts of a split that divides none of `by`: `patient_id`, `slide_id`, or columns of `table`.

        Raises SplitError naming the patient (slide, site) that is on two sides, and BagError for a slide without a patient.
        """
        groups = {name.removesuffix("_id"): data.groups(name, table) for name in by if name != SLIDE}
        split.refuse_leaks(data.ids, **groups)
        whole = {"max_tiles": None} if evaluation is None else evaluation
        return cls(
            data.part(split.train), data.part(split.val, **whole), data.part(split.test, **whole), loading or Loading()
        )

    def train_loader(self) -> DataLoader[Any]:
        """Shuffled anew each epoch."""
        return bag_loader(self.train, self.loading, shuffle=True)

    def val_loader(self) -> DataLoader[Any]:
        """One bag at a time, in order."""
        return bag_loader(self.val, replace(self.loading, batch_size=1))

    def test_loader(self) -> DataLoader[Any]:
        """One bag at a time, in order."""
        return bag_loader(self.test, replace(self.loading, batch_size=1))


def data_module(loaders: PartLoaders) -> Any:
    """The same as a LightningDataModule, with `loaders` as attribute. Needs the package `lightning`."""
    from lightning import LightningDataModule

    class BagDataModule(LightningDataModule):  # type: ignore[misc]  # lightning is optional, so Any to the type checker
        """Bags of a split for a Lightning Trainer."""

        def __init__(self) -> None:
            super().__init__()
            self.loaders = loaders

        def train_dataloader(self) -> DataLoader[Any]:
            return self.loaders.train_loader()

        def val_dataloader(self) -> DataLoader[Any]:
            return self.loaders.val_loader()

        def test_dataloader(self) -> DataLoader[Any]:
            return self.loaders.test_loader()

        def predict_dataloader(self) -> DataLoader[Any]:
            return self.loaders.test_loader()

    return BagDataModule()


@dataclass(frozen=True, slots=True, eq=False)
class _ByBatch:
    """A data set of which an item is a batch."""

    tiles: TileDataset

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, items: list[int]) -> Any:
        return self.tiles.__getitems__(items)


def _loader(data: Any, how: Loading, **order: Any) -> DataLoader[Any]:
    from torch.utils.data import DataLoader

    if how.workers and how.start == "threads":
        return thread_loader(data, how.workers, pin_memory=how.pin_memory, **order)
    some = how.workers > 0
    return DataLoader(
        data,
        num_workers=how.workers,
        pin_memory=how.pin_memory,
        persistent_workers=some,
        multiprocessing_context=how.start if some else None,
        **order,
    )
