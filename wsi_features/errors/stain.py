"""Errors of stain normalization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError
from wsi_features.errors.cohort import ConfigError


class StainFitError(SlideError):
    """The stain transform of a slide cannot be fitted."""

    reason: ClassVar[str] = "stain_fit"

    @classmethod
    def too_few_pixels(cls, slide_id: str, method: str, found: int, wanted: int) -> StainFitError:
        """Not enough stained pixels to estimate anything."""
        return cls(
            f"slide {slide_id!r}: {method} found {found} stained tissue pixels, wanted at least {wanted}. "
            "Set `stain.method` to none, or drop the slide."
        )

    @classmethod
    def degenerate(cls, slide_id: str, method: str, why: str) -> StainFitError:
        """The pixels do not show two separable stains (one colour, pen, blank)."""
        return cls(
            f"slide {slide_id!r}: {method} fit is degenerate ({why}). "
            "Set `stain.method` to none or reinhard, or drop the slide."
        )

    @classmethod
    def no_contrast(cls, slide_id: str, method: str, channel: str, found: float, wanted: float) -> StainFitError:
        """One colour channel is flat, so its spread cannot be scaled."""
        return cls(
            f"slide {slide_id!r}: {method} found a standard deviation of {found:.2f} in {channel}, "
            f"wanted at least {wanted:g}. Set `stain.method` to none, or drop the slide."
        )


class StainTargetError(ConfigError):
    """The stain target that the config names cannot be used."""

    @classmethod
    def unknown(cls, name: str, shipped: Sequence[str]) -> StainTargetError:
        """Neither a shipped name nor a file."""
        return cls(
            f"no stain target {name!r}. Set `stain.target` to one of: {', '.join(shipped)}; "
            "or to the path of a YAML file like resources/stain/standard.yaml."
        )

    @classmethod
    def unreadable(cls, path: str, why: str) -> StainTargetError:
        """Not a text file, or not YAML."""
        return cls(f"stain target {path!r} cannot be read ({why}). Start from resources/stain/standard.yaml.")

    @classmethod
    def invalid(cls, path: str, where: str, found: object, wanted: str) -> StainTargetError:
        """One value does not follow the schema; `where` is its dotted name."""
        return cls(
            f"stain target {path!r}: `{where}` is {found!r}; {wanted}. "
            "Correct it, with resources/stain/standard.yaml as the model."
        )
