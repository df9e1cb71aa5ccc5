"""Errors of tissue masks and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError


class AnnotationError(SlideError):
    """A GeoJSON of annotations cannot be used as the tissue mask."""

    reason: ClassVar[str] = "annotations"

    @classmethod
    def unreadable(cls, slide_id: str, path: str, why: str) -> AnnotationError:
        """Not JSON, or not GeoJSON."""
        return cls(
            f"slide {slide_id!r}: annotations {path!r} are not a GeoJSON feature collection ({why}). "
            "Export them from QuPath as GeoJSON, or clear the manifest column `annotations`."
        )

    @classmethod
    def no_such_class(cls, slide_id: str, path: str, wanted: str, found: Sequence[str]) -> AnnotationError:
        """The file draws other things than tissue."""
        names = ", ".join(repr(name) for name in found) or "no object at all"
        return cls(
            f"slide {slide_id!r}: annotations {path!r} have no object of class {wanted!r} (found: {names}). "
            "Set `tissue.annotation_class`, or clear the manifest column `annotations`."
        )

    @classmethod
    def outside(cls, slide_id: str, path: str, box: Sequence[float], width: int, height: int) -> AnnotationError:
        """Coordinates of another slide or another unit."""
        left, top, right, bottom = (round(v) for v in box)
        return cls(
            f"slide {slide_id!r}: annotations {path!r} span x {left} to {right}, y {top} to {bottom}, beyond the slide's "
            f"{width} x {height} level-0 pixels. Export them in level-0 pixels of this slide."
        )


class SegmentationError(SlideError):
    """The method asked for cannot find tissue on this slide."""

    reason: ClassVar[str] = "tissue"

    @classmethod
    def dark_field(cls, slide_id: str, method: str, able: Sequence[str]) -> SegmentationError:
        """Fluorescence or dark field, for a method that looks for dark tissue on bright glass."""
        return cls(
            f"slide {slide_id!r} has a dark background, as in fluorescence; `tissue.method: {method}` needs a bright one. "
            f"Set `tissue.method` to one of {', '.join(able)}, or give a mask in the manifest column `annotations`."
        )
