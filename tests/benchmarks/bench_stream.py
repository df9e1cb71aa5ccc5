"""The tile stream: user CPU per 256 px tile against bare decoding of the same compressed tiles, in one run.

Also how much faster two threads are than one, and than two processes that know nothing of each other. Other readers
read the same tiles one by one, on one thread. Planning is part of what the stream takes; opening is not: it takes
some milliseconds for a slide of any number of tiles.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bench_reader as single
import cv2
import numpy as np

from wsi_features.slides import open_slide
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.slides.tiff import TiffIndex, tiff_index
from wsi_features.tiles import ReadRecipe, TileGrid, tile_scale
from wsi_features.tiles.source import TileSource
from wsi_features.tiles.stream import SourceFault, tile_stream

Row = dict[str, Any]

MPP, BATCH = 0.25, 64
MOST_RATIO = {"native, aligned": 1.2, "2x, aligned": 1.25, "native, unaligned": 1.8, "2x, unaligned": 1.8}
"""Alarm: user CPU of one thread, as times of bare decoding."""
RATES = ("native, aligned", "2x, aligned", "2x, unaligned")
"""Ways of reading of which the rates of two threads and of two processes are measured."""
LEAST_RATE = 1.8
"""Alarm: two threads on two idle cores, as times of one."""


def rows(pixels: int = 30_000) -> list[Row]:
    """One row a reader and way of reading, then the rates."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "slide.svs")
            write_slide(path, SlideSpec(width=pixels, height=pixels, seed=1))
            table = [row for reading in single.READINGS for row in _compared(path, reading)]
            table += [row for reading in single.READINGS if reading.name in RATES for row in _rates(path, reading)]
            return table + _real(os.environ.get("BENCH_SLIDE", ""))
    finally:
        cv2.setNumThreads(threads)


def _real(path: str) -> list[Row]:
    """The finest level of a slide of one's own, which BENCH_SLIDE names."""
    if not path:
        return [{"name": "BENCH_SLIDE names no real slide: its rows are left out", "value": 0, "unit": "-"}]
    finest = [reading for reading in single.READINGS if reading.level == 0]
    return [row | {"name": f"{Path(path).name}, {row['name']}"} for r in finest for row in _compared(path, r)]


def _compared(path: str, reading: single.Reading) -> list[Row]:
    index = tiff_index(path)
    assert isinstance(index, TiffIndex), index
    exact, scaled = (_source(path, reading, ReadRecipe(decode=name)) for name in ("exact", "scaled"))
    regions = reading.regions(index.scenes[0].planes[0][reading.level])
    works: dict[str, Callable[[], object]] = {
        "limit": single._decoding(index, reading.level, regions),
        "1 thread": partial(_streamed, exact, 1),
        "2 threads": partial(_streamed, exact, 2),
    }
    if reading.name.startswith("2x"):
        works["1 thread, decode: scaled"] = partial(_streamed, scaled, 1)
    others: dict[str, Callable[[], object]] = {"OpenSlide + Pillow": partial(single._plain, path, reading, regions)}
    if tiatoolbox := single._tiatoolbox(path):
        others["tiatoolbox"] = partial(tiatoolbox, reading, regions)
    if cucim := single._cucim(path):
        others["cuCIM"] = partial(cucim, reading, regions)
    seconds = _user_seconds(works, int(os.environ.get("BENCH_REPEATS", "9"))) | _user_seconds(others, 1)
    limit = seconds.pop("limit") / len(regions) * 1e3
    found = {name: value / len(regions) * 1e3 for name, value in seconds.items()}
    return [
        {"name": f"{reading.name}: {name}", "value": ms, "unit": "ms/tile", "limit": limit, "ratio": ms / limit}
        for name, ms in found.items()
    ]


def _source(path: str, reading: single.Reading, recipe: ReadRecipe) -> TileSource:
    slide = open_slide("bench", Path(path))
    scale = tile_scale(
        "bench",
        [level.downsample for level in slide.levels],
        native=MPP,
        asked=MPP * 4**reading.level * reading.width / single.TILE,
        size=single.TILE,
    )
    assert scale.level == reading.level
    index = tiff_index(path)
    assert isinstance(index, TiffIndex), index
    corners = [(region.x, region.y) for region in reading.regions(index.scenes[0].planes[0][reading.level])]
    origins = np.array(corners, np.int64) * 4**reading.level
    grid = TileGrid(origins, np.zeros((len(origins), 2), np.int32), scale.span, scale.size)
    return TileSource("bench", slide.reopened, grid, scale, recipe)


def _streamed(source: TileSource, workers: int) -> None:
    for item in tile_stream([source], batch=BATCH, workers=workers):
        assert not isinstance(item, SourceFault), item


def _user_seconds(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Least user CPU time of each, taken in turns: other programs disturb it little, and all of them alike."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(repeats):
        for name, work in works.items():
            start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            work()
            best[name] = min(best[name], resource.getrusage(resource.RUSAGE_SELF).ru_utime - start)
    return best


def _rates(path: str, reading: single.Reading) -> list[Row]:
    """Tiles a second; other programs on the machine take from two threads and from two processes, not from one."""
    one, two, apart = [], [], []
    for _ in range(3):
        one.append(_rate(path, reading, threads=1, processes=1))
        two.append(_rate(path, reading, threads=2, processes=1))
        apart.append(_rate(path, reading, threads=1, processes=2))
    return [
        {"name": f"{reading.name}: {name}", "value": max(rate), "unit": "tiles/s", "ratio": max(rate) / max(one)}
        for name, rate in (("1 thread", one), ("2 threads", two), ("2 processes of 1 thread", apart))
    ]


def _rate(path: str, reading: single.Reading, *, threads: int, processes: int) -> float:
    """Tiles a second of processes that begin at the same moment."""
    command = [sys.executable, __file__, path, reading.name, str(threads)]
    begun = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for process in begun:
        assert process.stdout is not None
        process.stdout.readline()
    return sum(float(process.communicate("\n")[0]) for process in _told(begun))


def _told(begun: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    for process in begun:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return begun


def _timed(path: str, name: str, threads: int) -> None:
    """What each of the processes does: warm up, wait for the word, and say how many tiles a second it read."""
    cv2.setNumThreads(1)
    (reading,) = [reading for reading in single.READINGS if reading.name == name]
    source = _source(path, reading, ReadRecipe())
    _streamed(source, threads)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    start = time.perf_counter()
    for _ in tile_stream([source] * 8, batch=BATCH, workers=threads):
        pass
    sys.stdout.write(f"{8 * len(source.grid) / (time.perf_counter() - start)}\n")


if __name__ == "__main__":
    _timed(sys.argv[1], sys.argv[2], int(sys.argv[3]))
