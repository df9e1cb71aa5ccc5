"""eva: one tensor a slide, and the manifest that its offline multiple-instance learning starts from.

Looked up in eva 0.4.5 (`core/data/datasets`, `core/callbacks/writers/embeddings`). Targets are whole numbers, splits are
train, val and test; both come from the user's labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsi_features.cohort.exports.ledger import Entry
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.sheets import write_sheet
from wsi_features.cohort.exports.target import Format, Target
from wsi_features.cohort.exports.tensors import write_tensor
from wsi_features.files import write_json

_COLUMNS = ("origin", "embeddings", "target", "split", "wsi_id")


def _write(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    path = to.folder / "embeddings" / f"{slide.slide_id}.pt"
    write_tensor(path, slide)
    return (path,)


def _finish(slides: Sequence[Entry], to: Target) -> Sequence[str]:
    """`manifest.csv`, and which number stands for which label."""
    classes = to.labels.classes()
    rows = []
    for entry in slides:
        label = to.labels.of(entry.slide_id)
        (embeddings,) = entry.files
        rows.append((entry.slide_id, embeddings, classes.get(label.label, ""), label.split, entry.slide_id))
    write_sheet(to.folder / "manifest.csv", _COLUMNS, rows)
    if classes:
        write_json(to.folder / "classes.json", classes)
    without = sum(row[2] == "" for row in rows), sum(row[3] == "" for row in rows)
    told = zip(("target", "split"), ("label", "split"), without, strict=True)
    return [
        f"{count} of {len(rows)} slides have no {name} in manifest.csv: eva cannot use them. Give --labels with the "
        f"column `{column}`, which need not be exported anew."
        for name, column, count in told
        if count
    ]


EVA = Format(_write, finish=_finish, tables=("manifest.csv", "classes.json"))
