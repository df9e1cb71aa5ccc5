"""The recipe of one synthetic slide: size, resolution, file layout, stain and artefacts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

Stain = Literal["a", "b", "ihc", "masson-blue", "masson-green", "alcian", "sirius", "silver", "dapi"]
Layout = Literal["sections", "cores", "fragments"]
Subsampling = Literal["420", "444"]
Photometric = Literal["YCbCr", "RGB"]
PenColour = Literal["blue", "green", "black", "red"]

NOMINAL_MPP = 0.25
"""Scale of the content when the file is to state no resolution, in um/px."""

_MPP_RANGE = (0.1, 4.0)
_LARGEST_LESION = 0.5


@dataclass(frozen=True, slots=True)
class SlideSpec:
    """One slide. The same spec always gives the same bytes; content is scaled in microns through `mpp`.

    `mpp` None writes a pyramid that states no resolution and no objective. `levels` are
    the downsamples of the pyramid, and `tile` is the width and height of a tile in pixels.
    `strength` multiplies the density of the dyes, `glass` is the colour of the background
    instead of the stain's own, `layout` says what the pieces are: two to four sections, the
    cores of a tissue microarray, or fragments of a biopsy. `tumour` and `lymphocytes` are the
    shares of the tissue over which these spread. `lesion` is the share that one lesion takes, 0
    for none; outside it the slide is the same as without.
    Raises ValueError for a spec that no slide can have.
    """

    width: int = 3000
    height: int = 2000
    mpp: float | None = 0.25
    objective: int | None = 40
    seed: int = 0
    levels: tuple[int, ...] = (1, 4, 16)
    quality: int = 80
    subsampling: Subsampling = "420"
    photometric: Photometric = "YCbCr"
    tile: int = 256
    stain: Stain = "a"
    tissue: bool = True
    pen: bool = False
    pen_colour: PenColour = "blue"
    fold: bool = False
    blur: bool = False
    bubble: bool = False
    layout: Layout = "sections"
    strength: float = 1.0
    glass: tuple[int, int, int] | None = None
    holes: bool = False
    dust: bool = False
    border: bool = False
    seams: bool = False
    tumour: float = 0.55
    lymphocytes: float = 0.16
    lesion: float = 0.0

    def __post_init__(self) -> None:
        _require(1 <= self.width < 2**31 and 1 <= self.height < 2**31, "width and height", self.extent, "1 px or more")
        low, high = _MPP_RANGE
        _require(self.mpp is None or low <= self.mpp <= high, "mpp", self.mpp, f"None or {low:g} to {high:g} um/px")
        _require(self.objective is None or self.objective > 0, "objective", self.objective, "None or above 0")
        _require(0 <= self.seed < 2**63, "seed", self.seed, "0 to 2**63 - 1")
        _require(_is_pyramid(self.levels), "levels", self.levels, "downsamples that rise from 1")
        _require(self.levels[-1] <= min(self.width, self.height), "levels", self.levels, "at least 1 px in each level")
        _require(1 <= self.quality <= 100, "quality", self.quality, "1 to 100")
        _require(self.tile in range(16, 4097, 16), "tile", self.tile, "a multiple of 16 up to 4096")
        _require(0 < self.strength <= 2, "strength", self.strength, "above 0, up to 2")
        for name in ("tumour", "lymphocytes"):
            share = getattr(self, name)
            _require(0 < share < 1, name, share, "a share of the tissue between 0 and 1")
        _require(0 <= self.lesion <= _LARGEST_LESION, "lesion", self.lesion, f"0 to {_LARGEST_LESION:g} of the tissue")
        _require(all(0 <= level <= 255 for level in self.glass or ()), "glass", self.glass, "levels of 0 to 255")
        for name, allowed in _CHOICES.items():
            _require(getattr(self, name) in allowed, name, getattr(self, name), f"one of {', '.join(allowed)}")
        if self.photometric == "RGB":
            _require(self.subsampling == "444", "subsampling", self.subsampling, "'444' with photometric 'RGB'")

    @property
    def extent(self) -> str:
        """Width and height as people write them."""
        return f"{self.width} x {self.height}"

    @property
    def scale(self) -> float:
        """Microns per level-0 pixel of the content, also when the file states none."""
        return NOMINAL_MPP if self.mpp is None else self.mpp

    @property
    def level_sizes(self) -> tuple[tuple[int, int], ...]:
        """Width and height of every level; a level holds only the pixels that its downsample fills."""
        return tuple((self.width // d, self.height // d) for d in self.levels)


_CHOICES: dict[str, tuple[str, ...]] = {
    "subsampling": get_args(Subsampling),
    "photometric": get_args(Photometric),
    "stain": get_args(Stain),
    "pen_colour": get_args(PenColour),
    "layout": get_args(Layout),
}


def _is_pyramid(levels: tuple[int, ...]) -> bool:
    return levels[:1] == (1,) and all(fine < coarse for fine, coarse in pairwise(levels))


def _require(holds: bool, name: str, found: object, wanted: str) -> None:
    if not holds:
        raise ValueError(f"a synthetic slide cannot have {name} {found!r}; wanted {wanted}")
