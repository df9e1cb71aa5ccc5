"""Slides in formats that OpenSlide refuses, through tiatoolbox: OME-TIFF, OME-Zarr, JPEG 2000, DICOM folders.

tiatoolbox opens the files; the pixels are taken from what it holds open, level by level. Its own region reads
resample, give black or white for what is missing, and guess a resolution of 0.5 um/px: none of that is used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from wsi_features.errors import SlideFileError, one_line
from wsi_features.geometry import Region
from wsi_features.slides.array_reader import composed_on_white
from wsi_features.slides.folders import DICOM, OME_ZARR, slide_folder
from wsi_features.slides.foreign.source import DAMAGE, Source
from wsi_features.slides.slide import Pixels, Scene, SlideBase

OME_TIFF, JPEG_2000, DICOM_FOLDER = "OME-TIFF", "JPEG 2000", "DICOM folder"

_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class TiatoolboxReader(SlideBase):
    """One scene and focal plane: the first scene and the middle plane where none is asked for.

    Raises SlideFileError when the content is of no format that `tiatoolbox_format` knows, damaged, or anything
    but 8-bit RGB.
    """

    reader = "tiatoolbox"

    def __init__(
        self,
        slide_id: str,
        path: str,
        scene: str = "",
        plane: int | None = None,
        why: str = "OpenSlide refuses the format",
    ) -> None:
        self._slide_id, self._path, self.why = slide_id, path, why
        source = _opened(slide_id, path, scene, plane)
        self._source: Source | None = source
        self._scenes, self.scene, self.plane = source.scenes, source.scene, source.plane
        self.levels, self.form = source.levels, source.form
        self.mpp_candidates, self.icc_profile = source.mpp_candidates, source.icc_profile

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Every image that is 8-bit RGB; a single one has no name, several are numbered."""
        return self._scenes

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region` of `level`; damage is reported in the status, and the file opened again after it."""
        try:
            if self._source is None:
                self._source = _opened(self._slide_id, self._path, self.scene, self.plane)
            rgba = self._source.rgba(region, level)
        except (SlideFileError, *DAMAGE) as error:
            self.close()
            white = np.full((region.height, region.width, 3), 255, np.uint8)
            return Pixels(white, 0.0, "unreadable", one_line(error) or type(error).__name__)
        shift = self._source.shift(level)
        return replace(composed_on_white(rgba), shift=(shift, shift))

    def close(self) -> None:
        """Close the file; a later read opens it again."""
        if self._source is not None:
            self._source.close()
            self._source = None

    def reopened(self) -> TiatoolboxReader:
        """Another handle of the same scene and plane."""
        return TiatoolboxReader(self._slide_id, self._path, self.scene, self.plane, self.why)


def tiatoolbox_format(path: Path) -> str | None:
    """`OME-TIFF`, `JPEG 2000`, `OME-Zarr` or `DICOM folder` by the content of `path`, or None."""
    from wsi_features.slides.foreign.jpeg2000 import is_jpeg2000
    from wsi_features.slides.foreign.ome_tiff import is_ome_tiff

    if path.is_dir():
        return {OME_ZARR: OME_ZARR, DICOM: DICOM_FOLDER}.get(slide_folder(path) or "")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return None
    if is_jpeg2000(head):
        return JPEG_2000
    return OME_TIFF if head.startswith(_TIFF_HEADS) and is_ome_tiff(str(path)) else None


def _opened(slide_id: str, path: str, scene: str, plane: int | None) -> Source:
    source = _source_of(tiatoolbox_format(Path(path)))
    if source is None:
        raise SlideFileError.no_reader(slide_id, path, "no OME-TIFF, OME-Zarr, JPEG 2000 or DICOM folder")
    try:
        return source(slide_id, path, scene, plane)
    except DAMAGE as error:
        why = one_line(f"{type(error).__name__}: {error}")
        raise SlideFileError.refused(slide_id, path, "tiatoolbox", why) from error


def _source_of(kind: str | None) -> Callable[[str, str, str, int | None], Source] | None:
    from wsi_features.slides.foreign.dicom import DicomFolder
    from wsi_features.slides.foreign.jpeg2000 import Jpeg2000
    from wsi_features.slides.foreign.ome_tiff import OmeTiff
    from wsi_features.slides.foreign.ome_zarr import OmeZarr

    sources: dict[str | None, Callable[[str, str, str, int | None], Source]]
    sources = {OME_TIFF: OmeTiff, OME_ZARR: OmeZarr, JPEG_2000: Jpeg2000, DICOM_FOLDER: DicomFolder}
    return sources.get(kind)
