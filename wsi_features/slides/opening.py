"""From a path to an open slide: the file is looked at first, then a reader is chosen by its content."""

from __future__ import annotations

import stat
from pathlib import Path

from wsi_features.errors import SlideFileError
from wsi_features.slides.czi_reader import CziReader, is_czi
from wsi_features.slides.folders import DICOM, slide_folder
from wsi_features.slides.foreign.dicom import dicom_slide
from wsi_features.slides.image_reader import ImageReader, image_format
from wsi_features.slides.openslide_reader import OpenSlideReader, openslide_format
from wsi_features.slides.slide import Slide
from wsi_features.slides.tiatoolbox_reader import TiatoolboxReader, tiatoolbox_format
from wsi_features.slides.tiff import DamagedTiffError, TiffReader, tiff_index

_KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def open_slide(slide_id: str, path: Path, scene: str = "", plane: int | None = None) -> Slide:
    """Open `path` with the reader that knows its content; `scene` and `plane` choose in files with several.

    Raises SlideFileError when the file is absent, empty, not a regular file, unknown or damaged,
    or has no such scene or plane.
    """
    slide = _opened(slide_id, path, scene, plane)
    if scene and scene != slide.scene:
        raise SlideFileError.no_scene(slide_id, str(path), scene, [found.name for found in slide.scenes])
    if plane is not None and plane != slide.plane:
        planes = next(found.planes for found in slide.scenes if found.name == slide.scene)
        raise SlideFileError.no_plane(slide_id, str(path), plane, planes)
    return slide


def _opened(slide_id: str, path: Path, scene: str, plane: int | None) -> Slide:
    """The reader that knows the content: what is read directly first, then OpenSlide, then what it refuses."""
    check_file(slide_id, path)
    if path.is_dir():
        return _folder_slide(slide_id, path, scene, plane)
    kind = image_format(str(path))
    if kind == "tiff":
        return _tiff_slide(slide_id, path, scene, plane)
    if is_czi(str(path)):
        return _czi_slide(slide_id, path, scene, plane)
    if openslide_format(str(path)) is not None:
        return OpenSlideReader(slide_id, str(path))
    if kind is not None:
        return ImageReader(slide_id, str(path))
    if found := tiatoolbox_format(path):
        return TiatoolboxReader(slide_id, str(path), scene, plane, f"{found}, which OpenSlide does not read")
    raise SlideFileError.no_reader(slide_id, str(path), _first_bytes(path))


def _tiff_slide(slide_id: str, path: Path, scene: str, plane: int | None) -> Slide:
    try:
        index = tiff_index(str(path))
    except DamagedTiffError as error:
        raise SlideFileError.refused(slide_id, str(path), "the TIFF reader", str(error)) from error
    if not isinstance(index, str):
        return TiffReader(slide_id, str(path), index, scene, plane)
    why = f"not read directly: {index}"
    if found := tiatoolbox_format(path):  # OpenSlide would take the first image and leave its levels and scenes out
        return TiatoolboxReader(slide_id, str(path), scene, plane, f"{found}, {why}")
    if openslide_format(str(path)) is not None:
        return OpenSlideReader(slide_id, str(path), why)
    return ImageReader(slide_id, str(path))


def _czi_slide(slide_id: str, path: Path, scene: str, plane: int | None) -> Slide:
    """OpenSlide puts all scenes on one canvas, so a manifest that chooses one needs the other reader."""
    why = "the manifest chooses a scene or plane"
    if not scene and plane is None and openslide_format(str(path)) is not None:
        try:
            return OpenSlideReader(slide_id, str(path))
        except SlideFileError:
            why = "OpenSlide knows the format and refuses this file"
    return CziReader(slide_id, str(path), scene, plane, why)


def _folder_slide(slide_id: str, path: Path, scene: str, plane: int | None) -> Slide:
    if slide_folder(path) == DICOM:
        return dicom_slide(slide_id, str(path), scene, plane)
    return TiatoolboxReader(slide_id, str(path), scene, plane, "an OME-Zarr folder")


def check_file(slide_id: str, path: Path) -> None:
    """Refuse what no reader should be tried on; a pipe would block all of them."""
    try:
        info = path.stat()
    except OSError as error:
        raise SlideFileError.missing(slide_id, str(path)) from error
    if stat.S_ISDIR(info.st_mode) and slide_folder(path) is not None:
        return
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
