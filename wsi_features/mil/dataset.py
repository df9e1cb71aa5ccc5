"""The data set of bags [hot]: one bag a slide or a patient, read when it is asked for.

It is what torch's DataLoader takes (length and items), without being made of torch: items are `Bag` values of numpy arrays,
which `wsi_features.mil.collate` turns into batches. Workers may be forked or spawned.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.cohort import Cohort
from wsi_features.errors import BagError, LabelError
from wsi_features.mil.bag import Bag, BagSlides, PatientBags, read_bag
from wsi_features.mil.labels import Labels, Task, class_weights, strata
from wsi_features.mil.sampling import Curves, drawn_rows
from wsi_features.mil.slides import BagRecipe, SlideRows, is_wanted, rows_of, slides_of
from wsi_features.mil.table import PATIENT, SLIDE, Table

if TYPE_CHECKING:
    import torch

NO_FEATURES, OTHER_STAIN = "no features", "another stain or block"


def _shared_number() -> torch.Tensor:
    """A number that worker processes see change."""
    import torch

    number = torch.zeros((), dtype=torch.int64)
    number.share_memory_()  # type: ignore[no-untyped-call]  # torch does not say its type
    return number


@dataclass(frozen=True, eq=False)
class BagDataset:
    """Bags of a cohort. `left_out` says why a slide, or a patient, is in no bag. Made by `open`, or as a `part`.

    `set_epoch` has the tiles of each bag drawn anew where the recipe draws any; workers that run on see it too.
    """

    bags: tuple[BagSlides, ...]
    recipe: BagRecipe
    task: Task | None = None
    names: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    _epoch: torch.Tensor = field(default_factory=_shared_number, repr=False)
    _curves: Curves = field(default_factory=Curves, repr=False)

    @classmethod
    def open(
        cls, cohort: Cohort, labels: Labels | None = None, recipe: BagRecipe | None = None, table: Table | None = None
    ) -> BagDataset:
        """Bags of a cohort's slides, of those that have labels where these are given, in manifest order.

        `table` may name patients and blocks of slides. Opens every store once. Raises BagError, LabelError, StoreError.
        """
        chosen = recipe or BagRecipe()
        if chosen.late and chosen.unit != "patient":
            raise BagError.not_late(chosen.unit)
        slides = slides_of(cohort, chosen, table)
        bags = _grouped(slides, chosen, labels)
        why = {bag.bag_id: _why_not(bag, labels) for bag in bags}
        left_out = _absent(cohort, slides, chosen, labels, table) | {
            name: reason for name, reason in why.items() if reason
        }
        kept = tuple(bag for bag in bags if not why[bag.bag_id])
        if not kept:
            raise BagError.nothing(str(cohort.out.root), left_out)
        return cls(kept, chosen, labels.task if labels else None, labels.names if labels else (), left_out)

    def __len__(self) -> int:
        return len(self.bags)

    def __getitem__(self, item: int) -> Bag | PatientBags:
        """Bag number `item`; of a patient's slides one by one where the recipe fuses late. Raises IndexError, StoreError."""
        bag, recipe, epoch = self.bags[item], self.recipe, self.epoch
        if not recipe.late:
            return read_bag(bag, drawn_rows(bag, recipe, epoch, self._curves), recipe.columns, recipe.verify)
        of_slides = [
            read_bag(part, drawn_rows(part, recipe, epoch, self._curves), recipe.columns, recipe.verify)
            for part in bag.of_slides()
        ]
        return PatientBags(bag.bag_id, tuple(of_slides), bag.label)

    @property
    def epoch(self) -> int:
        """Which draws items give."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """The draws that items give from now on, in this process and in workers that share its memory."""
        self._epoch.fill_(epoch)

    def part(self, items: Iterable[int], **changes: Any) -> BagDataset:
        """Some of the bags, in the order given, with an epoch of their own; `changes` are fields of the recipe.

        `items` are their numbers, or one true or false for each bag. `dataset.part(split.val, max_tiles=None)` validates
        on whole bags.
        """
        wanted = np.asarray(list(items))
        if wanted.dtype == np.bool_:
            wanted = np.arange(len(self))[wanted]
        bags = tuple(self.bags[k] for k in wanted.astype(np.int64))
        recipe = BagRecipe.model_validate(self.recipe.model_dump() | changes)
        return replace(self, bags=bags, recipe=recipe, _epoch=_shared_number(), _curves=Curves())

    @property
    def dim(self) -> int:
        """Width of a feature vector."""
        return self.bags[0].slides[0].dim

    @property
    def ids(self) -> tuple[str, ...]:
        """Slides or patients, in order."""
        return tuple(bag.bag_id for bag in self.bags)

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """How many tiles each bag may hold, (bags,)."""
        return np.array([bag.used for bag in self.bags], np.int64)

    def groups(self, by: str = PATIENT, table: Table | None = None) -> tuple[str, ...]:
        """The group of each bag that no split may divide: its patient, slide, or what a column of `table` says (`site`).

        Raises BagError where a slide has no patient, and LabelError where the table leaves one empty.
        """
        return tuple(_group(bag, by, table) for bag in self.bags)

    def strata(self, bins: int = 4) -> npt.NDArray[np.int64] | None:
        """What splits are stratified by, (bags,): class, event, or quantile; None without labels."""
        return strata(self.task, [bag.label for bag in self.bags], bins) if self.task else None

    def class_weights(self, beta: float | None = None) -> npt.NDArray[np.float32]:
        """Weights of the classes for a loss, (classes,), of the bags of this part. Raises LabelError."""
        if self.task != "classification":
            raise LabelError.no_classes(self.task)
        labels = np.array([bag.label for bag in self.bags], np.int64)
        return class_weights(labels, self.names, beta)


def _grouped(slides: Sequence[SlideRows], recipe: BagRecipe, labels: Labels | None) -> list[BagSlides]:
    members: dict[str, list[SlideRows]] = {}
    for slide in slides:
        if recipe.unit == "patient" and not slide.patient_id:
            raise BagError.no_patient(slide.slide_id)
        members.setdefault(slide.patient_id if recipe.unit == "patient" else slide.slide_id, []).append(slide)
    return [
        BagSlides(name, group[0].patient_id, tuple(group), _label(name, group, labels))
        for name, group in members.items()
    ]


def _label(name: str, slides: Sequence[SlideRows], labels: Labels | None) -> Any:
    """The one label of all slides; None where none has one. Raises LabelError where they differ."""
    if labels is None:
        return None
    ids = [slide.slide_id if labels.key == SLIDE else slide.patient_id for slide in slides]
    labelled = [one for one in ids if one in labels.values]
    found = {labels.values[one] for one in labelled}
    if len(found) > 1:
        raise LabelError.contradiction(name, labelled)
    return next(iter(found), None)


def _why_not(bag: BagSlides, labels: Labels | None) -> str:
    """Why there is no such bag; empty where there is."""
    if labels is not None and bag.label is None:
        return "no label"
    return "" if bag.used else "no tiles"


def _absent(
    cohort: Cohort, slides: Sequence[SlideRows], recipe: BagRecipe, labels: Labels | None, table: Table | None
) -> dict[str, str]:
    """Slides, and what has labels, that are in no bag, with why. Raises LabelError for labels that need features."""
    rows, there = rows_of(cohort, table), {slide.slide_id for slide in slides}
    why = {
        row.slide_id: NO_FEATURES if is_wanted(row, recipe) else OTHER_STAIN
        for row in rows
        if row.slide_id not in there
    }
    if labels is None:
        return why
    known = {
        row.slide_id if labels.key == SLIDE else row.patient_id for row in rows if why.get(row.slide_id) != NO_FEATURES
    }
    unknown = [name for name in labels.values if name not in known]
    if unknown and recipe.missing == "refuse":
        raise LabelError.without_features(
            unknown, "slides" if labels.key == SLIDE else "patients", str(cohort.out.root)
        )
    return why | dict.fromkeys(unknown, NO_FEATURES)


def _group(bag: BagSlides, by: str, table: Table | None) -> str:
    if by == SLIDE:
        return bag.slides[0].slide_id
    if by == PATIENT:
        if not bag.patient_id:
            raise BagError.no_patient(bag.slides[0].slide_id)
        return bag.patient_id
    if table is None:
        raise LabelError.no_column("(none given)", by, ())
    cells = table.column(by)
    names = [slide.slide_id for slide in bag.slides] if table.key == SLIDE else [bag.patient_id]
    found = {cells.get(name, "") for name in names}
    if len(found) > 1 or "" in found:
        raise LabelError.value(table.path, bag.bag_id, by, ", ".join(sorted(found)), f"one {by} for every bag")
    return found.pop()
