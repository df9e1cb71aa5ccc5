"""Errors of exports and imports: nothing was started, or one slide's files cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import SlideError, UsageError


class ExportError(UsageError):
    """An export that cannot be made as asked."""

    reason: ClassVar[str] = "export"

    @classmethod
    def no_pooling(cls, name: str, others: Sequence[str]) -> ExportError:
        """One vector a slide, for a format of tiles."""
        return cls(f"the format {name!r} has no slide vectors. Leave `--pool` out, or export to {' or '.join(others)}.")

    @classmethod
    def labels(cls, path: str, line: int, why: str) -> ExportError:
        """A table of labels that cannot be read."""
        return cls(
            f"labels {path!r}, line {line}: {why}. Give a CSV with `slide_id`, `label` and, where there are any, "
            "`split` and `case_id`."
        )

    @classmethod
    def no_label(cls, path: str, wanted: str | None, found: Sequence[str]) -> ExportError:
        """A table without the column asked for, or with labels under a name of its own."""
        return cls(
            f"labels {path!r} have no column {wanted or 'label'!r}; the columns are {', '.join(found)}. "
            "Name the one that holds the labels: `--label COLUMN`."
        )

    @classmethod
    def no_parquet(cls, path: str) -> ExportError:
        """A table under a name that says another kind of file."""
        return cls(f"the table of tiles is Parquet, and {path!r} says otherwise. Give a name that ends in .parquet.")


class ImportedError(UsageError):
    """An import that cannot be made as asked."""

    reason: ClassVar[str] = "import"

    @classmethod
    def occupied(cls, path: str) -> ImportedError:
        """An output folder of a run: its manifest must stay that of the run."""
        return cls(f"{path!r} is the output folder of a run. Import into a folder of its own.")

    @classmethod
    def nothing(cls, source: str, suffixes: Sequence[str]) -> ImportedError:
        """No file of that program."""
        return cls(f"no {' or '.join(suffixes)} in {source!r}. Give the files, or the folder that holds them.")

    @classmethod
    def twice(cls, slide_id: str, one: str, other: str) -> ImportedError:
        """Two files of one name."""
        return cls(f"{one!r} and {other!r} would both be slide {slide_id!r}. Import them into two folders.")


class ImportedFileError(SlideError):
    """The files of one slide cannot become a store."""

    reason: ClassVar[str] = "imported_file"

    @classmethod
    def unreadable(cls, slide_id: str, path: str, why: str) -> ImportedFileError:
        """Damaged, or of another layout."""
        return cls(f"slide {slide_id!r}: {path!r} cannot be imported ({why}). Check `--from`, or make the file again.")

    @classmethod
    def needs(cls, slide_id: str, path: str, what: str, option: str) -> ImportedFileError:
        """Something without which positions cannot be told, and which the file does not say."""
        return cls(f"slide {slide_id!r}: {path!r} does not say {what}, and it is not guessed. Give {option}.")

    @classmethod
    def other_slide(cls, slide_id: str, path: str, stated: Sequence[int], found: Sequence[int]) -> ImportedFileError:
        """A file of another slide, or of the slide before it was converted."""
        return cls(
            f"slide {slide_id!r}: {path!r} is of a slide of {stated[0]} x {stated[1]} pixels, the manifest's has "
            f"{found[0]} x {found[1]}. Correct the path in the manifest, or leave the slide out of it."
        )
