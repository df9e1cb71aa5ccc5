"""Batches: several bags as torch tensors, padded to the longest or packed end to end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from wsi_features.mil.bag import Bag, PatientBags
from wsi_features.mil.labels import Task, label_columns
from wsi_features.store.raw import aligned_empty

if TYPE_CHECKING:
    import torch

Batch = dict[str, Any]
Form = Literal["padded", "packed"]
Dtype = Literal["float32", "float16", "bfloat16"]

_TILE_ARRAYS = ("coords", "grid", "slide", "rows", "columns")
_PADDING = {"coords": -1, "grid": -1, "slide": -1, "rows": -1, "columns": float("nan")}
"""What stands in the places of a padded batch that hold no tile; features are 0 there, so that sums need no mask."""


def padded(bags: Sequence[Bag], task: Task | None = None, dtype: Dtype = "float32") -> Batch:
    """Bags, b of them, as `features` (b, m, d) and `mask` bool (b, m), true where there is a tile; m is the longest bag.

    `coords` and `grid` int32 (b, m, 2), `slide` and `rows` (b, m), `columns` (b, m, c), `lengths` int64 (b,), and the
    names; labels as `label_columns` says. The features of a single bag in its own type are not copied. MIL-Lab's models take `batch["features"]` as it is, attention `batch["mask"]`.
    """
    import torch

    longest = max(map(len, bags))
    features = _features(bags, [k * longest for k in range(len(bags) + 1)], dtype)
    lengths = torch.tensor([len(bag) for bag in bags])
    batch: Batch = {
        "features": features.view(len(bags), longest, features.shape[1]),
        "mask": torch.arange(longest)[None, :] < lengths[:, None],
        "lengths": lengths,
    }
    for name in _TILE_ARRAYS:
        first = getattr(bags[0], name)
        values = np.full((len(bags), longest, *first.shape[1:]), _PADDING[name], first.dtype)
        for k, bag in enumerate(bags):
            values[k, : len(bag)] = getattr(bag, name)
        batch[name] = torch.from_numpy(values)
    return batch | _names(bags) | _labels(bags, task)


def packed(bags: Sequence[Bag], task: Task | None = None, dtype: Dtype = "float32") -> Batch:
    """Bags, b of them, end to end: `features` (n, d), `bag` int64 (n,) the bag of each tile.

    `offsets` int64 (b + 1,) is where each begins; the other arrays are as in `padded`, of n tiles. `offsets` is what variable-length attention calls cu_seqlens.
    """
    import torch

    lengths = torch.tensor([len(bag) for bag in bags])
    offsets = torch.zeros(len(bags) + 1, dtype=torch.int64)
    torch.cumsum(lengths, 0, out=offsets[1:])
    features = _features(bags, offsets.tolist(), dtype)
    owner = torch.repeat_interleave(torch.arange(len(bags)), lengths)
    batch: Batch = {"features": features, "bag": owner, "offsets": offsets, "lengths": lengths}
    for name in _TILE_ARRAYS:
        batch[name] = torch.from_numpy(np.concatenate([getattr(bag, name) for bag in bags]))
    return batch | _names(bags) | _labels(bags, task)


def late(
    patients: Sequence[PatientBags], task: Task | None = None, dtype: Dtype = "float32", form: Form = "padded"
) -> Batch:
    """The slides of p patients as a batch of bags, padded or packed, with `owner` int64 (slides,): the patient of each.

    Labels and `patient_ids` are of the p patients, so that what a model makes of the slides is fused by `owner`.
    """
    import torch

    bags = [bag for patient in patients for bag in patient]
    batch = padded(bags, None, dtype) if form == "padded" else packed(bags, None, dtype)
    counts = torch.tensor([len(patient) for patient in patients])
    batch["owner"] = torch.repeat_interleave(torch.arange(len(patients)), counts)
    batch["patient_ids"] = [patient.bag_id for patient in patients]
    return batch | _labels(patients, task)


def collate_of(
    task: Task | None, *, late_fusion: bool = False, form: Form = "padded", dtype: Dtype = "float32"
) -> Callable[[Sequence[Any]], Batch]:
    """The `collate_fn` of a DataLoader over bags; it can be pickled."""
    if late_fusion:
        return partial(late, task=task, dtype=dtype, form=form)
    return partial(padded if form == "padded" else packed, task=task, dtype=dtype)


def _features(bags: Sequence[Bag], bounds: Sequence[int], dtype: Dtype) -> torch.Tensor:
    """The features of bag k in rows `bounds[k]` to `bounds[k + 1]`, with 0 behind them. A single bag's own memory where it fits."""
    import torch

    first = bags[0].features
    if len(bags) == 1 and first.dtype.name == dtype:
        return torch.from_numpy(first)
    wanted = getattr(torch, dtype)
    size = bounds[-1] * first.shape[1] * wanted.itemsize
    # numpy asks for large pages, and torch does not: filling these takes a quarter of the time
    rows = torch.from_numpy(aligned_empty((size,), np.dtype(np.uint8))).view(wanted).view(bounds[-1], first.shape[1])
    for bag, start, end in zip(bags, bounds[:-1], bounds[1:], strict=True):
        rows[start : start + len(bag)] = torch.from_numpy(bag.features)
        rows[start + len(bag) : end] = 0
    return rows


def _names(bags: Sequence[Bag]) -> Batch:
    """Whose the tiles are: `slide` of a tile is a place in its bag's `slide_ids`."""
    return {
        "bag_ids": [bag.bag_id for bag in bags],
        "patient_ids": [bag.patient_id for bag in bags],
        "slide_ids": [list(bag.slide_ids) for bag in bags],
    }


def _labels(bags: Sequence[Bag] | Sequence[PatientBags], task: Task | None) -> dict[str, torch.Tensor]:
    import torch

    if task is None:
        return {}
    columns = label_columns(task, [bag.label for bag in bags])
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in columns.items()}
