"""The manifest: which slides belong to a cohort, and what is known of each beforehand.

A manifest is checked as a whole before anything runs, and every problem found is
reported at once. Whether a slide can be read is not its business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from wsi_features.errors import ManifestError, OutputError

SLIDE_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"

_VERSION = 1


class ManifestRow(BaseModel):
    """One slide of the cohort."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slide_id: str = Field(
        pattern=f"^{SLIDE_ID}$",
        description="Unique name, also ignoring case: letters, digits, `.`, `_`, `-`, at most 128",
    )
    path: str = Field(min_length=1, description="Slide file; a relative path starts at the manifest's folder")
    patient_id: str = Field("", description="Whose slide it is")
    stain: str = Field("", description="Stain of the slide, for example H&E or Ki-67")
    block: str = Field("", description="Tissue block that the slide was cut from")
    mpp: Annotated[float, Field(ge=0.05, le=20)] | None = Field(
        None, description="Microns per level-0 pixel; takes the place of what the file says"
    )
    scene: str = Field("", description="Which image of a file with several; `wsi-features inspect` lists them")
    plane: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Which focal plane, numbered from 0; without it the middle one"
    )
    sha256: str = Field(
        "", pattern="^([0-9a-fA-F]{64})?$", description="SHA-256 of the slide file, verified before it is used"
    )
    annotations: str = Field(
        "",
        description="GeoJSON: its tissue objects replace the segmented mask, its other classes restrict or mark tiles",
    )
    mask: str = Field(
        "", description="PNG or TIFF over the whole slide, at any scale, that replaces the segmented mask"
    )
    coordinates: str = Field(
        "",
        description="List of the tiles to take: CSV or Parquet with x and y, or a patch file of TRIDENT or CLAM (.h5)",
    )
    skip: str = Field("", description="Reason for leaving the slide out; empty means that it is processed")


COLUMNS = tuple(ManifestRow.model_fields)

READ_BY_NO_STAGE = {"block"}
"""Columns that change no job: filling them in later reruns nothing but the status and the report."""


@dataclass(frozen=True)
class Manifest:
    """The slides of a cohort, in order."""

    rows: tuple[ManifestRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[ManifestRow]:
        return iter(self.rows)

    @cached_property
    def by_id(self) -> Mapping[str, ManifestRow]:
        """The rows by slide_id."""
        return {row.slide_id: row for row in self.rows}

    def shards(self, size: int) -> dict[str, tuple[ManifestRow, ...]]:
        """The rows in groups of `size`, named 00000, 00001, ...: appending touches only the last."""
        starts = range(0, len(self.rows), size)
        return {f"{k:05d}": self.rows[start : start + size] for k, start in enumerate(starts)}

    def to_json(self, slides_per_shard: int) -> str:
        """The text of `manifest.json`: this manifest and how it is cut into shards."""
        slides = [_written(row) for row in self.rows]
        document = {"version": _VERSION, "slides_per_shard": slides_per_shard, "slides": slides}
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _written(row: ManifestRow) -> dict[str, Any]:
    """All columns; one that no stage reads only where it says something, so that older manifests keep their digest."""
    return {name: value for name, value in row.model_dump().items() if value or name not in READ_BY_NO_STAGE}


def manifest_of_output(out: Path) -> tuple[Manifest, int]:
    """The manifest that OUT was run with, and its slides per shard. Raises OutputError."""
    path = out / "manifest.json"
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(ManifestRow.model_validate(row) for row in document["slides"])
        return Manifest(rows), int(document["slides_per_shard"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutputError.not_an_output(str(out)) from error


def rows_named(manifest: Manifest, slide_ids: Sequence[str], out: Path) -> list[ManifestRow]:
    """The rows of these slides, each once, or all where none is named. Raises OutputError for a slide that OUT does not have."""
    for slide_id in slide_ids:
        if slide_id not in manifest.by_id:
            raise OutputError.no_slide(str(out), slide_id)
    return [manifest.by_id[slide_id] for slide_id in dict.fromkeys(slide_ids)] or list(manifest)


def safe_slide_id(stem: str) -> str:
    """A slide_id made of a file's stem: anything unsafe becomes `-`."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:128]
    return cleaned or "slide"


def refuse_duplicates(rows: Sequence[ManifestRow]) -> None:
    """Two slides named by their files, with one name: only the user can tell them apart."""
    seen: dict[str, ManifestRow] = {}
    problems = []
    for row in rows:
        other = seen.setdefault(row.slide_id.lower(), row)
        if other is not row:
            problems.append(
                f"{row.path!r} and {other.path!r} would both be slide {row.slide_id!r}. Write a manifest with a "
                "`slide_id` for each: `wsi-features manifest DIR > cohort.csv` makes one to start from."
            )
    if problems:
        raise ManifestError.of(problems)
