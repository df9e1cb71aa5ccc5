"""Errors of the command line, the config and the manifest: nothing is started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from wsi_features.errors.base import UsageError


class ConfigError(UsageError):
    """The config file does not follow the schema."""

    reason: ClassVar[str] = "config"

    @classmethod
    def unreadable(cls, path: str, why: str) -> ConfigError:
        """Not a YAML mapping."""
        return cls(f"config {path!r} cannot be read ({why}). Start from resources/config.yaml.")

    @classmethod
    def invalid(cls, source: str, where: str, found: object, wanted: str) -> ConfigError:
        """One value; `where` is its dotted name."""
        return cls(f"config {source}: `{where}` is {found!r}; {wanted}. Correct the value, or delete the line.")


class ThresholdError(ConfigError):
    """A threshold of a quality column that says nothing."""

    @classmethod
    def unreadable(cls, text: str, columns: Sequence[str]) -> ThresholdError:
        """Not a column, `<=` or `>=`, and a number."""
        return cls(
            f"threshold {text!r} cannot be read. Write what a tile must be to be kept, like 'pen_share<=0.1' or "
            f"'sharpness>=0.05'; the columns are {', '.join(columns)}."
        )

    @classmethod
    def not_measured(cls, path: str, column: str) -> ThresholdError:
        """A store of a run without this column."""
        return cls(
            f"feature store {path!r} has no column {column!r}. Embed again with `quality.measure: true`, "
            "or leave that threshold out."
        )


class MarksError(UsageError):
    """Marks that no slide of the cohort has."""

    reason: ClassVar[str] = "marks"

    @classmethod
    def unknown(cls, out: str, name: str, found: Sequence[str]) -> MarksError:
        """A name that no folder begins with."""
        there = f"there are {', '.join(found)}" if found else "there are none"
        return cls(
            f"{out!r}: no marks begin with {name!r}; {there}. Choose one of them, or make some: `wsi-features quality`, "
            "`curate`, `prompt` or `annotate`."
        )


class ManifestError(UsageError):
    """The manifest cannot be used; every problem found is in the message, one a line."""

    reason: ClassVar[str] = "manifest"

    @classmethod
    def of(cls, problems: Sequence[str]) -> ManifestError:
        """All problems at once, so that a sheet is corrected in one go."""
        return cls("\n".join(problems))

    @classmethod
    def unreadable(cls, path: str, why: str) -> ManifestError:
        """Not a readable text table."""
        return cls(
            f"manifest {path!r} cannot be read ({why}). Give a CSV or TSV file, a folder, a glob or slide files."
        )

    @classmethod
    def empty(cls, source: str) -> ManifestError:
        """No slide in it."""
        return cls(f"no slide in {source!r}. Give a CSV or TSV manifest with rows, or a folder or glob of slide files.")

    @classmethod
    def not_utf8(cls, name: str) -> ManifestError:
        """A name that no sheet and no record can hold."""
        return cls(f"the file name {name} is not UTF-8 text. Rename the file, or link to it under another name.")

    @classmethod
    def no_shard(cls, shard: str, path: str, count: int) -> ManifestError:
        """A job of another manifest."""
        return cls(f"no shard {shard!r} in {path!r}, which has {count}, from 00000. Start the workflow again.")


def manifest_problem(file: str, line: int, column: str, value: str, remedy: str) -> str:
    """One problem of a manifest: file, line, column, value, remedy."""
    return f"{file}, line {line}, column `{column}`: {value!r}. {remedy}"


class OutputError(UsageError):
    """The output folder cannot be used."""

    reason: ClassVar[str] = "output"

    @classmethod
    def not_an_output(cls, path: str) -> OutputError:
        """Nothing that this tool wrote."""
        return cls(f"{path!r} is not an output folder (no manifest.json). Give the folder that was passed as --out.")

    @classmethod
    def unwritable(cls, path: str, why: str) -> OutputError:
        """Permission, no space, or a file where the folder should be."""
        return cls(f"{path!r} cannot be made or written ({why}). Choose another --out, or make room.")

    @classmethod
    def inside(cls, path: str, source: str) -> OutputError:
        """Results would be taken for features, or damage a store."""
        return cls(
            f"--out {path!r} is in {source!r}, whose files it would mix with or replace. Give it a folder of its own."
        )

    @classmethod
    def no_slide(cls, path: str, slide_id: str) -> OutputError:
        """Not in the manifest."""
        return cls(f"{path!r} has no slide {slide_id!r}. `wsi-features status` and status.tsv list its slides.")

    @classmethod
    def no_feature_set(cls, path: str, wanted: str | None, there: Sequence[str]) -> OutputError:
        """The last run wrote none, or none is named so."""
        what = "the last run wrote no features" if wanted is None else f"no feature set begins with {wanted!r}"
        remedy = f"Choose one by its name: {', '.join(there)}" if there else "Embed its slides first"
        return cls(f"{path!r}: {what}. {remedy}.")

    @classmethod
    def ambiguous(cls, path: str, choices: Sequence[str]) -> OutputError:
        """Several feature sets, and none was chosen."""
        return cls(f"{path!r} holds several feature sets: {', '.join(choices)}. Choose one by its name.")
