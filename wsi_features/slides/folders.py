"""Slides that are more than one file: which folders are slides, and which files belong to a slide.

Only regular files count, and links only while they stay inside the folder: a pipe in it blocks nobody,
and nothing outside becomes part of a slide.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

OME_ZARR, DICOM = "OME-Zarr", "DICOM"

_DICOM_MAGIC, _DICOM_MAGIC_AT = b"DICM", 128
_DICOM_HEAD = 4096
_WSI_CLASS = b"1.2.840.10008.5.1.4.1.1.77.1.6"
"""VL Whole Slide Microscopy Image Storage; the file meta information at the head names the class."""

_SERIES_TAG = 0x0020000E
_VMS_HEADS = (b"[Virtual Microscope Specimen]", b"[Uncompressed Virtual Microscope Specimen]")
_LARGEST_INI = 1024 * 1024
_LARGEST_JSON = 16 * 1024 * 1024


def slide_folder(path: Path) -> str | None:
    """`OME-Zarr` or `DICOM` when the folder `path` is a slide, by its content; None for other folders and for files."""
    if not path.is_dir():
        return None
    if ome_zarr_version(path) is not None:
        return OME_ZARR
    return DICOM if any(is_wsi_dicom(file) for file in regular_files(path)) else None


def companions(path: Path) -> tuple[Path, ...]:
    """The files that a slide consists of besides `path`, sorted; all files below it when it is a folder.

    MRXS: index and data in the folder of the same stem. VMS and VMU: what their text names, beside them.
    DICOM: the other instances of the series in the same folder. Other files have none.
    """
    if path.is_dir():
        return tuple(_files_below(path))
    if path.suffix.lower() == ".mrxs":
        return tuple(_mrxs_parts(path.with_suffix("")))
    head = _head(path)
    if head.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(_VMS_HEADS):
        return tuple(sorted(_named_in(path)))
    if _is_wsi_head(head):
        return tuple(_same_series(path))
    return ()


def regular_files(folder: Path) -> list[Path]:
    """The regular files directly in `folder`, sorted by name."""
    root = folder.resolve()
    return sorted(child for child in folder.iterdir() if _belongs(child, root))


def ome_zarr_version(folder: Path) -> int | None:
    """2 or 3, the Zarr version in which `folder` holds an OME image or a series of them, or None."""
    for name, version in ((".zattrs", 2), ("zarr.json", 3)):
        try:
            found = json_object(folder / name)
        except (OSError, ValueError):
            continue
        attributes = found if version == 2 else found.get("attributes")
        attributes = attributes if isinstance(attributes, dict) else {}
        nested = attributes.get("ome")
        keys = {*attributes, *(nested if isinstance(nested, dict) else {})}
        if keys & {"multiscales", "bioformats2raw.layout"}:
            return version
    return None


def is_wsi_dicom(path: Path) -> bool:
    """Whether a regular file is a DICOM instance of a whole slide, by its first bytes."""
    return _is_wsi_head(_head(path))


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a regular file of reasonable size. Raises OSError or ValueError."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.name}")
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(f"{path.name} is larger than any description of an image")
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object")  # noqa: TRY004 - the content of a file is wrong
    return content


def _files_below(folder: Path) -> list[Path]:
    """All files that belong to it; 100,000 chunks are usual, so the system is asked as little as possible."""
    root, found, pending = folder.resolve(), [], [str(folder)]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and _belongs(Path(entry.path), root)):
                    found.append(entry.path)
    return [Path(path) for path in sorted(found)]


def _belongs(path: Path, root: Path) -> bool:
    """Whether it is a regular file, or a link to one inside `root`."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            target = path.resolve(strict=True)
            return target.is_relative_to(root) and target.is_file()
    except (OSError, RuntimeError):
        return False
    return stat.S_ISREG(mode)


def _mrxs_parts(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in regular_files(folder) if path.suffix.lower() in {".ini", ".dat"}]


def _named_in(path: Path) -> Iterator[Path]:
    """Files beside `path` that its text gives as the value of some key."""
    if path.stat().st_size > _LARGEST_INI:
        return
    values = {line.partition("=")[2].strip() for line in path.read_text("latin-1").splitlines()}
    yield from (file for file in regular_files(path.parent) if file.name in values and file.name != path.name)


def _same_series(path: Path) -> Iterator[Path]:
    series = _series_uid(path)
    for file in regular_files(path.parent):
        if file.name != path.name and is_wsi_dicom(file) and series and _series_uid(file) == series:
            yield file


def _series_uid(path: Path) -> str:
    """The series that an instance belongs to, empty when the file is damaged there; reading stops at it."""
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_partial

    with suppress(InvalidDicomError, NotImplementedError, OSError, ValueError, LookupError, TypeError, EOFError):
        with path.open("rb") as file:
            header = read_partial(file, stop_when=lambda tag, _vr, _length: tag > _SERIES_TAG)
        return str(header.get("SeriesInstanceUID", ""))
    return ""


def _is_wsi_head(head: bytes) -> bool:
    return head[_DICOM_MAGIC_AT : _DICOM_MAGIC_AT + 4] == _DICOM_MAGIC and _WSI_CLASS in head


def _head(path: Path) -> bytes:
    """The first bytes of a regular file, none of anything else."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(_DICOM_HEAD)
    except OSError:
        return b""
