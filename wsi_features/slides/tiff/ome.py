"""The scenes of an OME-TIFF: its series are scenes, their depths are focal planes, levels lie in inner directories.

OME-XML (schema 2016-06) says which directory is which plane. Names of images, files and people are never kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from wsi_features.slides.resolution import nominal_candidate
from wsi_features.slides.slide import MppCandidate
from wsi_features.slides.tiff.ifd import Directory, NotDirectError
from wsi_features.slides.tiff.level import TiffLevel, stored_level
from wsi_features.slides.tiff.scenes import TiffScene, pyramid, resolution_tags

MOST_PLANES = 1_024
_SUB_DIRECTORIES, _PROFILE = 330, 34675
_NOT_SCANS = ("label", "macro", "overview", "thumbnail", "barcode", "slide preview")
_MICRONS = {"µm": 1.0, "μm": 1.0, "um": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6, "Å": 1e-4, "pm": 1e-6}
_MICRONS |= {"in": 25_400.0, "inch": 25_400.0}


@dataclass(frozen=True, slots=True)
class _Series:
    """One image of the XML: the number of the directory of each of its planes, and what is said of its scale."""

    directories: tuple[int, ...]
    physical: MppCandidate | None
    nominal: MppCandidate | None


def is_ome(first: Directory) -> bool:
    """Whether the first directory carries OME-XML."""
    description = first.text(270)
    return description.rstrip().endswith("OME>") and "<OME" in description[:4096]


def ome_scenes(directories: Sequence[Directory], file_size: int) -> tuple[tuple[TiffScene, ...], tuple[str, ...]]:
    """The scenes that are decoded here, and why others are not. Raises NotDirectError where there is none.

    A scene of several is named by its place among all images of the file, `Image:0` the first; one alone has no name.
    """
    found: list[TiffScene] = []
    left: list[str] = []
    root = _root(directories[0].text(270))
    images = list(_images(root))
    for number, (image, nominal) in enumerate(images):
        if image.get("Name", "").lower().startswith(_NOT_SCANS):
            continue
        name = f"Image:{number}"
        try:
            found.append(_scene(name, _series(image, nominal, root.get("UUID")), directories, file_size))
        except NotDirectError as error:
            left.append(f"{name} is left out: {error}")
    if not found:
        raise NotDirectError(left[0].partition(": ")[2] if left else "its OME-XML names no image")
    if len(found) == 1:
        found = [_unnamed(found[0])]
    return tuple(found), tuple(left)


def _unnamed(scene: TiffScene) -> TiffScene:
    return TiffScene("", scene.vendor, scene.planes, scene.mpp_candidates, scene.properties, scene.icc_profile)


def _root(text: str) -> Element:
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise NotDirectError("its OME-XML defines entities")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 - entities, the danger of it, are refused above
    except (ElementTree.ParseError, ValueError) as error:
        raise NotDirectError("its OME-XML is broken") from error


def _images(root: Element) -> Iterator[tuple[Element, MppCandidate | None]]:
    """Each image, with what its objective mostly gives."""
    powers = {lens.get("ID"): _number(lens.get("NominalMagnification")) for lens in root.iterfind(".//{*}Objective")}
    for image in root.iterfind("{*}Image"):
        settings = image.find("{*}ObjectiveSettings")
        yield image, nominal_candidate(powers.get(settings.get("ID"))) if settings is not None else None


def _series(image: Element, nominal: MppCandidate | None, own: str | None) -> _Series:
    """`own` is the name of this file among those of a set."""
    pixels = image.find("{*}Pixels")
    if pixels is None:
        raise NotDirectError("its OME-XML describes no pixels")
    depths, times, colours = (_count(pixels, f"Size{axis}") for axis in "ZTC")
    samples = [_count(channel, "SamplesPerPixel") for channel in pixels.iterfind("{*}Channel")]
    if times != 1:
        raise NotDirectError(f"{times} points in time")
    if colours != 3 or samples != [3]:
        raise NotDirectError(f"{colours} colours in {len(samples)} channels, not RGB in one")
    if any((uuid.text or "").strip() != own for uuid in pixels.iterfind("{*}TiffData/{*}UUID")):
        raise NotDirectError("its planes lie in several files")
    return _Series(_plane_directories(pixels, depths), _physical(pixels), nominal)


def _plane_directories(pixels: Element, depths: int) -> tuple[int, ...]:
    """The number of the directory of each depth."""
    if not 0 < depths <= MOST_PLANES:
        raise NotDirectError(f"{depths} focal planes")
    place: dict[int, int] = {}
    for data in pixels.iterfind("{*}TiffData"):
        first, depth = _count(data, "IFD", 0), _count(data, "FirstZ", 0)
        planes = _count(data, "PlaneCount", 1 if data.get("IFD") is not None else depths)
        place |= {depth + k: first + k for k in range(min(planes, MOST_PLANES))}
    if set(place) != set(range(depths)):
        raise NotDirectError(f"directories for {len(place)} of {depths} focal planes")
    return tuple(place[depth] for depth in range(depths))


def _scene(name: str, series: _Series, directories: Sequence[Directory], file_size: int) -> TiffScene:
    if max(series.directories) >= len(directories):
        raise NotDirectError(f"directory {max(series.directories)} of {len(directories)}")
    planes = tuple(_levels(directories[number], file_size) for number in series.directories)
    if len({tuple(level.size for level in levels) for levels in planes}) != 1:
        raise NotDirectError("its focal planes are not of one size")
    first = directories[series.directories[0]]
    said = (series.physical, resolution_tags(first), series.nominal)
    candidates = tuple(candidate for candidate in said if candidate is not None)
    return TiffScene(name, "ome", planes, candidates, icc_profile=first.raw(_PROFILE) or None)


def _levels(directory: Directory, file_size: int) -> tuple[TiffLevel, ...]:
    return pyramid([stored_level(found, file_size) for found in (directory, *directory.inner(_SUB_DIRECTORIES))])


def _physical(pixels: Element) -> MppCandidate | None:
    x, y = (_microns(pixels, axis) for axis in "XY")
    return MppCandidate("ome physical size", x, y) if x is not None and y is not None else None


def _microns(pixels: Element, axis: str) -> float | None:
    value = _number(pixels.get(f"PhysicalSize{axis}"))
    unit = _MICRONS.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
    return value * unit if value is not None and unit is not None else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _count(element: Element, name: str, default: int = 1) -> int:
    text = element.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise NotDirectError(f"its OME-XML gives {name} as {text[:20]!r}")
    return int(text)
