"""Annotated shares and curation of a large slide: CPU seconds on one core.

The slow twin clips every tile against a whole class; it does a part of the tiles and is scaled up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size
from wsi_features.tiles.curation import farthest_rows, mosaic_rows, spread_rows
from wsi_features.tissue.annotations import annotation_classes
from wsi_features.tissue.shares import annotation_shares

Row = dict[str, Any]

SLIDE = Size(90_000, 80_000)
SPAN = 512
CLASSES, OUTLINES, VERTICES = 5, 200, 500
PART = 100


def rows() -> list[Row]:
    """One row a figure: name, value, unit; of the shares also the ratio to the slow twin."""
    text = outlines()
    areas, reading = timed(lambda: annotation_classes(text, slide_id="s", source="f", slide=SLIDE))
    tiles = origins(123, 122)
    _, fast = timed(lambda: annotation_shares(areas, tiles, SPAN))
    some = tiles[:: len(tiles) // PART]
    _, slow = timed(lambda: clipped_one_by_one(areas, some))
    slow *= len(tiles) / len(some)
    index = tiles.astype(np.int32) // SPAN
    colours = np.random.default_rng(0).normal(150, 30, (len(tiles), 3))
    found = [
        row(f"reading {OUTLINES} outlines of {VERTICES} vertices", reading),
        row(f"shares of {CLASSES} classes in {len(tiles):,} tiles", fast) | {"ratio": slow / fast},
        row("the same, each tile clipped by itself (a part, scaled up)", slow),
    ]
    for name, work in (
        ("cap to 4,096 tiles", lambda: spread_rows(index, 4096)),
        ("farthest 750 colours", lambda: farthest_rows(colours, 750)),
        ("mosaic of 5 %", lambda: mosaic_rows(colours, tiles.astype(np.float64), len(tiles) // 20)),
    ):
        found.append(row(name, timed(work)[1]))
    return found


def row(name: str, seconds: float) -> Row:
    """A line of the table."""
    return {"name": name, "value": seconds, "unit": "s"}


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the CPU seconds of the second of two runs."""
    work()
    started = time.process_time()
    found = work()
    return found, time.process_time() - started


def origins(across: int, down: int) -> npt.NDArray[np.int64]:
    """A grid of tiles, row by row."""
    xs, ys = np.arange(across) * SPAN + 8_000, np.arange(down) * SPAN + 9_000
    return np.stack([np.tile(xs, down), np.repeat(ys, across)], axis=1)


def outlines() -> str:
    """GeoJSON of outlines drawn with an unsteady hand, all over the tiles."""
    random = np.random.default_rng(0)
    turn = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    features = []
    for k in range(OUTLINES):
        away = random.uniform(500, 4_000) * (1 + 0.02 * random.standard_normal(VERTICES).cumsum() / 4)
        ring = random.uniform(13_000, 65_000, 2) + np.abs(away)[:, None] * np.stack(
            [np.cos(turn), np.sin(turn)], axis=1
        )
        properties = {"classification": {"name": f"class {k % CLASSES}"}}
        geometry = {"type": "Polygon", "coordinates": [np.round(ring, 2).tolist()]}
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return json.dumps({"type": "FeatureCollection", "features": features})


def clipped_one_by_one(areas: dict[str, Any], tiles: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The slow twin."""
    import shapely

    boxes = [shapely.box(x, y, x + SPAN, y + SPAN) for x, y in tiles.tolist()]
    return np.array([[area.intersection(box).area / SPAN**2 for area in areas.values()] for box in boxes])
