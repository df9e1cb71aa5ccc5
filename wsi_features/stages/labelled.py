"""The bags that a training or prediction is made of: slides of a run, labels of a table, and what is left out and why."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.marks import refuse_unknown_marks
from wsi_features.mil.dataset import NO_FEATURES, OTHER_STAIN, BagDataset
from wsi_features.mil.labels import Labels, classification, regression, survival
from wsi_features.mil.slides import BagRecipe, SlideRows
from wsi_features.mil.table import PATIENT, SLIDE, Table, read_table
from wsi_features.recipe import Json

if TYPE_CHECKING:
    from wsi_features.mil.labels import Task


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """The columns of a table that say what is to be learned: a class, a time with its event, or numbers."""

    path: Path
    label: str | None = None
    time: str | None = None
    event: str | None = None
    targets: tuple[str, ...] = ()

    @property
    def task(self) -> Task:
        """What the columns are for."""
        return "classification" if self.label else "survival" if self.time else "regression"

    @property
    def columns(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(name for name in (self.label, self.time, self.event, *self.targets) if name)

    def of(self, table: Table, classes: Sequence[str] | None = None) -> Labels:
        """The labels of a table. Raises LabelError."""
        if self.label:
            return classification(table, self.label, classes)
        if self.time and self.event:
            return survival(table, self.time, self.event)
        return regression(table, self.targets)


def label_choice(asked: Mapping[str, Any]) -> LabelChoice:
    """Of the options of a command line."""
    return LabelChoice(asked["table"], asked["label"], asked["time"], asked["event"], tuple(asked["targets"]))


@dataclass(frozen=True, slots=True)
class BagChoice:
    """Which bags are made of a run: unit, fusion, feature set, keep marks and stains."""

    unit: str = "slide"
    late: bool = False
    feature_set: str | None = None
    marks: str | None = None
    stains: tuple[str, ...] = ()

    def recipe(self) -> BagRecipe:
        """Of all tiles that are kept; how many of them a step takes is the trainer's to say."""
        fields = {"unit": self.unit, "late": self.late, "marks": self.marks, "stains": self.stains}
        return BagRecipe.model_validate(fields | {"missing": "leave_out"})


@dataclass(frozen=True, slots=True)
class LabelledBags:
    """The bags of a cohort; `left_out` says of each slide, patient or class that is in none why."""

    cohort: Cohort
    dataset: BagDataset
    table: Table | None
    left_out: dict[str, str]

    @property
    def slides(self) -> tuple[SlideRows, ...]:
        """All slides of all bags that have tiles."""
        return tuple(slide for bag in self.dataset.bags for slide in bag.slides if slide.used)

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the store of every slide of a bag, with tiles or not."""
        return {slide.slide_id: slide.fingerprint for bag in self.dataset.bags for slide in bag.slides}

    def without(self, unused: Mapping[str, str]) -> LabelledBags:
        """The same without some bags, which are then left out for the reasons given."""
        kept = [k for k, name in enumerate(self.dataset.ids) if name not in unused]
        return replace(self, dataset=self.dataset.part(kept), left_out={**self.left_out, **unused})

    def upstream(self) -> Json:
        """What the numbers of all bags follow from: labels, and of each slide its store and which of its rows are used."""
        return {
            bag.bag_id: [
                bag.patient_id,
                bag.label,
                *([*_rows_used(s), s.fingerprint] for s in bag.slides),
            ]
            for bag in self.dataset.bags
        }


def labelled_bags(
    out: Path, choice: BagChoice, labels: LabelChoice | None = None, classes: Sequence[str] | None = None
) -> LabelledBags:
    """Open the bags that a run and a table give, with all that is in none of them.

    Without `classes` those of the table are taken that have bags. Raises OutputError, MarksError, LabelError,
    BagError, StoreError.
    """
    table = read_table(labels.path) if labels else None
    found = labels.of(table, classes) if labels and table else None
    cohort = Cohort.open(out, choice.feature_set)
    refuse_unknown_marks(cohort.out, [choice.marks])
    dataset = BagDataset.open(cohort, found, choice.recipe(), table)
    left_out = _reasons(cohort, dataset.left_out) | _without_tiles(dataset)
    if found is not None and found.task == "classification" and classes is None:
        dataset, absent = _with_present_classes(dataset)
        left_out |= absent
    return LabelledBags(cohort, dataset, table, left_out)


def patients_of(dataset: BagDataset, by: Sequence[str]) -> tuple[str, ...]:
    """The patient of each bag; its slide where `by` says that every slide counts as one. Raises BagError."""
    return dataset.groups(SLIDE if SLIDE in by else PATIENT)


def _reasons(cohort: Cohort, left_out: Mapping[str, str]) -> dict[str, str]:
    """What the data set leaves out, and of slides of the run how they ended, or of which stain they are."""
    ended, found = {row.slide_id: row for row in cohort.status}, dict(left_out)
    for name, why in left_out.items():
        how = ended.get(name)
        if why == OTHER_STAIN and how is not None:
            found[name] = f"its stain is {cohort.slide(name).stain or 'not stated'}"
        elif why == NO_FEATURES and how is not None:
            found[name] = f"no features: {how.status}" + (f" [{how.reason}]" if how.reason else "")
        elif why == NO_FEATURES:
            found[name] = "labelled, but without features"
    return found


def _without_tiles(dataset: BagDataset) -> dict[str, str]:
    """Slides that add nothing to a bag that others fill."""
    return {slide.slide_id: "no tiles" for bag in dataset.bags for slide in bag.slides if not slide.used}


def _with_present_classes(dataset: BagDataset) -> tuple[BagDataset, dict[str, str]]:
    """The data set without classes that no bag has: a network cannot learn them, and a table is often of more slides."""
    present = sorted({bag.label for bag in dataset.bags})
    number = {old: new for new, old in enumerate(present)}
    names = tuple(dataset.names[k] for k in present)
    absent = {f"class {name!r}": "no bag" for name in dataset.names if name not in names}
    bags = tuple(replace(bag, label=number[bag.label]) for bag in dataset.bags)
    return replace(dataset, bags=bags, names=names), absent


def _rows_used(slide: SlideRows) -> list[str]:
    used = "all" if slide.bits is None else hashlib.sha256(slide.bits.tobytes()).hexdigest()
    return [slide.slide_id, used]
