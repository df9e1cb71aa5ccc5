"""From a list to tiles: corners on whole pixels, faults found, rows in raster order, and what each row said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wsi_features.errors import CoordinatesError
from wsi_features.geometry import Size
from wsi_features.tiles.grid import Downsample, TileGrid
from wsi_features.tiles.sources.h5 import SUFFIXES, read_h5
from wsi_features.tiles.sources.positions import grid_at
from wsi_features.tiles.sources.sheets import read_sheet
from wsi_features.tiles.sources.tile_list import F64, TileList

Bools = npt.NDArray[np.bool_]
_SHEETS = (".csv", ".tsv", ".txt", ".parquet")


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """The tiles of a list, with its rows' numbers, counted from 0, as the column `list_row` (n,), what the rows said as
    `list:*` (n,), and how many rows gave no tile, by reason.
    """

    grid: TileGrid
    columns: Mapping[str, npt.NDArray[Any]]
    dropped: Mapping[str, int]


def read_list(slide_id: str, path: Path, downsamples: tuple[Downsample, ...] = ()) -> TileList:
    """The list in a CSV, TSV, Parquet or HDF5 file; `downsamples` are those of the slide's levels. Raises CoordinatesError."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return read_h5(slide_id, path, downsamples)
    if suffix not in _SHEETS:
        raise CoordinatesError.unreadable(slide_id, str(path), f"its name ends in {suffix or 'nothing'!r}")
    return read_sheet(slide_id, path)


def span_of(slide_id: str, tiles: TileList, native: float) -> int | None:
    """Level-0 pixels that every tile of the list spans; None where it does not say. Raises CoordinatesError."""
    if tiles.sizes is None:
        return None
    known = tiles.sizes[np.isfinite(tiles.sizes) & (tiles.sizes > 0)]
    sizes = np.unique(np.maximum(1, np.floor((known / native if tiles.in_um else known) + 0.5)))
    if len(sizes) > 1:
        unit = "um" if tiles.in_um else "level-0 px"
        raise CoordinatesError.several_sizes(slide_id, tiles.path, np.unique(known).tolist(), unit)
    return int(sizes[0]) if len(sizes) else None


def place(
    slide_id: str,
    tiles: TileList,
    slide: Size,
    *,
    span: int,
    size: int,
    at: Literal["corner", "centre"] = "corner",
    faults: Literal["fail", "drop"] = "fail",
) -> Listed:
    """The tiles of a list on a slide of `slide` level-0 pixels, each once and wholly on it. Raises CoordinatesError.

    A corner between pixels goes to the nearest one, as does that of a tile around a centre. Rows that give no tile
    are left out with `faults` drop; of rows at one place the first one stays.
    """
    if tiles.slide not in (None, slide):
        stated = tiles.slide or slide
        raise CoordinatesError.other_slide(
            slide_id, tiles.path, (stated.width, stated.height), (slide.width, slide.height)
        )
    centred = at == "centre" if tiles.centred is None else tiles.centred
    exact = np.stack([tiles.x, tiles.y], axis=1) - (span / 2 if centred else 0)
    found = {name: bad for name, bad in _faults(tiles, exact, span, slide) if bad.any()}
    if found and faults == "fail":
        _refuse(slide_id, tiles, found, slide, span)
    wanted = np.flatnonzero(~np.any([np.zeros(len(tiles), np.bool_), *found.values()], axis=0))
    grid, order = grid_at(_rounded(exact[wanted]), span, size)
    rows = wanted[order]
    columns = {"list_row": rows} | {f"list:{name}": values[rows] for name, values in tiles.columns.items()}
    return Listed(grid, columns, {name: int(bad.sum()) for name, bad in found.items()})


def _rounded(exact: F64) -> npt.NDArray[np.int64]:
    return np.floor(exact + 0.5).astype(np.int64)


def _faults(tiles: TileList, exact: F64, span: int, slide: Size) -> Iterator[tuple[str, Bools]]:
    """What is wrong with rows (n,), each row in one of them at most."""
    unknown = np.asarray(~np.isfinite(exact).all(axis=1))
    if tiles.sizes is not None:
        unknown |= ~(np.isfinite(tiles.sizes) & (tiles.sizes > 0))
    yield "no number", unknown
    corners = _rounded(np.clip(np.where(unknown[:, None], 0, exact), -(2.0**40), 2.0**40))
    beyond = (corners < 0) | (corners + span > (slide.width, slide.height))
    outside = np.asarray(~unknown & beyond.any(axis=1))
    yield "outside", outside
    usable = np.flatnonzero(~(unknown | outside))
    _, first = np.unique(corners[usable], axis=0, return_index=True)
    twice = np.zeros(len(tiles), np.bool_)
    twice[usable] = True
    twice[usable[first]] = False
    yield "twice", twice


def _refuse(slide_id: str, tiles: TileList, found: Mapping[str, Bools], slide: Size, span: int) -> None:
    why = {
        "no number": "wanted are numbers for x and y, and a size above 0 where there is one",
        "outside": f"a tile of {span} px there is not wholly on the slide of {slide.width} x {slide.height} level-0 pixels",
        "twice": "an earlier row has the same place",
    }
    row, name = min((int(np.argmax(bad)), name) for name, bad in found.items())
    first = f"{tiles.shown(row)}; {why[name]}"
    count = sum(int(bad.sum()) for bad in found.values())
    raise CoordinatesError.faulty(slide_id, tiles.path, first, count, len(tiles))
