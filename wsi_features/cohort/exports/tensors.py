"""Tensors in files of torch, without a whole slide in memory.

torch writes a tensor from where it lies, so the rows are first laid into a nameless file that is mapped into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.files import replacing

if TYPE_CHECKING:
    import torch


def write_tensor(path: Path, slide: ExportedSlide, dtype: npt.DTypeLike = np.float32) -> None:
    """The features (n, dim) of a slide as one tensor."""
    with mapped(path, slide, dtype) as tensor:
        save(path, tensor)


def save(path: Path, content: Any) -> None:
    """`torch.save`, whole or not at all; what is written loads with `weights_only`."""
    import torch

    with replacing(path) as temporary:
        torch.save(content, temporary)


@contextmanager
def mapped(path: Path, slide: ExportedSlide, dtype: npt.DTypeLike | None = None) -> Iterator[torch.Tensor]:
    """The features (n, dim) as a tensor that lies in a nameless file on the disk of `path`."""
    import torch

    kind = slide.store.features.dtype if dtype is None else np.dtype(dtype)
    if not len(slide):
        yield torch.from_numpy(np.empty((0, slide.dim), kind))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=path.parent) as file:  # the system keeps it until nothing maps it any more
        rows: np.memmap[Any, Any] = np.memmap(file, dtype=kind, mode="w+", shape=(len(slide), slide.dim))
    for start, block in slide.blocks(kind):
        rows[start : start + len(block)] = block
    yield torch.from_numpy(rows)
