"""Bags: the tiles of one slide or patient with where each came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.mil.slides import SlideRows
from wsi_features.store import Verify
from wsi_features.store.raw import aligned_empty

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """n tiles. Row i of every array belongs to one tile, which is row `rows[i]` of the store of `slide_ids[slide[i]]`.

    `features` (n, d) as stored, float16 or float32 (float32 where slides differ in that); `coords` int32 (n, 2) level-0 x, y; `grid` int32 (n, 2) column, row;
    `slide` int32 (n,); `rows` int64 (n,); `columns` float32 (n, c) named by `column_names`. `stains` and `blocks` are of
    the slides. `label` is as the data set's labels say; None without labels.
    """

    bag_id: str
    patient_id: str
    features: npt.NDArray[np.floating[Any]]
    coords: npt.NDArray[np.int32]
    grid: npt.NDArray[np.int32]
    slide: npt.NDArray[np.int32]
    rows: Rows
    columns: npt.NDArray[np.float32]
    slide_ids: tuple[str, ...]
    stains: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    column_names: tuple[str, ...] = ()
    label: Any = None

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True, eq=False)
class PatientBags:
    """The slides of one patient as bags of their own, for fusion after the aggregator."""

    bag_id: str
    bags: tuple[Bag, ...]
    label: Any = None

    def __len__(self) -> int:
        return len(self.bags)

    def __iter__(self) -> Iterator[Bag]:
        return iter(self.bags)


@dataclass(frozen=True, slots=True)
class BagSlides:
    """Which slides make a bag, and its label."""

    bag_id: str
    patient_id: str
    slides: tuple[SlideRows, ...]
    label: Any = field(default=None)

    @property
    def used(self) -> int:
        """Tiles that the bag may hold."""
        return sum(slide.used for slide in self.slides)

    def of_slides(self) -> tuple[BagSlides, ...]:
        """Each slide that has tiles as a bag of its own, with the same name and label."""
        return tuple(
            BagSlides(self.bag_id, self.patient_id, (slide,), self.label) for slide in self.slides if slide.used
        )


def read_bag(bag: BagSlides, rows: Sequence[Rows], columns: tuple[str, ...] = (), verify: Verify = "first") -> Bag:
    """The rows `rows[k]` of each slide, one after the other, read straight into one array. Raises StoreError."""
    ends = np.cumsum([0, *map(len, rows)])
    dtype = np.result_type(*(slide.features.dtype for slide in bag.slides))
    features = aligned_empty((int(ends[-1]), bag.slides[0].dim), dtype)
    placed: dict[str, list[npt.NDArray[Any]]] = {"coords": [], "grid": [], "columns": []}
    for k, slide in enumerate(bag.slides):
        _read_rows(slide, rows[k], features[ends[k] : ends[k + 1]], verify)
        placed["coords"].append(slide.array("coords")[rows[k]])
        placed["grid"].append(slide.array("grid")[rows[k]])
        placed["columns"].append(_columns(slide, columns, rows[k]))
    return Bag(
        bag_id=bag.bag_id,
        patient_id=bag.patient_id,
        features=features,
        **{name: np.concatenate(parts) for name, parts in placed.items()},
        slide=np.repeat(np.arange(len(rows), dtype=np.int32), np.diff(ends)),
        rows=np.concatenate(rows),
        slide_ids=tuple(slide.slide_id for slide in bag.slides),
        stains=tuple(slide.stain for slide in bag.slides),
        blocks=tuple(slide.block for slide in bag.slides),
        column_names=columns,
        label=bag.label,
    )


def _read_rows(slide: SlideRows, rows: Rows, out: npt.NDArray[Any], verify: Verify) -> None:
    target = out if slide.features.dtype == out.dtype else None
    found = slide.read(rows, verify, target)
    if target is None:
        out[...] = found


def _columns(slide: SlideRows, wanted: tuple[str, ...], rows: Rows) -> npt.NDArray[np.float32]:
    if not wanted:
        return np.empty((len(rows), 0), np.float32)
    places = [slide.column_names.index(name) for name in wanted]
    return np.asarray(slide.array("columns")[rows][:, places], np.float32)
