"""Slides through OpenSlide: the reader for every format that it knows.

A handle that has raised once refuses every later read, also of good tiles
(measured), so it is dropped and opened anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from wsi_features.errors import SlideFileError, one_line
from wsi_features.geometry import Region, Size
from wsi_features.slides.array_reader import composed_on_white
from wsi_features.slides.colour import refused_colour
from wsi_features.slides.resolution import nominal_candidate, tiff_candidate
from wsi_features.slides.slide import Form, Level, MppCandidate, Pixels, SlideBase
from wsi_features.slides.tiff_tags import tiff_form

if TYPE_CHECKING:
    from openslide import OpenSlide

_PROPERTIES = ("openslide.vendor", "openslide.objective-power", "openslide.mpp-x", "openslide.mpp-y", "aperio.AppMag")
"""The only properties that leave a reader: others name patients, users, files and dates."""

_TELLING_VENDORS = {"aperio", "generic-tiff", "leica", "philips", "trestle", "ventana"}
"""Those whose slides are TIFF files that keep to the standard; Hamamatsu's offsets do not."""


class OpenSlideReader(SlideBase):
    """One open OpenSlide handle, for one thread."""

    reader = "openslide"

    def __init__(self, slide_id: str, path: str, why: str = "OpenSlide knows the format") -> None:
        self._slide_id, self._path, self.why = slide_id, path, why
        self._handle: OpenSlide | None = _opened(slide_id, path)
        self.form = _form(path, self._handle.properties.get("openslide.vendor", ""))
        refused = refused_colour(slide_id, path, self.form)
        if refused is not None:
            self.close()
            raise refused
        # Without a pixel nothing is decoded; the handle's own property gives the profile as lcms writes it anew.
        self.icc_profile = self._handle.read_region((0, 0), 0, (0, 0)).info.get("icc_profile")
        dimensions, downsamples = self._handle.level_dimensions, self._handle.level_downsamples
        self.levels = tuple(Level(Size(w, h), float(d)) for (w, h), d in zip(dimensions, downsamples, strict=True))
        found = self._handle.properties
        self.properties: Mapping[str, str] = MappingProxyType({k: found[k] for k in _PROPERTIES if k in found})
        self.mpp_candidates = _mpp_candidates(found)
        self.bounds = _bounds(found)

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region` of `level`; damage is reported in the status."""
        from openslide import OpenSlideError

        downsample = self.levels[level].downsample
        # OpenSlide starts at whole level-0 pixels, and interpolates where these are no whole pixels of the level.
        corner = (math.floor(region.x * downsample + 1e-6), math.floor(region.y * downsample + 1e-6))
        try:
            if self._handle is None:
                self._handle = _opened(self._slide_id, self._path)
            rgba = np.asarray(self._handle.read_region(corner, level, (region.width, region.height)))
        except (OpenSlideError, SlideFileError) as error:
            self.close()
            white = np.full((region.height, region.width, 3), 255, np.uint8)
            return Pixels(white, 0.0, "unreadable", one_line(error))
        shift = (min(0.0, corner[0] / downsample - region.x), min(0.0, corner[1] / downsample - region.y))
        return replace(composed_on_white(rgba), shift=shift)

    def close(self) -> None:
        """Close the handle; a later read opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def reopened(self) -> OpenSlideReader:
        """Another handle of the same file."""
        return OpenSlideReader(self._slide_id, self._path, self.why)


def openslide_format(path: str) -> str | None:
    """The vendor that OpenSlide recognises in the content of `path`, or None."""
    from openslide import OpenSlide

    vendor: str | None = OpenSlide.detect_format(path)
    return vendor


def _opened(slide_id: str, path: str) -> OpenSlide:
    from openslide import OpenSlide, OpenSlideError

    try:
        return OpenSlide(path)
    except (OpenSlideError, OSError) as error:
        raise SlideFileError.refused(slide_id, path, "openslide", one_line(error)) from error


def _form(path: str, vendor: str) -> Form:
    """How the pixels are stored, as far as the tags tell: other vendors' files are no TIFF, or keep their own rules."""
    told = tiff_form(path) if vendor in _TELLING_VENDORS else None
    return replace(told or Form(), vendor=vendor)


def _mpp_candidates(properties: Mapping[str, str]) -> tuple[MppCandidate, ...]:
    pairs = (("openslide", "openslide.mpp-x", "openslide.mpp-y"), ("aperio text", "aperio.MPP", "aperio.MPP"))
    found: list[MppCandidate | None] = []
    for source, key_x, key_y in pairs:
        x, y = _number(properties.get(key_x)), _number(properties.get(key_y))
        if x is not None and y is not None:
            found.append(MppCandidate(source, x, y))
    x, y = _number(properties.get("tiff.XResolution")), _number(properties.get("tiff.YResolution"))
    found.append(tiff_candidate(x, y, properties.get("tiff.ResolutionUnit", "none")))
    found.append(nominal_candidate(_number(properties.get("openslide.objective-power"))))
    return tuple(candidate for candidate in found if candidate is not None)


def _bounds(properties: Mapping[str, str]) -> Region | None:
    keys = ("openslide.bounds-x", "openslide.bounds-y", "openslide.bounds-width", "openslide.bounds-height")
    values = [_number(properties.get(key)) for key in keys]
    x, y, width, height = values
    if x is None or y is None or width is None or height is None or not math.isfinite(x + y + width + height):
        return None
    return Region(int(x), int(y), int(width), int(height))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None
