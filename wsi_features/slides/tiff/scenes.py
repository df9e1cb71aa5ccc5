"""The scenes of a TIFF: which of its directories are the levels of one image, by the rules of who wrote it.

For Aperio's and for plain pyramidal TIFFs these are OpenSlide's rules, so that both readers list the same levels.
Label, macro and thumbnail images are never levels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from wsi_features.geometry import Region
from wsi_features.slides.resolution import nominal_candidate, tiff_candidate
from wsi_features.slides.slide import MppCandidate
from wsi_features.slides.tiff.ifd import DamagedTiffError, Directory
from wsi_features.slides.tiff.level import TiffLevel, TileState, stored_level

_REDUCED = 1
_UNITS = {1: "none", 2: "inch", 3: "centimeter"}
_APERIO = "Aperio"
_NOT_SCANS = ("label", "macro", "thumbnail")
_APERIO_NUMBERS = ("AppMag", "MPP")
"""The only properties that leave this module, and only as numbers: others name patients, users, files and dates."""

_SOFTWARE = {"Philips": "Philips", "MedScan": "Trestle"}
_DESCRIPTIONS = {"http://www.leica-microsystems.com/scn/": "Leica", 'ObjectType="DPUfsImport"': "Philips"}
_NDPI, _XMP, _MAKE, _ARGOS = 65420, 700, 271, 65000


@dataclass(frozen=True, slots=True, eq=False)
class TiffScene:
    """One image of a file: its pyramid at each focal plane, finest level first, and what the file says of it."""

    name: str
    vendor: str
    planes: tuple[tuple[TiffLevel, ...], ...]
    mpp_candidates: tuple[MppCandidate, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    icc_profile: bytes | None = None


def other_vendor(first: Directory) -> str:
    """The scanner whose files have rules of their own, which OpenSlide knows; empty for all others."""
    software, description = first.text(305), first.text(270)
    if _NDPI in first:
        return "Hamamatsu"
    if "<iScan" in first.text(_XMP):
        return "Ventana"
    if first.text(_MAKE).startswith("Huron"):
        return "Huron"
    if "Argos.Scan.Metadata" in first.text(_ARGOS):
        return "Argos"
    marks = [name for mark, name in _SOFTWARE.items() if software.startswith(mark)]
    marks += [name for mark, name in _DESCRIPTIONS.items() if mark in description]
    return marks[0] if marks else ""


def is_aperio(first: Directory) -> bool:
    """Whether the first directory is that of an Aperio scan."""
    return first.text(270).startswith(_APERIO)


def aperio_scene(directories: Sequence[Directory], file_size: int) -> TiffScene:
    """The scene of an Aperio file: its levels are the tiled directories, in their order."""
    # The scan comes first. Were it not tiled, the first tiled image would be a smaller one, of another resolution.
    scan, *others = directories
    tiled = [scan, *(directory for directory in others if 322 in directory and not _no_scan(directory))]
    levels = pyramid([stored_level(directory, file_size) for directory in tiled])
    stated = _aperio_numbers(scan.text(270))
    mpp = stated.get("MPP")
    text = MppCandidate("aperio text", mpp, mpp) if mpp is not None else None
    said = (text, resolution_tags(scan), nominal_candidate(stated.get("AppMag")))
    candidates = tuple(candidate for candidate in said if candidate is not None)
    properties = {f"aperio.{name}": f"{value:.10g}" for name, value in stated.items()}
    return TiffScene("", "aperio", (levels,), candidates, properties, scan.raw(34675) or None)


def plain_scene(directories: Sequence[Directory], file_size: int) -> TiffScene:
    """The scene of any other pyramid: the first directory and the tiled ones marked as reduced, widest first."""
    first, *others = directories
    if _is_reduced(first):
        raise DamagedTiffError("its first image is marked as a reduced one, so the full resolution is not there")
    reduced = [directory for directory in others if 322 in directory and _is_reduced(directory)]
    levels = [stored_level(directory, file_size) for directory in (first, *reduced)]
    widest_first = sorted(levels, key=lambda level: -level.size.width)
    profile = (first, *reduced)[levels.index(widest_first[0])].raw(34675) or None
    candidate = resolution_tags(first)
    candidates = (candidate,) if candidate is not None else ()
    return TiffScene("", "generic-tiff", (pyramid(widest_first),), candidates, icc_profile=profile)


def pyramid(levels: Sequence[TiffLevel]) -> tuple[TiffLevel, ...]:
    """The levels with their downsamples. Raises NotDirectError where they do not show the same area, or not in order."""
    base = levels[0].size
    for number, level in enumerate(levels):
        across, down = _downsamples(base.width, level.size.width), _downsamples(base.height, level.size.height)
        if max(across[0], down[0]) > min(across[1], down[1]):
            found = f"{level.size.width} x {level.size.height}"
            raise DamagedTiffError(f"level {number} of {found} pixels has other proportions than level 0")
    _check_same_parts(levels)
    placed = tuple(replace(level, downsample=_mean_downsample(levels[0], level)) for level in levels)
    for number, (finer, coarser) in enumerate(pairwise(placed)):
        if coarser.downsample < finer.downsample:
            raise DamagedTiffError(f"level {number + 1} is finer than level {number}")
    return placed


def _check_same_parts(levels: Sequence[TiffLevel]) -> None:
    """Refuse a coarser level that lacks what level 0 has: tissue would be looked for where it shows nothing."""
    stored = levels[0].states != TileState.MISSING
    for number, level in enumerate(levels[1:], 1):
        scale_x, scale_y = levels[0].size.width / level.size.width, levels[0].size.height / level.size.height
        for tile in np.flatnonzero(level.states == TileState.MISSING).tolist():
            box = level.box(tile)
            left, top = math.ceil(box.x * scale_x), math.ceil(box.y * scale_y)
            right, bottom = int((box.x + box.width) * scale_x), int((box.y + box.height) * scale_y)
            below = levels[0].touched(Region(left, top, max(1, right - left), max(1, bottom - top)))
            if stored[below].any():
                raise DamagedTiffError(f"level {number} lacks tiles that level 0 has")


def resolution_tags(directory: Directory) -> MppCandidate | None:
    """What the resolution tags of a directory say."""
    unit = _UNITS.get(directory.number(296, 2), "none")
    return tiff_candidate(directory.ratio(282), directory.ratio(283), unit)


def _mean_downsample(finest: TiffLevel, level: TiffLevel) -> float:
    return (finest.size.height / level.size.height + finest.size.width / level.size.width) / 2


def _downsamples(base: int, extent: int) -> tuple[float, float]:
    """Least and greatest downsample that could have given `extent` pixels, by rounding up or down."""
    return base / (extent + 1), base / (extent - 1) if extent > 1 else math.inf


def _no_scan(directory: Directory) -> bool:
    """Whether the text of an Aperio directory says that it is the label or an overview."""
    _, _, second = directory.text(270).partition("\n")
    return second.lstrip().lower().startswith(_NOT_SCANS)


def _is_reduced(directory: Directory) -> bool:
    old = {2: _REDUCED}.get(directory.number(255, 0), 0)
    return bool(directory.number(254, old) & _REDUCED)


def _aperio_numbers(description: str) -> dict[str, float]:
    """The numbers among the `name = value` fields; of two with one name the last counts, as it does for OpenSlide."""
    pairs = (part.partition("=") for part in description.split("|")[1:])
    stated = {name.strip(): value.strip().replace(",", ".") for name, equals, value in pairs if equals}
    found: dict[str, float] = {}
    for name in _APERIO_NUMBERS:
        try:
            found[name] = float(stated[name])
        except (KeyError, ValueError):
            continue
    return found
