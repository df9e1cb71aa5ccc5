"""The folder that a command writes its results to: where it may lie, and what is said where it cannot be written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsi_features.cohort.outputs import Outputs
from wsi_features.errors import OutputError


def refuse_place(folder: Path, *sources: Path) -> None:
    """Raise OutputError where a folder lies in one of `sources`, in that of any run, or in a store."""
    real = folder.resolve()
    for source in sources:
        if real.is_relative_to(source.resolve()):
            raise OutputError.inside(str(folder), str(source))
    for parent in (real, *real.parents):
        if (parent / "zarr.json").is_file() or (parent != real and _is_run(parent)):
            raise OutputError.inside(str(folder), str(parent))


def _is_run(folder: Path) -> bool:
    out = Outputs(folder)
    return out.manifest.is_file() and out.features.is_dir()


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """What is written in the block goes to `path`. Raises OutputError where it cannot be."""
    try:
        yield
    except OSError as error:
        raise OutputError.unwritable(str(path), error.strerror or str(error)) from error


def made_folder(folder: Path) -> None:
    """Make a folder for results. Raises OutputError."""
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
