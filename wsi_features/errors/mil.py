"""Errors of what is given to trainers: labels, bags and splits. Nothing was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from wsi_features.errors.base import UsageError, some_of


class LabelError(UsageError):
    """A table of labels that cannot be used."""

    reason: ClassVar[str] = "labels"

    @classmethod
    def unreadable(cls, path: str, why: str) -> LabelError:
        """Not a text table."""
        return cls(f"labels {path!r} cannot be read ({why}). Give a CSV or TSV file with a header.")

    @classmethod
    def no_column(cls, path: str, wanted: str, found: Sequence[str]) -> LabelError:
        """A column that is not there."""
        there = f"the columns are {', '.join(found)}" if found else "the file is empty"
        return cls(f"labels {path!r} have no column {wanted!r}; {there}. Name one of them.")

    @classmethod
    def no_ids(cls, path: str, found: Sequence[str]) -> LabelError:
        """Nothing says of which slide or patient a row is."""
        there = f"the columns are {', '.join(found)}" if found else "the file is empty"
        return cls(
            f"labels {path!r} have no column `slide_id` or `patient_id`; {there}. Give the one that holds the ids this name."
        )

    @classmethod
    def twice(cls, path: str, line: int, key: str, name: str) -> LabelError:
        """One id with two rows."""
        return cls(f"labels {path!r}, line {line}: {key} {name!r} is there twice. Keep one row for each.")

    @classmethod
    def value(cls, path: str, name: str, column: str, found: str, wanted: str) -> LabelError:
        """A cell that is no label."""
        return cls(
            f"labels {path!r}, {name!r}: `{column}` is {found!r}, wanted {wanted}. Correct it, or delete the row."
        )

    @classmethod
    def contradiction(cls, patient: str, slides: Sequence[str]) -> LabelError:
        """Slides of one patient with different labels."""
        return cls(
            f"patient {patient!r} has slides with different labels ({some_of(slides)}), so the patient has none. "
            "Give labels by patient_id, or make bags of slides."
        )

    @classmethod
    def without_features(cls, names: Sequence[str], key: str, out: str) -> LabelError:
        """Labels of what was never embedded, or failed."""
        return cls(
            f"{len(names)} labelled {key} have no features in {out!r}: {some_of(names)}. Embed them (status.tsv says why they "
            "failed), correct the ids, or set `missing='leave_out'`."
        )

    @classmethod
    def unknown_class(cls, found: str, classes: Sequence[str]) -> LabelError:
        """A class that the caller did not list, or that no bag has."""
        return cls(
            f"class {found!r} is not one of those with bags ({some_of(classes)}). Correct `classes` or the labels."
        )

    @classmethod
    def no_classes(cls, task: str | None) -> LabelError:
        """Weights of what is no class."""
        return cls(
            f"weights are of classes, and the labels are {task or 'absent'}. Open the data set with `mil.classification` labels."
        )


class BagError(UsageError):
    """Slides that make no bags as asked."""

    reason: ClassVar[str] = "bags"

    @classmethod
    def no_patient(cls, slide_id: str) -> BagError:
        """Nobody says whose slide it is."""
        return cls(
            f"slide {slide_id!r} has no patient_id. Fill that column of the manifest or of the label table, or use slides: "
            "unit='slide', by='slide_id' (`--group slide_id`)."
        )

    @classmethod
    def contradiction(cls, slide_id: str, what: str, manifest: str, table: str) -> BagError:
        """Two sources that disagree."""
        return cls(
            f"slide {slide_id!r} is of {what} {manifest!r} in the manifest and {table!r} in the label table. Correct one."
        )

    @classmethod
    def width(cls, slide_id: str, found: int, wanted: int) -> BagError:
        """Features of another encoder."""
        return cls(
            f"slide {slide_id!r} has features of width {found}, the others {wanted}. Use slides of one feature set."
        )

    @classmethod
    def no_column(cls, slide_id: str, wanted: str, found: Sequence[str]) -> BagError:
        """Not measured while embedding."""
        return cls(
            f"slide {slide_id!r} has no column {wanted!r}; it has {', '.join(found) or 'none'}. Embed with "
            "`quality.measure: true`, or leave the column out."
        )

    @classmethod
    def nothing(cls, out: str, left_out: Mapping[str, str]) -> BagError:
        """No bag at all; `left_out` says of slides and patients why."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in left_out.items():
            by_reason.setdefault(reason, []).append(name)
        why = ", ".join(f"{len(names)} have {reason} ({some_of(names)})" for reason, names in by_reason.items())
        return cls(
            f"{out!r} gives no bag: of its slides and patients {why or 'there are none'}. Loosen the filters, or give labels "
            "of slides that have features."
        )

    @classmethod
    def not_late(cls, unit: str) -> BagError:
        """Late fusion of single slides."""
        return cls(f"late fusion is of a patient's slides, and unit is {unit!r}. Set unit='patient', or late=False.")


class SplitError(UsageError):
    """A split that must not be used."""

    reason: ClassVar[str] = "split"

    @classmethod
    def leak(cls, by: str, name: str, parts: Sequence[str], bags: Sequence[str]) -> SplitError:
        """One patient or site on both sides."""
        return cls(
            f"{by} {name!r} is in {' and '.join(parts)} ({some_of(bags)}), so what is learned from one is tested on the same. "
            f"Move all of them into one part, or let `grouped_split` split by {by}."
        )

    @classmethod
    def overlap(cls, bag: str, parts: Sequence[str]) -> SplitError:
        """One bag in two parts."""
        return cls(f"bag {bag!r} is in {' and '.join(parts)}. Name each bag once.")

    @classmethod
    def unknown(cls, bag: str, part: str) -> SplitError:
        """No such bag."""
        return cls(
            f"the split names {bag!r} in {part}, which is no bag of the data set. Correct the id, or leave it out."
        )

    @classmethod
    def too_few(cls, groups: int, parts: int, by: str) -> SplitError:
        """More folds than patients."""
        return cls(f"{groups} different {by} cannot fill {parts} parts. Ask for fewer folds, or add patients.")

    @classmethod
    def shares(cls, found: Sequence[float]) -> SplitError:
        """Shares that are none."""
        return cls(f"the shares of train, val and test are {list(found)}; they are 0 or more and their sum is 1.")

    @classmethod
    def no_part(cls, path: str, column: str, bag: str, found: str, parts: Sequence[str]) -> SplitError:
        """A word in a file of folds."""
        return cls(
            f"folds {path!r}, {bag!r}: `{column}` is {found!r}, wanted {', '.join(parts)} or nothing. Correct it, or give "
            "a column `fold` with the fold in which each row is tested."
        )

    @classmethod
    def empty_part(cls, path: str, column: str, part: str) -> SplitError:
        """Nobody to train or test on."""
        return cls(
            f"folds {path!r}: `{column}` leaves no bag to {part} on. Check that its ids are those of the bags, and that "
            "these have features and labels."
        )

    @classmethod
    def one_fold(cls, path: str, column: str, found: Sequence[str]) -> SplitError:
        """Nothing to test against."""
        return cls(
            f"folds {path!r}: `{column}` holds {some_of(found)} for the bags, and two folds are the least. Check that "
            "its ids are those of the bags."
        )

    @classmethod
    def tested_twice(cls, path: str, bag: str) -> SplitError:
        """Repeated random splits."""
        return cls(
            f"folds {path!r}: bag {bag!r} is tested in more than one fold, so folds are no parts of one cohort. Give the "
            "columns of one repetition, and train once for each."
        )
