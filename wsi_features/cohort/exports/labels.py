"""Labels of a cohort: a CSV of the user's, joined to slides by their id."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from wsi_features.errors import ExportError

_NAMES = {
    "slide_id": ("slide_id", "slide", "wsi_id"),
    "label": ("label", "target", "category"),
    "split": ("split",),
    "patient": ("case_id", "patient_id", "patient"),
}
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Label:
    """What is said of one slide; empty where nothing is."""

    label: str = ""
    split: str = ""
    patient: str = ""


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels by slide_id; a slide that is not among them has none. `patients` are those of the manifest."""

    of_slide: dict[str, Label] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)

    def of(self, slide_id: str) -> Label:
        """The label of a slide, with the manifest's patient where it names none; an empty one where there is none."""
        found = self.of_slide.get(slide_id, Label())
        return found if found.patient else replace(found, patient=self.patients.get(slide_id, ""))

    def other_patients(self) -> list[str]:
        """Slides that are of one patient in the labels, and of another in the manifest."""
        known = {slide_id: self.patients.get(slide_id) for slide_id in self.of_slide}
        return [
            name for name, label in self.of_slide.items() if label.patient and known[name] not in (None, label.patient)
        ]

    def classes(self) -> dict[str, int]:
        """The number of every label: its own where all are whole numbers, else its place in alphabetical order."""
        names = sorted({label.label for label in self.of_slide.values() if label.label})
        if all(name.isascii() and name.isdigit() for name in names):
            return {name: int(name) for name in names}
        return {name: k for k, name in enumerate(names)}

    def unlabelled(self, slides: Iterable[str]) -> list[str]:
        """Those of `slides` that have no label."""
        return [slide_id for slide_id in slides if not self.of(slide_id).label]


def read_labels(path: Path) -> Labels:
    """A CSV or TSV with `slide_id`, `label`, and where known `split` (train, val, test) and `case_id`.

    Raises ExportError naming the line of what cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError.labels(str(path), 0, str(error)) from error
    lines = text.splitlines()
    reader = csv.DictReader(lines, delimiter="\t" if lines and "\t" in lines[0] else ",", skipinitialspace=True)
    columns = _columns(path, reader.fieldnames or ())
    found: dict[str, Label] = {}
    for row in reader:
        cells = {ours: (row[theirs] or "").strip() for ours, theirs in columns.items()}
        slide_id = cells.pop("slide_id")
        if slide_id in found:
            raise ExportError.labels(str(path), reader.line_num, f"slide {slide_id!r} stands there twice")
        if cells.get("split", "") not in ("", *SPLITS):
            why = f"the split {cells['split']!r} is none of {', '.join(SPLITS)}"
            raise ExportError.labels(str(path), reader.line_num, why)
        found[slide_id] = Label(**cells)
    return Labels(found)


def _columns(path: Path, header: Iterable[str]) -> dict[str, str]:
    """Our name of each column that is there -> its name in the file."""
    there = set(header)
    found = {ours: name for ours, names in _NAMES.items() for name in reversed(names) if name in there}
    if "slide_id" not in found:
        raise ExportError.labels(str(path), 1, "there is no column `slide_id`")
    return found
