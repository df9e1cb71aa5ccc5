"""JPEG 2000 files and codestreams (JP2, J2K), whose resolutions are part of the coding.

A pixel of a coarser resolution stands for the samples around its first pixel of level 0, not for a block that
starts there, so it lies up to half a pixel before its place; `shift` says so.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.foreign.source import Array, chosen
from wsi_features.slides.resolution import COARSEST_MPP, FINEST_MPP
from wsi_features.slides.slide import Form, Level, MppCandidate, Scene

_READER = "the JPEG 2000 reader"
_SIGNATURE, _CODESTREAM = b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"
_SRGB, _ICC = 16, 2
_SMALLEST_SIDE = 32


def is_jpeg2000(head: bytes) -> bool:
    """Whether a file that starts with `head` is a JP2 file or a bare codestream."""
    return head.startswith((_SIGNATURE, _CODESTREAM))


class Jpeg2000:
    """A JPEG 2000 image with its resolutions. Raises SlideFileError when it is not 8-bit RGB, or cut short."""

    def __init__(self, slide_id: str, path: str, scene: str = "", plane: int | None = None) -> None:
        self._path = path
        self._jp2 = _opened(slide_id, path)
        boxes = _boxes(self._jp2)
        siz, cod = (_segment(self._jp2, name) for name in ("SIZ", "COD"))
        _check_whole(slide_id, path, boxes.get("jp2c"))
        _check_rgb(slide_id, path, boxes, siz, cod)
        size = Size(int(siz.xsiz), int(siz.ysiz))
        self.levels = _resolutions(size, int(cod.num_res))
        self.scenes: tuple[Scene, ...] = (Scene("", size),)
        _, self.plane = chosen(slide_id, path, self.scenes, scene, plane)
        self.scene = ""
        self.mpp_candidates = _candidates(boxes)
        self.icc_profile: bytes | None = getattr(boxes.get("colr"), "icc_profile", None) or None
        tile = Size(int(siz.xtsiz), int(siz.ytsiz))
        notes = () if tile.width < size.width or tile.height < size.height else ("The image is one single tile.",)
        self.form = Form(vendor="JPEG 2000", compression="jpeg 2000", tile=tile, notes=notes)

    def rgba(self, region: Region, level: int) -> Array:
        """The pixels of `region`, decoded at the resolution of the level."""
        out = np.zeros((region.height, region.width, 4), np.uint8)
        size, step = self.levels[level].size, 2**level
        left, top = max(region.x, 0), max(region.y, 0)
        right, bottom = min(region.x + region.width, size.width), min(region.y + region.height, size.height)
        if right <= left or bottom <= top:
            return out
        full = self.levels[0].size
        rows = slice(top * step, min(bottom * step, full.height), step)
        columns = slice(left * step, min(right * step, full.width), step)
        pixels = np.asarray(self._jp2[rows, columns])
        if pixels.shape != (bottom - top, right - left, 3):
            raise ValueError(f"{right - left} x {bottom - top} pixels were asked for, {pixels.shape} decoded")
        window = out[top - region.y : bottom - region.y, left - region.x : right - region.x]
        window[..., :3], window[..., 3] = pixels, 255
        return out

    def shift(self, level: int) -> float:
        """Half a pixel of the level, less half a pixel of level 0."""
        return 0.5 / self.levels[level].downsample - 0.5

    def close(self) -> None:
        """Nothing stays open between reads."""


def _opened(slide_id: str, path: str) -> Any:
    from wsi_features.slides.foreign.toolbox import toolbox

    with toolbox() as readers, _openjpeg(slide_id, path):
        import glymur

        handle = readers.JP2WSIReader(path).glymur_jp2
        glymur.set_option("lib.num_threads", 1)  # tiatoolbox takes all cores for each reader
        return handle


@contextmanager
def _openjpeg(slide_id: str, path: str) -> Iterator[None]:
    """Let glymur find the OpenJPEG that imagecodecs ships where the system has none (a bare Debian has none).

    glymur looks once, on import, and only where `ctypes.util.find_library` looks.
    """
    import ctypes.util

    system = ctypes.util.find_library
    shipped = _shipped_openjpeg() if "glymur" not in sys.modules and system("openjp2") is None else None
    if shipped is not None:
        ctypes.util.find_library = lambda name: str(shipped) if name == "openjp2" else system(name)
    try:
        import glymur.version
    finally:
        ctypes.util.find_library = system
    if glymur.version.openjpeg_version_tuple < (2, 4):
        remedy = "Install it, for example with `apt install libopenjp2-7`"
        raise SlideFileError.unsupported(slide_id, path, "JPEG 2000, and no OpenJPEG library is installed", remedy)
    yield


def _shipped_openjpeg() -> Path | None:
    from importlib.metadata import PackageNotFoundError, files

    try:
        listed = files("imagecodecs") or []
    except PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in listed if f.name.startswith("libopenjp2") and ".so" in f.name), None)


def _boxes(jp2: Any) -> dict[str, Any]:
    """The boxes by name, those of the header and of its resolution among them; a bare codestream has none."""
    found: dict[str, Any] = {}
    pending = list(jp2.box)
    while pending:
        box = pending.pop(0)
        found.setdefault(box.box_id, box)
        pending.extend(getattr(box, "box", None) or [])
    return found


def _segment(jp2: Any, name: str) -> Any:
    found = next((segment for segment in jp2.codestream.segment if segment.marker_id == name), None)
    if found is None:
        raise ValueError(f"its codestream has no {name} segment")
    return found


def _check_whole(slide_id: str, path: str, codestream: Any) -> None:
    """Refuse a codestream without its end: what is cut off would be decoded as grey."""
    size = Path(path).stat().st_size
    end = size if codestream is None or codestream.length == 0 else codestream.offset + codestream.length
    with Path(path).open("rb") as file:
        file.seek(max(0, end - len(_END)))
        if end > size or file.read(len(_END)) != _END:
            raise SlideFileError.refused(slide_id, path, _READER, "the end of its codestream is missing")


def _check_rgb(slide_id: str, path: str, boxes: dict[str, Any], siz: Any, cod: Any) -> None:
    depths = ", ".join(str(depth) for depth in siz.bitdepth)
    found = f"{len(siz.bitdepth)} components of {depths} bits"
    plain = tuple(siz.bitdepth) == (8, 8, 8) and not any(siz.signed) and "pclr" not in boxes
    if not plain or {*siz.xrsiz, *siz.yrsiz} != {1}:
        raise SlideFileError.image_not_rgb(slide_id, path, found)
    if not _states_rgb(boxes.get("colr"), cod):
        raise SlideFileError.image_not_rgb(slide_id, path, f"{found} that are not stated to be red, green and blue")
    if siz.xosiz or siz.yosiz or siz.xtosiz or siz.ytosiz:
        remedy = "Export it again with its image at 0, 0"
        raise SlideFileError.unsupported(slide_id, path, "an image that does not start at 0, 0 of its grid", remedy)


def _states_rgb(colour: Any, cod: Any) -> bool:
    """The colour box says so; in a bare codestream, that its colours were transformed from RGB."""
    if colour is None:
        return bool(cod.mct)
    profile = getattr(colour, "icc_profile", None)
    if colour.method == _ICC or colour.colorspace is None:
        return profile is not None and bytes(profile)[16:20] == b"RGB "
    return bool(colour.colorspace == _SRGB)


def _resolutions(size: Size, count: int) -> tuple[Level, ...]:
    """Each half of the one before, rounded up, as far as both sides keep some pixels."""
    sizes = [Size(-(-size.width // 2**r), -(-size.height // 2**r)) for r in range(count + 1)]
    kept = [r for r, found in enumerate(sizes) if r == 0 or min(found.width, found.height) >= _SMALLEST_SIDE]
    return tuple(Level(sizes[r], float(2**r)) for r in kept)


def _candidates(boxes: dict[str, Any]) -> tuple[MppCandidate, ...]:
    """The resolution of the capture; that of a display says nothing of the slide."""
    box = boxes.get("resc")
    if box is None or not box.horizontal_resolution or not box.vertical_resolution:
        return ()
    x, y = 1e6 / box.horizontal_resolution, 1e6 / box.vertical_resolution
    usable = all(math.isfinite(side) and FINEST_MPP <= side <= COARSEST_MPP for side in (x, y))
    return (MppCandidate("JP2 capture resolution", x, y, usable=usable),)
