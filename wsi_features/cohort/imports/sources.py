"""Which files are imported, and which slide each is of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from wsi_features.cohort.imports import h5
from wsi_features.cohort.imports.foreign import Foreign
from wsi_features.cohort.imports.toolbox import tiatoolbox
from wsi_features.cohort.manifest import safe_slide_id
from wsi_features.errors import ImportedError

TOOLS = ("trident", "clam", "stamp", "atlaspatch", "tiatoolbox")
_NO_FEATURES = ("_patches.h5",)
_NO_FEATURE_FOLDERS = ("patches", "slide_features_", "pt_files")


def files_by_slide(tool: str, sources: Sequence[Path]) -> dict[str, Path]:
    """The files of a tool, searched for in folders to any depth, by the slide that each is named after.

    AtlasPatch keeps features in its patch files; of the others, files of positions and of slide vectors are passed
    over. Raises ImportedError where there is none, or two of one name.
    """
    found: list[Path] = []
    for source in sources:
        files = feature_files(tool, source)
        if not files:
            raise ImportedError.nothing(str(source), [_suffix(tool)])
        found += files
    return by_slide(found)


def by_slide(paths: Iterable[Path]) -> dict[str, Path]:
    """Files by the slide that each is named after. Raises ImportedError for two of one name."""
    found: dict[str, Path] = {}
    for path in paths:
        slide_id = safe_slide_id(path.stem)
        other = found.setdefault(slide_id, path)
        if other != path:
            raise ImportedError.twice(slide_id, str(other), str(path))
    return found


def feature_files(tool: str, source: Path) -> list[Path]:
    """The files of a tool that are `source` or lie below it, sorted; none where there are none."""
    return sorted(_below(tool, source, _suffix(tool)))


def _suffix(tool: str) -> str:
    return ".zarr" if tool == "tiatoolbox" else ".h5"


def _below(tool: str, source: Path, suffix: str) -> list[Path]:
    if source.suffix == suffix:
        return [source] if source.exists() else []
    every = source.rglob(f"*{suffix}")
    if tool == "atlaspatch":
        return list(every)
    return [path for path in every if not path.name.endswith(_NO_FEATURES) and not _is_beside(path, source)]


def _is_beside(path: Path, source: Path) -> bool:
    return any(part.startswith(_NO_FEATURE_FOLDERS) for part in path.relative_to(source).parts[:-1])


@contextmanager
def foreign_features(
    tool: str,
    slide_id: str,
    path: Path,
    *,
    encoder: str = "",
    tile_mpp: float | None = None,
    patches: Path | None = None,
) -> Iterator[Foreign]:
    """What a file of `tool` holds, open for reading. Raises ImportedFileError."""
    if tool == "tiatoolbox":
        yield tiatoolbox(slide_id, path, tile_mpp)
        return
    with h5.opened_h5(slide_id, path) as file:
        if tool == "trident":
            yield h5.trident(slide_id, path, file)
        elif tool == "clam":
            yield h5.clam(slide_id, path, file, patches)
        elif tool == "stamp":
            yield h5.stamp(slide_id, path, file)
        else:
            yield h5.atlaspatch(slide_id, path, file, encoder)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, or of all files of a folder with their names."""
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    hashed = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()):
        hashed.update(f"{part.relative_to(path).as_posix()}:{digest_of(part)}\n".encode())
    return hashed.hexdigest()
