"""CSV tables of a whole cohort, beside the files of its slides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from wsi_features.cohort.exports.labels import Labels
from wsi_features.cohort.exports.ledger import Entry
from wsi_features.files import csv_text, write_text


def write_sheet(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write it whole or not at all; with tabs where its name ends in .tsv."""
    write_text(path, csv_text([header, *rows], "\t" if path.suffix == ".tsv" else ","))


def write_labels(path: Path, header: Sequence[str], slides: Sequence[Entry], labels: Labels) -> None:
    """Patient, slide and label of each slide that has one; no table where none has."""
    found = [(entry.slide_id, labels.of(entry.slide_id)) for entry in slides]
    rows = [(label.patient or slide_id, slide_id, label.label) for slide_id, label in found if label.label]
    if rows:
        write_sheet(path, header, rows)
