"""The slide: what every reader must offer, and the values it returns.

A slide is opened for one thread and closed by its owner. It never guesses: a
resolution that the file does not state is absent, and a pixel that the file does
not hold is reported, never filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Mpp, Region, Size

PixelStatus = Literal["ok", "missing", "unreadable"]


@dataclass(frozen=True, slots=True)
class Level:
    """One resolution of the pyramid; `downsample` is level-0 pixels per pixel of it."""

    size: Size
    downsample: float


@dataclass(frozen=True, slots=True)
class MppCandidate:
    """What one source says of the resolution, in um/px along x and y.

    `usable` says whether it may be used as the resolution, or is only shown.
    """

    source: str
    x: float
    y: float
    usable: bool = True


@dataclass(frozen=True, slots=True)
class Resolution:
    """The microns per level-0 pixel in use, and where the number came from."""

    mpp: Mpp
    source: str


@dataclass(frozen=True, slots=True)
class Scene:
    """One image of a file that may hold several: `name` is what a manifest's `scene` chooses it by.

    `planes` counts its focal planes; they are numbered from 0.
    """

    name: str
    size: Size
    planes: int = 1


@dataclass(frozen=True, slots=True)
class Form:
    """How the pixels of level 0 are stored in the file: for people, and for the rules of what is accepted.

    `colour` is RGB, RGBA, YCbCr, grayscale, CMYK, ...; `tile` is None where the file has no tiles.
    `notes` tell what is unusual, one sentence each.
    """

    vendor: str = ""
    compression: str = ""
    bits: int = 8
    colour: str = "RGB"
    tile: Size | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """One region as read: `rgb` uint8 (h, w, 3), composed on white.

    `coverage` is the share of pixels that the file holds (alpha), 0 to 1. `status` is
    `missing` when it holds none, `unreadable` when decoding failed; `reason` then says why.
    `shift` is how far, in level pixels along x and y and never more than 0, the first pixel lies
    before the region's corner, for readers that cannot start anywhere.
    """

    rgb: npt.NDArray[np.uint8]
    coverage: float
    status: PixelStatus
    reason: str = ""
    shift: tuple[float, float] = (0.0, 0.0)


class Slide(Protocol):
    """A pyramidal image of one scan, open for one thread."""

    @property
    def reader(self) -> str:
        """Name of the reader, for records."""

    @property
    def why(self) -> str:
        """Why this reader was chosen, in a few words."""

    @property
    def form(self) -> Form:
        """How the file stores its pixels."""

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Every image of the file that could be read as a slide, in file order; at least one."""

    @property
    def scene(self) -> str:
        """Name of the scene that is open."""

    @property
    def plane(self) -> int:
        """Number of the focal plane that is open, 0 in a file without planes."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """Finest first; level 0 has downsample 1."""

    @property
    def mpp_candidates(self) -> tuple[MppCandidate, ...]:
        """Every statement of the file about its resolution, most trusted first."""

    @property
    def bounds(self) -> Region | None:
        """The scanned area in level-0 pixels where the file states one."""

    @property
    def icc_profile(self) -> bytes | None:
        """The colour profile of level 0 where the file has one; `read` does not apply it."""

    @property
    def properties(self) -> Mapping[str, str]:
        """Whitelisted properties only: nothing that may name a patient, user or date."""

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region`, given in the pixels of `level`. Damage is reported, not raised."""

    def reopened(self) -> Slide:
        """The same scene and plane of the same file once more, for another thread."""

    def as_dask(self, level: int = 0) -> Any:
        """The pixels of `level` as a lazy dask array, uint8 (h, w, 3); `slides.lazy.as_dask` tells the rest."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class BlockLayout:
    """How one level is stored: in blocks of `size` pixels that are decoded one by one.

    Block number n lies at column n % `across` and row n // `across`, and may reach beyond the level's edge.
    `readable` bool (n,) is False for blocks that the file does not hold, or that are known to be damaged.
    `reducible` says whether the decoder itself can give a block at half, quarter or eighth size.
    """

    size: Size
    across: int
    readable: npt.NDArray[np.bool_]
    reducible: bool = False


@runtime_checkable
class BlockSlide(Protocol):
    """What a slide offers beside `Slide` where its levels are stored in blocks. Safe for several threads at once.

    Blocks hold the pixels that `read` gives, to the bit, at the places that the layout says. A reason instead of
    them is a few words for a person.
    """

    def blocks(self, level: int) -> BlockLayout:
        """How `level` is stored."""

    def compressed(self, level: int, numbers: Sequence[int]) -> list[bytes | str]:
        """The stored bytes of each of some blocks, or why there are none; best asked for in ascending order."""

    def decode(
        self, level: int, data: bytes, out: npt.NDArray[np.uint8] | None = None, reduction: int = 1
    ) -> npt.NDArray[np.uint8] | str:
        """The pixels of a whole block, uint8 (h, w, 3), or why there are none.

        They are written to `out` where one is given, C-contiguous and of their shape; after a failure it holds
        anything. `reduction` is 1, or 2, 4 or 8 where the layout says `reducible` and the block is a multiple of it.
        """

    def standalone(self, level: int, data: bytes) -> bytes | None:
        """The block as a JPEG file of Y, Cb, Cr, for decoders elsewhere; None where it is none, or differs from the layout."""


class SlideBase:
    """What holds for most readers: one unnamed scene, one plane, no bounds, no colour profile, a `with` block."""

    why = ""
    form = Form()
    scene = ""
    plane = 0
    levels: tuple[Level, ...] = ()
    bounds: Region | None = None
    icc_profile: bytes | None = None
    mpp_candidates: tuple[MppCandidate, ...] = ()
    properties: Mapping[str, str] = MappingProxyType({})

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The only one."""
        return (Scene(self.scene, self.levels[0].size),)

    def as_dask(self: Slide, level: int = 0) -> Any:
        """As the protocol says; an error calls the slide by its id where the reader knows it."""
        from wsi_features.slides.lazy import as_dask

        return as_dask(self, level, name=getattr(self, "_slide_id", ""))

    def close(self) -> None:
        """Nothing to release."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
