"""The slide: what every reader must offer, and the values it returns.

A slide is opened for one thread and closed by its owner. It never guesses: a
resolution that the file does not state is absent, and a pixel that the file does
not hold is reported, never filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, Self

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
    """A pyramidal image of one scan."""

    @property
    def reader(self) -> str:
        """Name of the reader, for records."""

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
    def properties(self) -> Mapping[str, str]:
        """Whitelisted properties only: nothing that may name a patient, user or date."""

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region`, given in the pixels of `level`. Damage is reported, not raised."""

    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...
