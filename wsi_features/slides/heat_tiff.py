"""Heat maps as pyramidal OME-TIFF files that viewers put onto the slide.

Readers disagree on where a pyramid's levels are: OME readers (QuPath through Bio-Formats, tifffile) follow the SubIFDs of
the first directory, OpenSlide and other TIFF readers the chain of directories. Here both lead to the same levels: the
directories that the first one names as its SubIFDs are also the ones that follow it. The resolution stands in the
OME-XML and in the TIFF tags. No date, host or user is written, so equal maps give equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Mpp

if TYPE_CHECKING:
    from tifffile import TiffFile

TILE = 256

_CLASSIC_LIMIT = 2**31
_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_TYPES = {"uint8": "uint8", "float32": "float"}


@dataclass(frozen=True, slots=True)
class HeatImage:
    """What the file says of itself: the `name` of its image, the microns per pixel of its first level where these are
    known, and a `note` for people.
    """

    name: str
    mpp: Mpp | None
    note: str = ""


def write_heat_tiff(path: Path, levels: Sequence[npt.NDArray[Any]], image: HeatImage) -> None:
    """Write the levels, finest first: uint8 (h, w, 3), or float32 (h, w) with NaN where nothing is known."""
    import tifffile

    big = sum(level.nbytes for level in levels) > _CLASSIC_LIMIT
    options: dict[str, Any] = {
        "tile": (TILE, TILE),
        "compression": "zlib",
        "predictor": levels[0].dtype == np.uint8,
        "photometric": "rgb" if levels[0].ndim == 3 else "minisblack",
        "metadata": None,
        "software": False,
    }
    with tifffile.TiffWriter(path, bigtiff=big, byteorder="<") as writer:
        for number, level in enumerate(levels):
            mpp = image.mpp * levels[0].shape[1] / level.shape[1] if image.mpp else None
            resolution: dict[str, Any] = (
                {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"} if mpp else {}
            )
            first: dict[str, Any] = {"subifds": len(levels) - 1, "description": _ome_xml(levels[0], image)}
            kind = first if number == 0 else {"subfiletype": 1}
            writer.write(np.ascontiguousarray(level), **options, **resolution, **kind)
    if len(levels) > 1:
        _chain_levels(path)


def _ome_xml(level: npt.NDArray[Any], image: HeatImage) -> str:
    """OME-XML of schema 2016-06 with one image, in ASCII."""
    height, width = level.shape[:2]
    samples = 3 if level.ndim == 3 else 1
    kind = _TYPES[str(level.dtype)]
    unit = "&#181;m"
    sides = [f'PhysicalSize{axis}="{image.mpp:.9g}" PhysicalSize{axis}Unit="{unit}"' for axis in "XY" if image.mpp]
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{_SCHEMA}" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="{_SCHEMA} {_SCHEMA}/ome.xsd" '
        f'Creator="wsi_features"><Image ID="Image:0" Name={quoteattr(image.name)}>'
        f"<Description>{escape(image.note)}</Description>"
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="{kind}" SizeX="{width}" SizeY="{height}" SizeZ="1" '
        f'SizeC="{samples}" SizeT="1" BigEndian="false" Interleaved="{str(samples > 1).lower()}" {" ".join(sides)}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="{samples}"/><TiffData IFD="0" PlaneCount="1"/>'
        "</Pixels></Image></OME>"
    )
    return xml.encode("ascii", "xmlcharrefreplace").decode()


def _chain_levels(path: Path) -> None:
    """Let each directory point to the next level as the one that follows it."""
    import tifffile

    with tifffile.TiffFile(path, mode="r+") as file:
        offsets = [file.pages.first.offset, *(file.pages.first.subifds or ())]
        for offset, following in zip(offsets, [*offsets[1:], 0], strict=True):
            _point(file, offset, following)


def _point(file: TiffFile, offset: int, following: int) -> None:
    """Overwrite what stands behind the tags of the directory at `offset`: the place of the next one."""
    form, handle = file.tiff, file.filehandle
    handle.seek(offset)
    (count,) = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))
    handle.seek(offset + form.tagnosize + count * form.tagsize)
    handle.write(struct.pack(form.offsetformat, following))
