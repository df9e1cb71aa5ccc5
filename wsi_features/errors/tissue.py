"""Errors of tissue masks and annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError


class AnnotationError(SlideError):
    """Annotations or a mask from outside cannot be used."""

    reason: ClassVar[str] = "annotations"

    @classmethod
    def unreadable(cls, slide_id: str, path: str, why: str) -> AnnotationError:
        """Not JSON, or not GeoJSON."""
        return cls(
            f"slide {slide_id!r}: annotations {path!r} are not a GeoJSON feature collection ({why}). "
            "Export them from QuPath as GeoJSON, or clear the manifest column `annotations`; an image belongs into `mask`."
        )

    @classmethod
    def no_such_class(cls, slide_id: str, path: str, wanted: str, found: Sequence[str]) -> AnnotationError:
        """The file draws other things than tissue."""
        names = ", ".join(repr(name) for name in found) or "no object at all"
        return cls(
            f"slide {slide_id!r}: annotations {path!r} have no object of class {wanted!r} (found: {names}). "
            "Set `tissue.annotation_class`; or, where they draw other things than tissue, `tissue.without_class: segment`; "
            "or clear the manifest column `annotations`."
        )

    @classmethod
    def near_miss(cls, slide_id: str, path: str, wanted: str, found: str) -> AnnotationError:
        """A class that is written in two ways."""
        return cls(
            f"slide {slide_id!r}: annotations {path!r} have the class {found!r}, the recipe names {wanted!r}. "
            "Write it the same way in both."
        )

    @classmethod
    def absent_class(cls, slide_id: str, path: str, wanted: Sequence[str], found: Sequence[str]) -> AnnotationError:
        """The recipe asks that every slide has every class."""
        lacking, names = ", ".join(map(repr, wanted)), ", ".join(map(repr, found)) or "none"
        return cls(
            f"slide {slide_id!r}: annotations {path!r} have no object of class {lacking} (found: {names}). "
            "Annotate it, correct `tiles.include` or `tiles.exclude`, or set `tiles.absent_class: accept`."
        )

    @classmethod
    def two_masks(cls, slide_id: str, mask: str, path: str, class_name: str) -> AnnotationError:
        """Two files each say what is tissue."""
        return cls(
            f"slide {slide_id!r}: both the mask {mask!r} and the objects of class {class_name!r} in {path!r} would replace "
            "its tissue mask. Clear one of the manifest columns `mask` and `annotations`, or name another "
            "`tissue.annotation_class`."
        )

    @classmethod
    def bad_mask(cls, slide_id: str, path: str, why: str) -> AnnotationError:
        """No image, a damaged one, or one that is too large."""
        return cls(
            f"slide {slide_id!r}: mask {path!r} cannot be used ({why}). Give a PNG or TIFF of the whole slide whose "
            "tissue is not 0; GeoJSON belongs into the manifest column `annotations`."
        )

    @classmethod
    def other_shape(cls, slide_id: str, path: str, found: tuple[int, int], slide: tuple[int, int]) -> AnnotationError:
        """Of another slide, of a part of it, or turned."""
        return cls(
            f"slide {slide_id!r}: mask {path!r} has {found[0]} x {found[1]} pixels, the slide {slide[0]} x {slide[1]}: their "
            f"proportions are {found[0] / found[1]:.3f} and {slide[0] / slide[1]:.3f}. Export the mask over the whole "
            "slide, neither cropped nor turned."
        )

    @classmethod
    def no_such_label(cls, slide_id: str, path: str, wanted: Sequence[int], found: Sequence[str]) -> AnnotationError:
        """A label image with other values."""
        return cls(
            f"slide {slide_id!r}: mask {path!r} has no pixel of the values {', '.join(map(str, wanted))} (found: "
            f"{', '.join(found)}). Correct `tissue.mask_labels`."
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
