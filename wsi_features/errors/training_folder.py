"""Errors of the folder that a training leaves, and of what is asked of it. Nothing was written."""

from __future__ import annotations

from typing import ClassVar

from wsi_features.errors.base import UsageError


class TrainingFolderError(UsageError):
    """A folder that a training or a prediction cannot be written to or read from."""

    reason: ClassVar[str] = "training"

    @classmethod
    def occupied(cls, path: str, what: str) -> TrainingFolderError:
        """Another result lies there."""
        return cls(
            f"{path!r} holds {what} of other features, labels or settings. Give another --out, or replace it with "
            "--overwrite."
        )

    @classmethod
    def none(cls, path: str, why: str) -> TrainingFolderError:
        """Not what `train` writes."""
        return cls(f"{path!r} is no finished training ({why}). Give the folder that `wsi-features train --out` wrote.")

    @classmethod
    def other_task(cls, path: str, trained: str, asked: str) -> TrainingFolderError:
        """Labels of another kind."""
        return cls(
            f"{path!r} was trained for {trained}, and the labels given are for {asked}. Give columns of that kind."
        )

    @classmethod
    def seen(cls, name: str, path: str, count: int) -> TrainingFolderError:
        """Testing on what was learned from."""
        return cls(
            f"patient {name!r} was in the training {path!r} (of those given, {count} were), so these labels would test models "
            "on what they learned from. Leave the patients out of the labels, or leave --labels out; patients of another "
            "place that happen to have the same id need ids of their own."
        )

    @classmethod
    def seen_slide(cls, slide_id: str, trained: str, path: str) -> TrainingFolderError:
        """The same slide, of a patient with another id."""
        return cls(
            f"slide {slide_id!r} has the same features as {trained!r} of the training {path!r}: it is the same slide, so its label "
            "would test models on what they learned from. Leave it out of the labels, or leave --labels out."
        )
