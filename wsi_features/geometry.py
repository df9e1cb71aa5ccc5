"""Positions and sizes on a slide, with their units in the type.

Positions are (x, y) from the top-left corner. Level-0 pixels (`SlidePx`) are the
frame that every stored coordinate uses; pixels of a coarser level never leave
the reading code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

SlidePx = NewType("SlidePx", int)
"""A length or position in level-0 pixels."""

Mpp = NewType("Mpp", float)
"""Microns per pixel."""


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels of one level."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 0 or self.height < 0:
            raise ValueError(f"a size cannot be negative, got {self.width} x {self.height}")

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Region:
    """A box in the pixels of one level; it may reach beyond the level's edges."""

    x: int
    y: int
    width: int
    height: int

    def inside(self, size: Size) -> bool:
        """Whether the whole box lies on a level of `size` pixels."""
        return self.x >= 0 and self.y >= 0 and self.x + self.width <= size.width and self.y + self.height <= size.height


def area_mm2(pixels: float, mpp: float) -> float:
    """Area in square millimetres of `pixels` pixels at `mpp` microns per pixel."""
    return pixels * mpp * mpp / 1e6
