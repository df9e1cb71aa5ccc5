"""Plain files for code of one's own: torch, numpy, safetensors and CSV, in the stored precision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.target import Format, Target
from wsi_features.cohort.exports.tensors import mapped, save
from wsi_features.files import replacing, write_json

_SAFETENSORS = {"float16": "F16", "float32": "F32", "int64": "I64"}


def _write_pt(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    """A dict: `features` (n, dim), `coords` int64 (n, 2), and what is known of them."""
    import torch

    path = to.folder / f"{slide.slide_id}.pt"
    with mapped(path, slide) as features:
        save(path, {"features": features, "coords": torch.from_numpy(slide.origins), **slide.about()})
    return (path,)


def _write_npy(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    """`ID.npy`, `ID.coords.npy` and, in words, `ID.json`."""
    features, coords, about = (to.folder / f"{slide.slide_id}{end}" for end in (".npy", ".coords.npy", ".json"))
    with replacing(features) as temporary, temporary.open("wb") as file:
        head = {"descr": slide.store.features.dtype.str, "fortran_order": False, "shape": (len(slide), slide.dim)}
        np.lib.format.write_array_header_1_0(file, head)
        for _, block in slide.blocks():
            file.write(np.ascontiguousarray(block).data)
    with replacing(coords) as temporary, temporary.open("wb") as file:
        np.save(file, slide.origins)
    write_json(about, slide.about())
    return features, coords, about


def _write_safetensors(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    """`features` and `coords`, with what is known of them as metadata; the format is eight bytes, JSON, raw values."""
    path, kind = to.folder / f"{slide.slide_id}.safetensors", slide.store.features.dtype
    end = len(slide) * slide.dim * kind.itemsize
    coords = slide.origins.astype("<i8")
    head: dict[str, Any] = {
        "__metadata__": {name: str(value) for name, value in slide.about().items()},
        "coords": {"dtype": "I64", "shape": list(coords.shape), "data_offsets": [0, coords.nbytes]},
        "features": {
            "dtype": _SAFETENSORS[str(kind)],
            "shape": [len(slide), slide.dim],
            "data_offsets": [coords.nbytes, coords.nbytes + end],
        },
    }
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.write(coords.tobytes())
        for _, block in slide.blocks():
            file.write(np.ascontiguousarray(block).data)
    return (path,)


def _write_csv(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    """One row a tile: slide_id, x, y, f0, f1 and so on; numbers have as many digits as they need to come back equal."""
    import pyarrow as pa
    from pyarrow import csv

    path, names = to.folder / f"{slide.slide_id}.csv", ["slide_id", "x", "y", *(f"f{k}" for k in range(slide.dim))]
    kinds = [pa.string(), pa.int64(), pa.int64(), *[pa.float32()] * slide.dim]
    schema = pa.schema(list(zip(names, kinds, strict=True)))
    plain = csv.WriteOptions(include_header=False, quoting_style="none")
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write((",".join(names) + "\n").encode())
        with csv.CSVWriter(file, schema, write_options=plain) as writer:
            for start, block in slide.blocks(np.float32):
                x, y = (np.ascontiguousarray(part) for part in slide.origins[start : start + len(block)].T)
                columns = [pa.array(column) for column in np.ascontiguousarray(block.T)]
                texts = pa.array([slide.slide_id] * len(block), pa.string())
                writer.write_table(pa.table([texts, pa.array(x), pa.array(y), *columns], schema=schema))
    return (path,)


PT = Format(_write_pt, empty=True)
NPY = Format(_write_npy, empty=True)
SAFETENSORS = Format(_write_safetensors, empty=True)
CSV = Format(_write_csv, empty=True)
