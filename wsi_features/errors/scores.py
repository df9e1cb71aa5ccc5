"""Errors of score tables: what is said of tiles, joined to a store by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError, UsageError, some_of


class ScoreTableError(UsageError):
    """A table of scores that cannot be read, or has not what is asked for."""

    reason: ClassVar[str] = "score_table"

    @classmethod
    def unreadable(cls, path: str, why: str) -> ScoreTableError:
        """Neither Parquet nor text."""
        return cls(
            f"scores {path!r} cannot be read ({why}). Give a Parquet, CSV or TSV file with the columns slide_id, row and "
            "a number or more for each tile."
        )

    @classmethod
    def no_column(cls, path: str, wanted: str, found: Sequence[str]) -> ScoreTableError:
        """A column that is not there."""
        there = f"the columns are {', '.join(found)}" if found else "the file is empty"
        return cls(f"scores {path!r} have no column {wanted!r}; {there}. Name one of them.")

    @classmethod
    def not_numbers(cls, path: str, column: str, kind: str) -> ScoreTableError:
        """A column of text, dates or lists."""
        return cls(
            f"scores {path!r}: column {column!r} holds {kind}, wanted numbers. Name another column, or convert it."
        )

    @classmethod
    def nothing(cls, path: str) -> ScoreTableError:
        """A table without scores."""
        return cls(f"scores {path!r} have no column of numbers besides slide_id and row. Add one for each score.")

    @classmethod
    def cell(cls, path: str, line: int, column: str, found: str, wanted: str) -> ScoreTableError:
        """A cell of a text table."""
        return cls(f"scores {path!r}, line {line}: `{column}` is {found!r}, wanted {wanted}. Correct it.")

    @classmethod
    def ragged(cls, path: str, line: int, found: int, wanted: int) -> ScoreTableError:
        """A line with too many or too few cells."""
        return cls(f"scores {path!r}, line {line}: {found} cells, and the header has {wanted}. Correct the line.")

    @classmethod
    def twice(cls, path: str, line: int, slide_id: str, row: int) -> ScoreTableError:
        """Two lines of one tile."""
        return cls(
            f"scores {path!r}, line {line}: row {row} of slide {slide_id!r} is there twice. Keep one line for each tile."
        )


class ScoreError(SlideError):
    """Scores of one slide that are not of its tiles."""

    reason: ClassVar[str] = "scores"

    @classmethod
    def no_slide(cls, slide_id: str, path: str) -> ScoreError:
        """The table has other slides."""
        return cls(f"slide {slide_id!r} has no scores in {path!r}. Score it, or leave it out.")

    @classmethod
    def value(cls, slide_id: str, column: str, found: str, wanted: str) -> ScoreError:
        """A value that is no score, or no row."""
        return cls(f"slide {slide_id!r}: its scores have {found} as `{column}`, wanted {wanted}. Correct the table.")

    @classmethod
    def twice(cls, slide_id: str, row: int) -> ScoreError:
        """Two scores of one tile."""
        return cls(f"slide {slide_id!r}: its scores have row {row} twice. Keep one for each tile.")

    @classmethod
    def slide_twice(cls, slide_id: str) -> ScoreError:
        """Two sets of scores of one slide."""
        return cls(f"slide {slide_id!r}: its scores were given twice. Give them once.")

    @classmethod
    def beyond(cls, slide_id: str, row: int, store: str, count: int) -> ScoreError:
        """Of a longer store."""
        return cls(
            f"slide {slide_id!r}: its scores have row {row}, and feature store {store!r} has the rows 0 to {count - 1}. "
            "Choose the feature set that was scored (`--feature-set`), or score this one."
        )

    @classmethod
    def other_store(cls, slide_id: str, found: str, store: str, wanted: str) -> ScoreError:
        """Rows of one store would be taken for rows of another."""
        return cls(
            f"slide {slide_id!r}: its scores are of the store with fingerprint {found[:8]}, and {store!r} has {wanted[:8]}. "
            "Choose the feature set that was scored (`--feature-set`), or score this one."
        )

    @classmethod
    def other_slide(cls, slide_id: str, path: str, what: str, found: str, wanted: str) -> ScoreError:
        """The file was exchanged, or the manifest names another."""
        return cls(
            f"slide {slide_id!r}: {path!r} is not the slide that its features are of: {what} {found}, wanted {wanted}. "
            "Correct its path in the manifest."
        )

    @classmethod
    def too_fine(cls, slide_id: str, downsample: int, pixels: int, most: int, enough: int) -> ScoreError:
        """A heat map that would not fit into memory."""
        return cls(
            f"slide {slide_id!r}: a heat map at a downsample of {downsample} has {pixels / 1e6:.0f} megapixels, at most "
            f"{most / 1e6:.0f} are made. Give `--downsample {enough}` or more."
        )

    @classmethod
    def damaged(cls, slide_id: str, path: str, why: str) -> ScoreError:
        """The table's pages of this slide."""
        return cls(f"slide {slide_id!r}: its scores in {path!r} cannot be read ({why}). Write or copy the table again.")


class HeatMapError(UsageError):
    """Heat maps that cannot be made as asked; none was."""

    reason: ClassVar[str] = "heatmap"

    @classmethod
    def which_column(cls, where: str, found: Sequence[str]) -> HeatMapError:
        """Several, and none was chosen."""
        return cls(f"{where} has several columns: {', '.join(found)}. Choose one with `--column`.")

    @classmethod
    def no_column(cls, where: str, wanted: str, found: Sequence[str]) -> HeatMapError:
        """Not among the marks or the measured columns."""
        return cls(
            f"{where} has no column {wanted!r}; it has {', '.join(found) or 'none'}. Choose one with `--column`."
        )

    @classmethod
    def no_marks(cls, out: str, name: str, found: Sequence[str]) -> HeatMapError:
        """No folder of that name, or several."""
        there = f"there are {', '.join(found)}" if found else "there are none"
        return cls(f"{out!r}: marks {name!r} are not one folder; {there}. Give the whole name of one.")

    @classmethod
    def two_of(cls, one: str, other: str) -> HeatMapError:
        """Options that exclude each other."""
        return cls(f"`{one}` and `{other}` were both given. Give one of them.")

    @classmethod
    def value(cls, option: str, found: object, wanted: str) -> HeatMapError:
        """An option's value."""
        return cls(f"`{option}` is {found}, wanted {wanted}. Correct it.")

    @classmethod
    def needs(cls, option: str, target: str) -> HeatMapError:
        """An option of a kind of file that is not made."""
        return cls(f"`{option}` says how `--to {target}` is made, which was not asked for. Add that, or leave it out.")

    @classmethod
    def same_file(cls, slide_id: str, other_id: str, file: str) -> HeatMapError:
        """One slide's values would replace another's colours."""
        return cls(
            f"the values of slide {slide_id!r} and the colours of {other_id!r} would both be {file!r}. Leave `--values` out, or "
            "make the two apart: `--slide` names one, and each has an `--out` of its own."
        )

    @classmethod
    def nothing(cls, out: str, where: str, slides: Sequence[str]) -> HeatMapError:
        """Scores of other slides."""
        return cls(
            f"{where} has no score of any slide asked for in {out!r}, whose slides are {some_of(slides)}. "
            "Give scores of this cohort by its slide_id."
        )
