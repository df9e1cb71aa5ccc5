"""Reading tiles: CPU milliseconds per 256 px tile on one thread, direct and through other readers, in one process.

The limit is what libjpeg-turbo takes when each compressed tile is decoded once and nothing else is done.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.slides.tiff import TiffIndex, TiffReader, tiff_index
from wsi_features.slides.tiff.jpeg import jpeg_stream
from wsi_features.slides.tiff.level import TiffLevel

Row = dict[str, Any]

TILE = 256
SIDE = 16
"""Tiles along each side of the block that is read."""


@dataclass(frozen=True)
class Reading:
    """One way to read a block of tiles, row by row: level, pixels of it per tile, distance of tiles, first corner."""

    name: str
    level: int
    width: int
    step: int
    shift: int

    def regions(self, table: TiffLevel) -> list[Region]:
        """The block lies where the level has most to decode, so on tissue; it begins `shift` beside a compressed tile.

        Of a small level, only those that lie on it.
        """
        tile = table.coding.tile
        reach = SIDE * self.step + self.shift
        left, top = densest(table, -(-reach // tile.width), -(-reach // tile.height))
        corner = left * tile.width + self.shift, top * tile.height + self.shift
        places = product(range(SIDE), range(SIDE))
        found = [
            Region(corner[0] + i * self.step, corner[1] + j * self.step, self.width, self.width) for j, i in places
        ]
        return [region for region in found if region.inside(table.size)]


def densest(table: TiffLevel, columns: int, rows: int) -> tuple[int, int]:
    """Column and row of the first compressed tile of the window of so many that holds most bytes."""
    counts = table.counts.reshape(-1, table.across)
    high, wide = min(rows, len(counts)), min(columns, table.across)
    sums = np.pad(counts.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    window = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    row, column = divmod(int(window.argmax()), window.shape[1])
    return column, row


READINGS = [
    Reading(f"{scale}, {name}", level, width, width // (2 if half else 1), shift)
    for (scale, level, width), (name, half, shift) in product(
        (("native", 0, TILE), ("2x", 0, 2 * TILE), ("2.06x", 0, 527), ("4x (level 1)", 1, TILE)),
        (("aligned", False, 0), ("unaligned", False, 100), ("50 % overlap", True, 0)),
    )
]


def rows(pixels: int = 30_000) -> list[Row]:
    """One row a reader and way of reading; for direct reading the limit and how many times it that is."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "slide.svs")
            write_slide(path, SlideSpec(width=pixels, height=pixels, seed=1))
            return [row for reading in READINGS for row in _compared(path, reading)]
    finally:
        cv2.setNumThreads(threads)


def _compared(path: str, reading: Reading) -> list[Row]:
    index = tiff_index(path)
    assert isinstance(index, TiffIndex), index
    regions = reading.regions(index.scenes[0].planes[0][reading.level])
    works: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "limit": (_decoding(index, reading.level, regions), _nothing),
        "direct": _direct(index, reading, regions),
        "OpenSlide + Pillow": (partial(_plain, path, reading, regions), _nothing),
    }
    if tiatoolbox := _tiatoolbox(path):
        works["tiatoolbox"] = (partial(tiatoolbox, reading, regions), _nothing)
    found = _milliseconds(works, len(regions))
    limit, ours = found.pop("limit"), found.pop("direct")
    table = [_row(f"{reading.name}: direct", ours, ours / limit) | {"limit": limit}]
    return table + [_row(f"{reading.name}: {name}", value, value / ours) for name, value in found.items()]


def _nothing() -> None:
    """What is done before most measurements."""


def _row(name: str, value: float, ratio: float) -> Row:
    return {"name": name, "value": value, "unit": "ms/tile", "ratio": ratio}


def _decoding(index: TiffIndex, level: int, regions: Sequence[Region]) -> Callable[[], object]:
    """Decode each compressed tile that the regions touch once, from memory."""
    from simplejpeg import decode_jpeg

    table = index.scenes[0].planes[0][level]
    coding = table.coding
    numbers = {number for region in regions for number in table.touched(region)}
    with index.file.held():
        data = [index.file.read(int(table.offsets[number]), int(table.counts[number])) for number in sorted(numbers)]
    files = [jpeg_stream(tile, coding.tile, coding.tables, ycbcr=coding.ycbcr) for tile in data]
    return lambda: [decode_jpeg(file, "RGB").shape for file in files]


def _direct(
    index: TiffIndex, reading: Reading, regions: Sequence[Region]
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Reading the regions, and what comes before: reads elsewhere, so that the tiles kept by then are others."""
    slide, finest = TiffReader("bench", "", index), index.scenes[0].planes[0][0]
    used = {number for region in regions for number in finest.touched(region)} if reading.level == 0 else set()
    others = [finest.box(number) for number in range(len(finest.offsets)) if number not in used][:400]

    def read() -> None:
        for region in regions:
            rgb = slide.read(region, reading.level).rgb
            if reading.width != TILE:
                cv2.resize(rgb, (TILE, TILE), interpolation=cv2.INTER_AREA)

    def elsewhere() -> None:
        for box in others:
            slide.read(Region(box.x, box.y, box.width - 1, box.height), 0)

    return read, elsewhere


def _plain(path: str, reading: Reading, regions: Sequence[Region]) -> None:
    import openslide
    from PIL import Image

    with openslide.OpenSlide(path) as slide:
        downsample = round(slide.level_downsamples[reading.level])
        for region in regions:
            corner = (region.x * downsample, region.y * downsample)
            tile = slide.read_region(corner, reading.level, (region.width, region.height)).convert("RGB")
            if reading.width != TILE:
                tile.resize((TILE, TILE), Image.Resampling.BOX)


def _tiatoolbox(path: str) -> Callable[[Reading, Sequence[Region]], None] | None:
    """Reading through tiatoolbox, or None where it cannot be imported. It configures the root logger: that is undone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tiatoolbox.wsicore.wsireader import WSIReader
    except (ImportError, OSError):
        return None
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)

    logging.getLogger("tiatoolbox").setLevel(logging.ERROR)  # it would warn of each tile finer than a slide's own mpp

    def read(reading: Reading, regions: Sequence[Region]) -> None:
        slide = WSIReader.open(path)
        scale = 4**reading.level
        mpp = 0.25 * scale * reading.width / TILE
        for region in regions:
            corner = (region.x * scale, region.y * scale)
            tile = slide.read_rect(corner, (TILE, TILE), resolution=mpp, units="mpp")
            assert np.shape(tile) == (TILE, TILE, 3)

    return read


def _cucim(path: str) -> Callable[[Reading, Sequence[Region]], None] | None:
    """Reading through cuCIM on the CPU, or None where it cannot be imported (`pip install cucim-cu12` beside the rest)."""
    try:
        from cucim import CuImage
    except (ImportError, OSError):
        return None

    def read(reading: Reading, regions: Sequence[Region]) -> None:
        slide, scale = CuImage(path), 4**reading.level
        for region in regions:
            corner = (region.x * scale, region.y * scale)
            tile = np.asarray(slide.read_region(corner, (region.width, region.height), reading.level))
            if reading.width != TILE:
                cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_AREA)

    return read


def _milliseconds(works: dict[str, tuple[Callable[[], object], Callable[[], object]]], tiles: int) -> dict[str, float]:
    """Least processor time of each, taken in turns: other programs disturb it little, and all of them alike."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(int(os.environ.get("BENCH_REPEATS", "5"))):
        for name, (work, before) in works.items():
            before()
            start = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - start)
    return {name: seconds / tiles * 1e3 for name, seconds in best.items()}
