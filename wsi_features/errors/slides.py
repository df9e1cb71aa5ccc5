"""Errors of opening and reading slides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError


class SlideFileError(SlideError):
    """The file is missing, or is not something a slide can be read from."""

    reason: ClassVar[str] = "unreadable_slide"

    @classmethod
    def missing(cls, slide_id: str, path: str) -> SlideFileError:
        """No file at the manifest's path."""
        return cls(f"slide {slide_id!r}: no file at {path!r}. Correct the `path` in the manifest, or set `skip`.")

    @classmethod
    def not_regular(cls, slide_id: str, path: str, kind: str) -> SlideFileError:
        """Pipes and devices block every reader."""
        return cls(f"slide {slide_id!r}: {path!r} is a {kind}, not a regular file. Give the path of the slide file.")

    @classmethod
    def empty(cls, slide_id: str, path: str) -> SlideFileError:
        """A file of zero bytes: usually a copy that never happened."""
        return cls(f"slide {slide_id!r}: {path!r} has 0 bytes. Copy the slide again, then rerun.")

    @classmethod
    def unreadable(cls, slide_id: str, path: str, why: str) -> SlideFileError:
        """The system refuses to read it: permission, a lost disk."""
        return cls(f"slide {slide_id!r}: {path!r} cannot be read ({why}). Check permissions and the disk, then rerun.")

    @classmethod
    def no_reader(cls, slide_id: str, path: str, found: str) -> SlideFileError:
        """No reader recognises the content."""
        return cls(
            f"slide {slide_id!r}: {path!r} is not a slide that any reader knows ({found}). "
            "Check that the file is complete, and its format with `wsi-features inspect`."
        )

    @classmethod
    def refused(cls, slide_id: str, path: str, reader: str, why: str) -> SlideFileError:
        """A reader knows the format but the file is damaged."""
        return cls(
            f"slide {slide_id!r}: {reader} cannot open {path!r} ({why}). "
            "The file is probably cut short or damaged: copy or export it again, then rerun."
        )


class ResolutionError(SlideError):
    """The slide's microns per pixel are unknown, implausible or too coarse."""

    reason: ClassVar[str] = "mpp"

    @classmethod
    def missing(cls, slide_id: str, looked_at: Sequence[str]) -> ResolutionError:
        """No source states a resolution, and it is never guessed."""
        sources = ", ".join(looked_at) or "no source"
        return cls(
            f"slide {slide_id!r} does not say its microns per pixel (looked at: {sources}). "
            "Give the value in the manifest column `mpp`."
        )

    @classmethod
    def implausible(cls, slide_id: str, value: object, source: str) -> ResolutionError:
        """A resolution outside what slide scanners produce."""
        return cls(
            f"slide {slide_id!r} states {value} um/px ({source}); wanted one value from 0.05 to 20, equal in x and y "
            "within 1 %. Give the true value in the manifest column `mpp`."
        )

    @classmethod
    def too_coarse(cls, slide_id: str, *, native: float, wanted: float, tolerance: float) -> ResolutionError:
        """Tiles finer than the scan would be invented detail."""
        return cls(
            f"slide {slide_id!r} was scanned at {native:g} um/px, more than {tolerance:.0%} coarser than the "
            f"{wanted:g} um/px asked for; tiles would be invented detail. "
            f"Set `tiles.mpp` to at least {native:g}, or drop the slide from the cohort."
        )


class TileReadError(SlideError):
    """More of a slide is missing or unreadable than can be accepted."""

    reason: ClassVar[str] = "bad_tiles"

    @classmethod
    def overview(cls, slide_id: str, level: int, y: int, why: str) -> TileReadError:
        """A level that the thumbnail is made from; without it no tissue can be found."""
        return cls(
            f"slide {slide_id!r}: the thumbnail cannot be made, level {level} is unreadable from row {y} ({why}). "
            "Copy or export the slide again, then rerun."
        )

    @classmethod
    def too_many(cls, slide_id: str, bad: Sequence[tuple[int, int, str]], total: int, allowed: float) -> TileReadError:
        """`bad` holds level-0 x, y and the reason of each tile."""
        x, y, why = bad[0]
        return cls(
            f"slide {slide_id!r}: {len(bad)} of {total} tiles cannot be read (first at x={x}, y={y}: {why}), "
            f"allowed are {allowed:.2%}. Copy or export the slide again, or raise `read.max_bad_tile_fraction`."
        )
