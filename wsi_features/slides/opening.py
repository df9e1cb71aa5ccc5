"""From a path to an open slide: the file is looked at first, then a reader is chosen by its content."""

from __future__ import annotations

import stat
from pathlib import Path

from wsi_features.errors import SlideFileError
from wsi_features.slides.slide import Slide

_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def open_slide(slide_id: str, path: Path) -> Slide:
    """Open `path` with the reader that knows its content.

    Raises SlideFileError when the file is absent, empty, not a regular file, unknown or damaged.
    """
    from wsi_features.slides.image_reader import ImageReader, image_format
    from wsi_features.slides.openslide_reader import OpenSlideReader, openslide_format

    check_file(slide_id, path)
    if openslide_format(str(path)) is not None:
        return OpenSlideReader(slide_id, str(path))
    if image_format(str(path)) is not None:
        return ImageReader(slide_id, str(path))
    raise SlideFileError.no_reader(slide_id, str(path), _first_bytes(path))


def check_file(slide_id: str, path: Path) -> None:
    """Refuse what no reader should be tried on; a pipe would block all of them."""
    try:
        info = path.stat()
    except OSError as error:
        raise SlideFileError.missing(slide_id, str(path)) from error
    if not stat.S_ISREG(info.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(info.st_mode)), "special file")
        raise SlideFileError.not_regular(slide_id, str(path), kind)
    if info.st_size == 0:
        raise SlideFileError.empty(slide_id, str(path))


def _first_bytes(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        return error.strerror or "not readable"
    if head and all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "it holds plain text"
    return f"it starts with the bytes {head[:8].hex(' ')}"
