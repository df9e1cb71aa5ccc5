"""Hugging Face datasets: one Parquet file a slide, which `load_dataset(DIR)` and any Parquet reader take.

A row is a tile: slide_id, x, y (level-0 corner), and the features as a list of fixed length. Labels are a table beside it,
joined by slide_id, so that they may change without writing features again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsi_features.cohort.exports.ledger import Entry
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.sheets import write_sheet
from wsi_features.cohort.exports.target import Format, Target
from wsi_features.files import replacing, write_text


def _write(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    """A row group a block; the folder `data` is where `load_dataset` looks.

    Not compressed: features in half precision become no smaller, and take three times as long (measured).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = to.folder / "data" / f"{slide.slide_id}.parquet"
    values = pa.float16() if slide.store.features.dtype == np.float16 else pa.float32()
    own = {"wsi_features": json.dumps(slide.about(), sort_keys=True)}
    kinds = {"slide_id": pa.string(), "x": pa.int64(), "y": pa.int64(), "features": pa.list_(values, slide.dim)}
    schema = pa.schema(list(kinds.items()), metadata=own)
    origins = slide.origins
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(
            temporary, schema, use_dictionary=["slide_id"], compression="none", write_statistics=["slide_id", "x", "y"]
        ) as file,
    ):
        for start, block in slide.blocks():
            x, y = origins[start : start + len(block)].T
            flat = pa.array(np.ascontiguousarray(block).reshape(-1), type=values)
            rows = pa.FixedSizeListArray.from_arrays(flat, slide.dim)
            names = pa.array([slide.slide_id] * len(block), pa.string())
            file.write_table(pa.table([names, np.ascontiguousarray(x), np.ascontiguousarray(y), rows], schema=schema))
    return (path,)


def _finish(slides: Sequence[Entry], to: Target) -> Sequence[str]:
    """The card of the data set, and the labels of its slides as a table beside it."""
    licences = sorted({str(entry.about.get("licence", "unknown")) for entry in slides})
    head = {"configs": [{"config_name": "default", "data_files": "data/*.parquet"}], "tags": ["pathology"]}
    lines = [
        "---",
        *(f"{name}: {json.dumps(value)}" for name, value in head.items()),
        "---",
        f"Features of {len(slides)} slides by `{to.encoder}`, one row a tile; licence of its weights: {', '.join(licences)}.",
        "`x` and `y` are the corner of a tile in level-0 pixels. Labels, where there are any, are in `labels.csv`.",
    ]
    write_text(to.folder / "README.md", "\n".join(lines) + "\n")
    rows = [(entry.slide_id, to.labels.of(entry.slide_id)) for entry in slides]
    if any(label.label for _, label in rows):
        table = [(slide_id, label.label, label.split, label.patient) for slide_id, label in rows]
        write_sheet(to.folder / "labels.csv", ("slide_id", "label", "split", "case_id"), table)
    return ()


HF = Format(_write, finish=_finish, tables=("README.md", "labels.csv"))
