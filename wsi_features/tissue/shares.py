"""How much of each tile an annotated class fills [hot].

Shares are exact: polygons are clipped against tiles, nothing is rasterised. A polygon of many
vertices is first cut into pieces of few, since clipping takes time by the vertices of the whole
polygon: 15,000 tiles against 200 outlines of 500 vertices take 0.75 s of one core, a fortieth of what
clipping each tile by itself takes (measured).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from wsi_features.tissue.objects import Polygon, joined

_FEW = 256
"""Vertices of a piece that is not cut any further."""

_SMALLEST = 1.0
"""Level-0 pixels; a piece of this width is not cut, however many vertices it has."""


def annotation_shares(
    areas: Mapping[str, Polygon], origins: npt.NDArray[np.int64], span: int
) -> tuple[tuple[str, ...], npt.NDArray[np.float32]]:
    """The names of the classes, and the share of each tile that each fills: float32 (n, c), 0 to 1.

    `origins` int64 (n, 2) holds the tiles' top-left x, y in level-0 pixels, `span` their width
    and height. A tile wholly inside has exactly 1.
    """
    shares = [area_shares(area, origins, span) for area in areas.values()]
    return tuple(areas), np.stack(shares, axis=1) if shares else np.empty((len(origins), 0), np.float32)


def joined_shares(
    areas: Mapping[str, Polygon], wanted: Sequence[str], origins: npt.NDArray[np.int64], span: int
) -> npt.NDArray[np.float32]:
    """The share of each tile that the classes `wanted` fill together, float32 (n,): where they overlap counts once."""
    found = [areas[name] for name in wanted if name in areas]
    return area_shares(joined(found), origins, span) if found else np.zeros(len(origins), np.float32)


def area_shares(area: Polygon, origins: npt.NDArray[np.int64], span: int) -> npt.NDArray[np.float32]:
    """The share of each tile that one valid area fills, float32 (n,)."""
    import shapely

    pieces = _pieces(area)
    corners = np.asarray(origins, np.float64)
    tiles = shapely.box(corners[:, 0], corners[:, 1], corners[:, 0] + span, corners[:, 1] + span)
    tile, piece = shapely.STRtree(pieces).query(tiles)
    shapely.prepare(pieces)
    covered = np.where(shapely.covers(pieces[piece], tiles[tile]), float(span) ** 2, 0.0)
    cut = covered == 0
    covered[cut] = shapely.area(shapely.intersection(pieces[piece[cut]], tiles[tile[cut]]))
    share = np.bincount(tile, weights=covered, minlength=len(tiles)) / float(span) ** 2
    return np.clip(share, 0, 1).astype(np.float32)


def _pieces(area: Polygon) -> npt.NDArray[np.object_]:
    """Disjoint polygons of few vertices that cover `area` together; their bounding boxes are halved in both directions."""
    import shapely

    large, done = _polygons(np.array([area])), []
    while len(large):
        left, top, right, bottom = shapely.bounds(large).T
        small = (shapely.get_num_coordinates(large) <= _FEW) | (np.maximum(right - left, bottom - top) <= _SMALLEST)
        done.append(large[small])
        cut = [_quarters(polygon) for polygon in large[~small]]
        large = _polygons(np.concatenate(cut)) if cut else large[:0]
    return np.concatenate(done) if done else np.empty(0, np.object_)


def _quarters(polygon: Polygon) -> npt.NDArray[np.object_]:
    """What lies in each quarter of its bounding box.

    Clipping by a rectangle takes 1.2 ms where the general intersection takes 34 (50,000 vertices), but may give what
    is no valid polygon; that is made anew.
    """
    import shapely

    left, top, right, bottom = polygon.bounds
    x, y = (left + right) / 2, (top + bottom) / 2
    boxes = [(left, top, x, y), (x, top, right, y), (left, y, x, bottom), (x, y, right, bottom)]
    cut = np.array([shapely.clip_by_rect(polygon, *box) for box in boxes])
    wrong = ~shapely.is_valid(cut)
    cut[wrong] = shapely.intersection(
        polygon, [shapely.box(*box) for box, bad in zip(boxes, wrong, strict=True) if bad]
    )
    return cut


def _polygons(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Without the points and lines in which an outline touches the edge of its box."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(geometries))  # twice: touching gives collections of several
    return np.asarray(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON.value])
