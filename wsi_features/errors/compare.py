"""Errors of comparisons: nothing was started, or one slide's two sides cannot be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError, UsageError, some_of


class CompareRequestError(UsageError):
    """A comparison that cannot be made as asked."""

    reason: ClassVar[str] = "compare"

    @classmethod
    def absent(cls, path: str) -> CompareRequestError:
        """Nothing there."""
        return cls(f"{path!r} is not there. Give a store, an output folder, a file of features, or a folder of them.")

    @classmethod
    def other_slides(cls, one: str, two: str) -> CompareRequestError:
        """Two files that are named after two slides."""
        return cls(
            f"A is of slide {one!r} and B of slide {two!r}. Give two files of one slide, or `--same-slide` if only the names differ."
        )

    @classmethod
    def none_in_common(cls, one: str, two: str, some: Sequence[str], others: Sequence[str]) -> CompareRequestError:
        """Folders of different slides."""
        return cls(
            f"{one!r} and {two!r} have no slide in common (A has {some_of(some)}; B has {some_of(others)}). "
            "Slides are told by their ids, which are file names without their ending: rename one side."
        )

    @classmethod
    def no_slide(cls, slide_id: str, common: Sequence[str]) -> CompareRequestError:
        """A slide that is not in both."""
        return cls(
            f"slide {slide_id!r} is not on both sides, which have {some_of(common)} in common. Give the id of one of these."
        )

    @classmethod
    def twice(cls, slide_id: str, one: str, other: str) -> CompareRequestError:
        """A folder with several feature sets."""
        return cls(f"{one!r} and {other!r} are both of slide {slide_id!r}. Give the folder of one feature set.")

    @classmethod
    def one_slide_file(cls, slides: int) -> CompareRequestError:
        """One file for several slides."""
        return cls(
            f"`--slide-file FILE` is of one slide, and {slides} are compared. Leave it out, or compare one slide."
        )


class CompareError(SlideError):
    """Two sides of one slide that cannot be compared."""

    reason: ClassVar[str] = "incomparable"

    @classmethod
    def empty(cls, slide_id: str, path: str) -> CompareError:
        """A slide without tiles on one side."""
        return cls(f"slide {slide_id!r}: {path!r} has no tiles, so there is nothing to compare. See why in its status.")

    @classmethod
    def no_pairs(cls, slide_id: str, one: str, two: str, extents: Sequence[str], tolerance: float) -> CompareError:
        """No tile of one side lies at one of the other."""
        return cls(
            f"slide {slide_id!r}: no tile of {one!r} ({extents[0]}) lies within {tolerance:g} pixels of one of {two!r} ({extents[1]}), "
            "nor after any shift or factor. Check that both are of one slide, or raise `--tolerance`."
        )

    @classmethod
    def other_count(cls, slide_id: str, one: str, two: str, counts: Sequence[str]) -> CompareError:
        """Without positions, rows can only be paired where there are equally many."""
        return cls(
            f"slide {slide_id!r}: {one!r} has {counts[0]} and {two!r} {counts[1]}, and not both have positions, so rows cannot be "
            "paired. Give the file that holds coordinates too."
        )

    @classmethod
    def nothing_finite(cls, slide_id: str, one: str, two: str, pairs: int) -> CompareError:
        """All NaN."""
        return cls(
            f"slide {slide_id!r}: in none of {pairs} pairs of tiles do both {one!r} and {two!r} have finite features. "
            "Look at the side that has none: `wsi-features check` says of a store what is wrong."
        )
