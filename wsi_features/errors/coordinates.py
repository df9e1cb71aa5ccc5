"""Errors of tile lists: files of positions that take the place of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError

_DROP = "Correct the list, or set `tiles.coordinates_faults` to drop, which leaves such rows out and counts them."


class CoordinatesError(SlideError):
    """A slide's list of tile positions cannot be used."""

    reason: ClassVar[str] = "coordinates"

    @classmethod
    def absent(cls, slide_id: str) -> CoordinatesError:
        """The recipe wants lists, and the manifest names none for this slide."""
        return cls(
            f"slide {slide_id!r} has no list of tiles, and `tiles.source` is coordinates. "
            "Name a CSV, Parquet or HDF5 file in the manifest column `coordinates`, or set `skip`."
        )

    @classmethod
    def unreadable(cls, slide_id: str, path: str, why: str) -> CoordinatesError:
        """Not a table, or not there."""
        return cls(
            f"slide {slide_id!r}: coordinates {path!r} cannot be read ({why}). "
            "Give a CSV, TSV, Parquet or HDF5 file (.csv, .tsv, .parquet, .h5), or clear the manifest column `coordinates`."
        )

    @classmethod
    def no_column(cls, slide_id: str, path: str, wanted: str, found: Sequence[str]) -> CoordinatesError:
        """A position cannot be guessed from other columns."""
        names = ", ".join(repr(name) for name in found) or "none"
        return cls(
            f"slide {slide_id!r}: coordinates {path!r} have no column {wanted!r} (found: {names}). "
            "Name the columns x and y, in level-0 pixels."
        )

    @classmethod
    def twice(cls, slide_id: str, path: str, names: Sequence[str]) -> CoordinatesError:
        """Which of two columns is meant is not clear."""
        return cls(
            f"slide {slide_id!r}: coordinates {path!r} have more than one column of "
            f"{', '.join(repr(name) for name in names)}. Delete or rename one of them."
        )

    @classmethod
    def ragged(cls, slide_id: str, path: str, line: int, cells: int, wanted: int) -> CoordinatesError:
        """A row with too many or too few cells."""
        return cls(
            f"slide {slide_id!r}: coordinates {path!r}, line {line}: {cells} cells, the header has {wanted}. "
            "Give every row as many cells as the header."
        )

    @classmethod
    def faulty(cls, slide_id: str, path: str, first: str, count: int, total: int) -> CoordinatesError:
        """Rows that give no tile; `first` says where the first one is, its value, and what was wanted."""
        return cls(f"slide {slide_id!r}: coordinates {path!r}, {first} ({count} of {total} rows are at fault). {_DROP}")

    @classmethod
    def several_sizes(cls, slide_id: str, path: str, sizes: Sequence[float], unit: str) -> CoordinatesError:
        """Tiles of one store have one resolution, so that their features can be compared."""
        shown = ", ".join(f"{size:g}" for size in sizes[:5]) + (", ..." if len(sizes) > 5 else "")
        return cls(
            f"slide {slide_id!r}: coordinates {path!r} hold tiles of {len(sizes)} sizes ({shown} {unit}); a feature store "
            "has one. Split the list by size and run each with an output folder of its own."
        )

    @classmethod
    def unsized(cls, slide_id: str, path: str, wanted: Sequence[str]) -> CoordinatesError:
        """How wide its patches are cannot be guessed."""
        return cls(
            f"slide {slide_id!r}: coordinates {path!r} do not say how wide their patches are (looked for the attributes "
            f"{', '.join(wanted)}). Give the file that was written when the slide was patched, or a CSV with x, y and size."
        )

    @classmethod
    def other_slide(cls, slide_id: str, path: str, stated: Sequence[int], found: Sequence[int]) -> CoordinatesError:
        """The list was made on another image."""
        return cls(
            f"slide {slide_id!r}: coordinates {path!r} are of a slide of {stated[0]} x {stated[1]} level-0 pixels, "
            f"this one has {found[0]} x {found[1]}. Name the list of this slide in the manifest column `coordinates`."
        )

    @classmethod
    def no_such_level(cls, slide_id: str, path: str, level: int, levels: int) -> CoordinatesError:
        """The list was made of a pyramid with more levels."""
        return cls(
            f"slide {slide_id!r}: coordinates {path!r} are of level {level}, the slide has levels 0 to {levels - 1}. "
            "Name the list of this slide in the manifest column `coordinates`."
        )

    @classmethod
    def cannot_nest(cls, slide_id: str, nested: str) -> CoordinatesError:
        """Only a grid divides into parents or regions."""
        return cls(
            f"slide {slide_id!r} has a list of tiles, which cannot be cut into {nested}. "
            "Set `tiles.nested` to none or context, or clear the manifest column `coordinates`."
        )
