"""Errors of curation and of what is given to viewers: nothing was written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import UsageError


class CurationError(UsageError):
    """Tiles cannot be chosen as asked."""

    reason: ClassVar[str] = "curation"

    @classmethod
    def one_number(cls, tiles: int | None, percent: float | None) -> CurationError:
        """Both, or neither."""
        return cls(
            f"how many tiles is asked by --tiles ({tiles}) or by --percent ({percent}). Give exactly one of them."
        )

    @classmethod
    def no_column(cls, path: str, wanted: str, found: Sequence[str]) -> CurationError:
        """Not measured while embedding."""
        names = ", ".join(map(repr, found)) or "none"
        return cls(
            f"feature store {path!r} has no column {wanted!r} (it has {names}): nuclei were not counted while its tiles "
            "were read. Embed with that column, or choose another --method."
        )

    @classmethod
    def nothing(cls, out: str, what: str) -> CurationError:
        """No artifact of that kind."""
        return cls(f"{out!r} holds no {what} of the slides asked for. Run the stage that makes them first.")
