"""Errors of training on bags: labels that cannot be learned from, and models that do not fit the features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import UsageError


class TrainingError(UsageError):
    """A training, or a use of what was trained, that would say nothing true."""

    reason: ClassVar[str] = "training"

    @classmethod
    def unlabelled(cls, bags: int) -> TrainingError:
        """Nothing to learn."""
        return cls(
            f"the data set of {bags} bags has no labels. Open it with `classification`, `survival` or `regression`."
        )

    @classmethod
    def few_patients(cls, name: str, found: int, folds: int, file: str = "") -> TrainingError:
        """Some fold would have none of them; `file` is the one whose folds were given."""
        people = "1 patient (group)" if found == 1 else f"{found} patients (groups)"
        if file:
            return cls(
                f"{name} has {people} among the bags that {file!r} puts into folds; one to train and one to "
                "test are needed. Put more of its bags into the folds file, or leave their labels out."
            )
        if found < 3:
            remedy = "Training, validation and test each need one: add patients, or leave the class out."
        else:
            remedy = f"Set folds to at most {found}, or add patients."
        return cls(f"{name} has {people}, fewer than the {folds} folds. {remedy}")

    @classmethod
    def one_class(cls, names: Sequence[str], file: str = "") -> TrainingError:
        """Nothing to tell apart, perhaps only among the bags that a `file` puts into folds."""
        if file:
            return cls(
                f"all bags that {file!r} puts into folds are of one class ({', '.join(map(repr, names)) or 'none'}), so there is "
                "nothing to tell apart. Put bags of a second class into the folds file, or name another column."
            )
        return cls(
            f"all bags are of one class ({', '.join(map(repr, names)) or 'none'}), so there is nothing to tell apart. "
            "Name another column, or add bags of a second class."
        )

    @classmethod
    def constant(cls, column: str, value: float, file: str = "") -> TrainingError:
        """A target that never changes."""
        every, also = (
            (f"every bag that {file!r} puts into folds", ", or add to the folds file") if file else ("every bag", "")
        )
        return cls(f"the target {column!r} is {value:g} for {every}. Name a column that differs between bags{also}.")

    @classmethod
    def no_events(cls, bags: int, file: str = "") -> TrainingError:
        """Everybody is censored."""
        of, last = (
            (f" that {file!r} puts into folds", "put bags with events into the folds file")
            if file
            else ("", "follow up longer")
        )
        return cls(
            f"none of the {bags} bags{of} has an event: all are censored. Check how the event column is written "
            f"(1 is seen, 0 is censored), or {last}."
        )

    @classmethod
    def part_without(cls, fold: int, part: str, what: str, file: str = "") -> TrainingError:
        """Groups that cannot be dealt evenly, or folds of a `file` that were."""
        if file:
            return cls(
                f"fold {fold} of {file!r}: its {part} part has {what}. Move bags between the parts in the folds file, or leave "
                "it out and have folds drawn."
            )
        return cls(
            f"fold {fold}: its {part} part has {what}, because groups of bags cannot be divided. "
            "Ask for fewer folds, leave out a further group, or set another seed."
        )

    @classmethod
    def diverged(cls, fold: int, epoch: int, rate: float) -> TrainingError:
        """Steps that are too large."""
        return cls(
            f"fold {fold}, epoch {epoch}: the loss on the validation fold is no number any more at learning_rate {rate:g}. "
            "Set a lower learning_rate, or standardise=True."
        )

    @classmethod
    def not_finite(cls, slide_id: str, row: int) -> TrainingError:
        """A valid tile with features that are no numbers."""
        return cls(
            f"slide {slide_id!r}, row {row}: the features are not finite though the tile is valid. Embed the slide again, "
            "or import its features again."
        )

    @classmethod
    def mixed_features(cls, slide_id: str, name: str, found: object, other_id: str, wanted: object) -> TrainingError:
        """Two kinds of features in one data set."""
        return cls(
            f"slide {slide_id!r} has {name} {found!r}, and {other_id!r} has {wanted!r}. Train on slides of one feature set."
        )

    @classmethod
    def other_features(cls, slide_id: str, name: str, found: object, wanted: object) -> TrainingError:
        """Features that the model does not know."""
        return cls(
            f"slide {slide_id!r} has features of {name} {found!r}, and the model was trained on {wanted!r}. "
            "Embed the slide as the model's `features` say, or train on these."
        )

    @classmethod
    def other_unit(cls, late: bool) -> TrainingError:
        """Bags fused otherwise."""
        trained, wanted = ("late", "late=True") if late else ("early", "late=False")
        return cls(f"the model was trained with {trained} fusion of a patient's slides. Open the bags with {wanted}.")

    @classmethod
    def other_bags(cls, bag_id: str) -> TrainingError:
        """Not the bags that were cross-validated."""
        return cls(
            f"bag {bag_id!r} was not cross-validated, so no fold is out of it. Give the same data set, or "
            "`result.trained()` for the mean of all folds."
        )

    @classmethod
    def unreadable(cls, path: str, why: str) -> TrainingError:
        """No trained model."""
        return cls(f"{path!r} holds no trained model ({why}). Name a folder that `save_trained` or `train` wrote.")

    @classmethod
    def no_cuda(cls) -> TrainingError:
        """A GPU that is not there."""
        return cls("device 'cuda' was asked for, and torch finds no GPU. Set device to 'cpu' or 'auto'.")
