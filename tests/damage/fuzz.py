"""Structure-aware fuzzing: ten thousand wrong files, none of which may give a wrong pixel.

A mutation is known by its number alone: `mutated(7, bases)` is always the same file, made from one of three
sound slides by one family of `mutations`. It goes the way of a slide in a run: inspected, opened, its tiles read
at two scales and its thumbnail made. What it must come to is said by `Verdict`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from base import Bases
from mutations import FAMILIES, JPEG_ONLY, coded_bits_changed

from wsi_features.cohort.manifest import ManifestRow
from wsi_features.errors import SlideError
from wsi_features.geometry import Size
from wsi_features.slides import Slide, thumbnail
from wsi_features.stages.isolation import Inspector
from wsi_features.stages.opened import opened
from wsi_features.stages.preflight import inspected
from wsi_features.tiles import regular_grid, tile_scale
from wsi_features.tiles.grid import TileScale
from wsi_features.tiles.pixels import tile_pixels

SLIDES = ("svs", "rgb", "tif")
TILE, SCALES, OVERVIEW = 64, (1.0, 4.0), 16.0
"""Width of a tile, and how much coarser than the slide tiles and thumbnail are."""

UNTOLD = {
    "coded bits": "the bits of a JPEG scan carry no check: other ones make another legal picture",
    "jpeg tables": "so do other tables",
}
"""Changes after which a wrong pixel is not counted, and why nothing in the file could tell it.

`coded bits` is every change that touches JPEG scans and nothing outside of tiles, whatever family it came from.
"""

_TOLD = "out of the file's order"
"""What preflight says of tiles that stand in the places of others; a run warns of it and goes on."""

_NEAR = 6.0
"""Mean grey levels that a tile read from another level than before may differ by; JPEG levels of a sound slide do by 3."""

_NEAR_OVERVIEW = 12.0
"""The same of the thumbnail: the smallest JPEG level is up to 7 from its true average, other images 40 and more."""

_MOST_TILES = 150
_SECONDS, _MIB = 10, 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one mutation ended.

    `end` is `refused`, `equal` (every tile is the sound slide's), `marked` (the others are), `told` (some
    are not, and a warning says so), `wrong`,
    `stopped` (the reader did not survive the inspection, which contains it) or `crash` (it did not after that,
    which would end a run). `about` says more.
    """

    number: int
    slide: str
    family: str
    end: str
    about: str

    @property
    def untold(self) -> bool:
        return self.end == "wrong" and self.family in UNTOLD

    @property
    def acceptable(self) -> bool:
        return self.end in {"refused", "equal", "marked", "told"} or self.untold


def mutated(number: int, bases: Bases) -> tuple[str, str, bytes]:
    """Base slide, family and bytes of a mutation."""
    random = np.random.default_rng(number)
    slide = SLIDES[number % len(SLIDES)]
    names = [name for name in FAMILIES if slide != "tif" or name not in JPEG_ONLY]
    shares = np.array([FAMILIES[name][1] for name in names])
    family = names[random.choice(len(names), p=shares / shares.sum())]
    return slide, family, FAMILIES[family][0](random, getattr(bases, slide))


def counted(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many ended how; wrong pixels that nothing could tell are a class of their own."""
    return dict(Counter(verdict.family if verdict.untold else verdict.end for verdict in verdicts))


class Judge:
    """Judges mutations, one after the other, in a process that may die of them.

    `folder` gets the sound slides and, for a while, each mutation.
    """

    def __init__(self, folder: Path) -> None:
        self._bases = Bases(folder)
        self._whole = Inspector(_SECONDS, _MIB, "fuzz:read_as_in_a_run")
        self._first_look = Inspector(_SECONDS, _MIB)
        for slide in SLIDES:
            (folder / f"sound-{slide}").write_bytes(getattr(self._bases, slide))

    def verdict(self, number: int) -> Verdict:
        """How a mutation ends."""
        slide, family, data = mutated(number, self._bases)
        path = self._bases.folder / f"mutation-{number}"
        path.write_bytes(data)
        # The field for the stain carries where the sound slide lies.
        row = ManifestRow(slide_id=f"m{number}", path=str(path), stain=str(self._bases.folder / f"sound-{slide}"))
        found = self._whole.described(row)
        if "end" not in found:
            contained = self._first_look.described(row)["status"] == "failed"
            found = {"end": "stopped" if contained else "crash", "about": found["remedy"]}
        path.unlink()
        if found["end"] == "wrong" and coded_bits_changed(getattr(self._bases, slide), data):
            family = "coded bits"
        return Verdict(number, slide, family, found["end"], found["about"])

    def close(self) -> None:
        """End the processes."""
        self._whole.close()
        self._first_look.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_as_in_a_run(row: ManifestRow) -> dict[str, Any]:
    """In the inspector's process: inspect, open, read, and compare with the sound slide."""
    about = inspected(row)
    if about["status"] == "failed":
        return {"end": "refused", "about": about["remedy"]}
    try:
        with opened(row) as slide:
            found = _compared(row, about, slide)
            if found["end"] == "wrong" and any(_TOLD in warning for warning in about["warnings"]):
                return found | {"end": "told"}
            return found
    except SlideError as error:
        return {"end": "refused", "about": str(error)}


def _compared(row: ManifestRow, about: dict[str, Any], slide: Slide) -> dict[str, Any]:
    sound = _sound(row.stain)
    native: float = about["mpp"]["value"]
    counts: Counter[str] = Counter()
    if (
        _difference(thumbnail(row.slide_id, slide, native, native * OVERVIEW), _sound_overview(row.stain))
        > _NEAR_OVERVIEW
    ):
        return {"end": "wrong", "about": "the thumbnail shows something else"}
    for coarser in SCALES:
        scale = _scale(about, native, coarser)
        size = Size(about["levels"][0]["width"], about["levels"][0]["height"])
        origins = regular_grid(size, scale).origins
        for x, y in origins[np.linspace(0, len(origins) - 1, min(len(origins), _MOST_TILES)).astype(int)].tolist():
            tile = tile_pixels(slide, x, y, scale)
            if tile.status != "ok" or tile.coverage < 1:
                counts["marked"] += 1
            elif wrong := _wrong(tile.rgb, sound, x, y, scale):
                return {"end": "wrong", "about": f"{slide.reader}: x={x}, y={y}, level {scale.level}: {wrong}"}
            else:
                counts["equal"] += 1
    return {"end": "marked" if counts["marked"] else "equal", "about": json.dumps(counts)}


def _scale(about: dict[str, Any], native: float, coarser: float) -> TileScale:
    levels = about["levels"]
    pairs = [tuple(level.get(f"downsample_{axis}", level["downsample"]) for axis in "xy") for level in levels]
    return tile_scale("m", pairs, native=native, asked=native * coarser, size=TILE)


def _wrong(rgb: npt.NDArray[np.uint8], sound: Slide, x: int, y: int, scale: TileScale) -> str:
    """In what a tile differs from the sound slide's at the same place and scale."""
    size = sound.levels[0].size
    if x + scale.span > size.width or y + scale.span > size.height:
        return "beyond the edge of the sound slide"
    same = [k for k, level in enumerate(sound.levels) if level.downsample == scale.downsample_x == scale.downsample_y]
    if same:
        return (
            "" if np.array_equal(rgb, tile_pixels(sound, x, y, replace(scale, level=same[0])).rgb) else "other pixels"
        )
    finest = replace(scale, level=0, downsample_x=1.0, downsample_y=1.0)
    difference = _difference(rgb, tile_pixels(sound, x, y, finest).rgb)
    return f"{difference:.1f} grey levels" if difference > _NEAR else ""


def _difference(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> float:
    if one.shape != other.shape:
        return 255.0
    return float(np.abs(one.astype(np.int16) - other).mean())


@cache
def _sound(path: str) -> Slide:
    return opened(ManifestRow(slide_id="sound", path=path))


@cache
def _sound_overview(path: str) -> npt.NDArray[np.uint8]:
    return thumbnail("sound", _sound(path), 0.5, 0.5 * OVERVIEW)
