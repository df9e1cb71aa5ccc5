"""DICOM whole-slide series in a folder: OpenSlide reads most of them, wsidicom what it refuses.

A series is a scene. OpenSlide is given the largest instance of the series and finds the others by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.folders import is_wsi_dicom, regular_files
from wsi_features.slides.foreign.source import DAMAGE, Array, PieceCache, chosen, from_tiles, pyramid
from wsi_features.slides.openslide_reader import OpenSlideReader
from wsi_features.slides.slide import Form, MppCandidate, Scene, Slide

_READER = "the DICOM reader"
_HEADER = (
    *("SeriesInstanceUID", "ImageType", "TotalPixelMatrixColumns", "TotalPixelMatrixRows"),
    *(
        "TotalPixelMatrixFocalPlanes",
        "BitsAllocated",
        "SamplesPerPixel",
        "PhotometricInterpretation",
        "NumberOfOpticalPaths",
    ),
)
_RGB = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


_Errors = tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class WsiSeries:
    """The pyramid levels of one series; `first` is the instance with the most pixels.

    `problem` says what keeps it from being 8-bit RGB, empty when nothing does.
    """

    first: Path
    scene: Scene
    problem: str


def wsi_series(folder: Path) -> tuple[WsiSeries, ...]:
    """The whole-slide series in `folder`, by the name of their first file; one has no name, several are numbered.

    A series without pyramid levels (label, overview) is left out. Files that cannot be read are skipped: without
    them the reader finds a level missing or the series empty.
    """
    found: dict[str, list[tuple[Path, Any]]] = {}
    for path in regular_files(folder):
        header = _header(path) if is_wsi_dicom(path) else None
        if header is not None and "VOLUME" in header.get("ImageType", ()):
            found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((path, header))
    names = [str(i) for i in range(len(found))] if len(found) > 1 else [""]
    return tuple(_series(name, instances) for name, instances in zip(names, found.values(), strict=False))


class DicomFolderReader(OpenSlideReader):
    """A DICOM series through OpenSlide. Raises SlideFileError when OpenSlide refuses it, or it has focal planes."""

    def __init__(
        self, slide_id: str, folder: str, scene: str = "", plane: int | None = None, why: str = "a DICOM folder"
    ) -> None:
        series, index, number = _chosen(slide_id, folder, scene, plane)
        if series[index].scene.planes > 1:
            remedy = "Read it with wsidicom"
            raise SlideFileError.unsupported(slide_id, folder, "several focal planes", remedy)
        super().__init__(slide_id, str(series[index].first), why)
        self._folder, self._series = folder, series
        self.scene, self.plane = series[index].scene.name, number

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """One for each series."""
        return tuple(one.scene for one in self._series)

    def reopened(self) -> DicomFolderReader:
        """Another handle of the same series."""
        return DicomFolderReader(self._slide_id, self._folder, self.scene, self.plane, self.why)


def dicom_slide(
    slide_id: str, folder: str, scene: str = "", plane: int | None = None, why: str = "a DICOM folder"
) -> Slide:
    """The series through OpenSlide, or through wsidicom when OpenSlide refuses it.

    Raises SlideFileError when both do, and when there is no such scene or plane.
    """
    from wsi_features.slides.tiatoolbox_reader import TiatoolboxReader

    _chosen(slide_id, folder, scene, plane)
    try:
        return DicomFolderReader(slide_id, folder, scene, plane, why)
    except SlideFileError:
        return TiatoolboxReader(slide_id, folder, scene, plane, f"{why} that OpenSlide refuses")


class DicomFolder:
    """One series and focal plane through wsidicom. Raises SlideFileError when it is not 8-bit RGB."""

    def __init__(self, slide_id: str, path: str, scene: str = "", plane: int | None = None) -> None:
        series, _, self.plane = _chosen(slide_id, path, scene, plane)
        if len(series) > 1:
            what = f"{len(series)} series of a kind that OpenSlide does not read"
            raise SlideFileError.unsupported(slide_id, path, what, "Put each series into a folder of its own")
        self._wsi, self._errors = _opened(path)
        with _told(self._errors):
            self._images = [level.default_instance.image_data for level in self._wsi.pyramid.levels]
            base = self._images[0]
            sizes = [Size(image.image_size.width, image.image_size.height) for image in self._images]
            planes = sorted(base.focal_planes)
        self.levels = pyramid(sizes)
        self.scenes: tuple[Scene, ...] = (Scene("", sizes[0], len(planes)),)
        self.scene, self._z = "", planes[self.plane]
        self.mpp_candidates = _pixel_spacing(base)
        self.icc_profile: bytes | None = _icc_profile(self._wsi)
        tile = Size(base.tile_size.width, base.tile_size.height)
        self.form = Form(vendor="DICOM", compression=str(base.transfer_syntax.name), tile=tile)
        self._cache = PieceCache()

    def rgba(self, region: Region, level: int) -> Array:
        """The pixels of `region`; frames that a sparse file leaves out are transparent."""
        image = self._images[level]
        tile = Size(image.tile_size.width, image.tile_size.height)

        def fetch(column: int, row: int) -> Array | None:
            return self._cache.get((level, column, row), lambda: self._frame(image, column, row))

        with _told(self._errors):
            return from_tiles(region, self.levels[level].size, tile, fetch)

    def shift(self, level: int) -> float:  # noqa: ARG002 - levels are averages of whole blocks
        """No shift."""
        return 0.0

    def close(self) -> None:
        """Release the files."""
        self._wsi.close()

    def _frame(self, image: Any, column: int, row: int) -> Array | None:
        from wsidicom.geometry import Point

        place = (Point(column, row), self._z, image.default_path)
        if image.tiles.get_frame_index(*place) < 0:
            return None
        pixels = np.asarray(image.get_decoded_tile(*place))
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise ValueError(f"a frame of {pixels.shape} {pixels.dtype} was decoded, wanted 8-bit RGB")
        return pixels


def _opened(path: str) -> tuple[Any, _Errors]:
    """The open slide, and the errors that it raises, which have no common base but Exception."""
    from wsi_features.slides.foreign.toolbox import toolbox

    with toolbox() as readers:
        from pydicom.errors import InvalidDicomError
        from wsidicom import errors

        kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
        own: _Errors = (InvalidDicomError, *kinds)
        with _told(own):
            return readers.DICOMWSIReader(path).wsi, own


@contextmanager
def _told(own: _Errors) -> Iterator[None]:
    """Turn the library's errors into ValueError, which is one of DAMAGE."""
    try:
        yield
    except own as error:
        raise ValueError(str(error)) from error


def _chosen(slide_id: str, folder: str, scene: str, plane: int | None) -> tuple[tuple[WsiSeries, ...], int, int]:
    """All series, the index of the chosen one and the number of its plane. Raises SlideFileError."""
    series = wsi_series(Path(folder))
    if not series:
        raise SlideFileError.refused(slide_id, folder, _READER, "it holds no readable instance of type VOLUME")
    index, number = chosen(slide_id, folder, [one.scene for one in series], scene, plane)
    if series[index].problem:
        raise SlideFileError.image_not_rgb(slide_id, folder, series[index].problem)
    return series, index, number


def _header(path: Path) -> Any:
    """What is needed of a file's header, or None when it is damaged."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(path, stop_before_pixels=True, specific_tags=list(_HEADER))
    except (InvalidDicomError, NotImplementedError, *DAMAGE):
        return None


def _series(name: str, instances: list[tuple[Path, Any]]) -> WsiSeries:
    sizes = [
        Size(int(h.get("TotalPixelMatrixColumns", 0)), int(h.get("TotalPixelMatrixRows", 0))) for _, h in instances
    ]
    largest = max(range(len(instances)), key=lambda i: sizes[i].area)
    path, header = instances[largest]
    planes = int(header.get("TotalPixelMatrixFocalPlanes", None) or 1)
    return WsiSeries(path, Scene(name, sizes[largest], planes), _problem(header))


def _problem(header: Any) -> str:
    kind, samples = str(header.get("PhotometricInterpretation", "unknown")), header.get("SamplesPerPixel", 0)
    bits, paths = header.get("BitsAllocated", 0), int(header.get("NumberOfOpticalPaths", None) or 1)
    if bits == 8 and samples == 3 and kind in _RGB and paths == 1:
        return ""
    return f"{bits}-bit {kind} with {samples} samples a pixel in {paths} optical paths"


def _pixel_spacing(image: Any) -> tuple[MppCandidate, ...]:
    """DICOM states millimetres; wsidicom says them as width and height."""
    spacing = image.pixel_spacing
    return () if spacing is None else (MppCandidate("DICOM PixelSpacing", spacing.width * 1e3, spacing.height * 1e3),)


def _icc_profile(wsi: Any) -> bytes | None:
    paths = getattr(wsi.pyramid.base_level.datasets[0], "OpticalPathSequence", None)
    return getattr(paths[0], "ICCProfile", None) if paths else None
