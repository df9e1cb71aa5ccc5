"""Tissue as GeoJSON: what QuPath and other viewers open, and edited annotations back.

Coordinates are level-0 pixels from the slide's top-left corner, as QuPath has them. This
module turns masks into text and text into masks; `io` reads and writes files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from wsi_features.errors import AnnotationError
from wsi_features.geometry import Size
from wsi_features.recipe import Json, canonical_json
from wsi_features.tissue.mask import TissueMask
from wsi_features.tissue.outline import Piece, filled, pieces

PROVENANCE = "wsi_features"
"""Name of the foreign member (RFC 7946, section 6.1) that says how a file was made."""

_COLOR = (0, 160, 80)
_OVERHANG = 0.05
"""How far, in slide widths or heights, an outline drawn by hand may run over the slide's edge."""

Polygon: TypeAlias = Any
"""A shapely polygon; shapely carries no types."""


class _MalformedError(ValueError):
    """Why a text is not the GeoJSON expected; translated once, where slide and file are known."""


def to_text(tissue: TissueMask, *, mpp: float, class_name: str, extra: Json) -> str:
    """The mask as a FeatureCollection: one annotation of class `class_name` per piece, with its holes.

    Vertices lie on the borders of mask pixels, rounded to 0.01 level-0 pixels; areas are
    measured at `mpp` microns per level-0 pixel. `extra` is kept under `wsi_features`. Equal
    masks give equal text. QuPath 0.4 and later read it.
    """
    features = [canonical_json(_feature(piece, tissue, mpp, class_name)) for piece in pieces(tissue.mask)]
    head = f'{{"type":"FeatureCollection","{PROVENANCE}":{canonical_json(extra)},"features":['
    return head + ",".join(f"\n{feature}" for feature in features) + "\n]}\n"


def mask_from_geojson(
    text: str, *, slide_id: str, source: str, slide: Size, size: Size, annotation_class: str
) -> TissueMask:
    """The objects of class `annotation_class` as a mask of `size` over a slide of `slide` level-0 pixels.

    Reads a FeatureCollection, a list of features or one feature, with objects nested in
    `childObjects` as QuPath writes them. A mask pixel is tissue when its centre is inside.
    Outlines that cross themselves are mended, objects that overlap are joined, points and lines
    are left out. What `to_text` wrote for an empty mask is an empty mask.

    Raises AnnotationError when the text is not GeoJSON, holds no area of the class, or reaches
    more than 5 % beyond the slide. `source` names the file in the message.
    """
    try:
        collection = _parsed(text)
        if _is_own_empty(collection):
            return TissueMask(np.zeros((size.height, size.width), dtype=np.bool_), slide)
        objects = list(_objects(collection))
        wanted = [found for found in objects if _class_of(found) == annotation_class]
        if not wanted:
            classes = sorted({_class_of(found) for found in objects})
            raise AnnotationError.no_such_class(slide_id, source, annotation_class, classes)
        polygons = _all_polygons(wanted, annotation_class)
        box = _outer_box(polygons)
        if _leaves(box, slide):
            raise AnnotationError.outside(slide_id, source, box, slide.width, slide.height)
        return TissueMask(_covered(polygons, slide, size), slide)
    except RecursionError as error:
        raise AnnotationError.unreadable(slide_id, source, "it is nested too deeply") from error
    except _MalformedError as error:
        raise AnnotationError.unreadable(slide_id, source, str(error)) from error


def _feature(piece: Piece, tissue: TissueMask, mpp: float, class_name: str) -> Json:
    scale = np.array([tissue.scale_x, tissue.scale_y])
    area_um2 = piece.area * tissue.scale_x * tissue.scale_y * mpp**2
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [_points(ring * scale) for ring in (piece.outer, *piece.holes)]},
        "properties": {
            "objectType": "annotation",
            "classification": {"name": class_name, "color": _COLOR},
            "isLocked": False,
            "measurements": {"Tissue area um^2": round(area_um2, 1)},
        },
    }


def _points(ring: npt.NDArray[np.float64]) -> list[list[float]]:
    """Coordinates as JSON numbers; whole ones without a fraction, which keeps the file small."""
    return [[int(v) if v.is_integer() else v for v in point] for point in np.round(ring, 2).tolist()]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise _MalformedError(f"not JSON: {error}") from error


def _refuse_constant(name: str) -> NoReturn:
    raise _MalformedError(f"{name} is not a JSON number")


def _is_own_empty(collection: Any) -> bool:
    return isinstance(collection, dict) and PROVENANCE in collection and collection.get("features") == []


def _objects(node: Any) -> Iterator[Json]:
    """Every feature of a collection, a list or one feature, each followed by its children."""
    if isinstance(node, list):
        for item in node:
            yield from _objects(item)
    elif isinstance(node, dict) and node.get("type") == "FeatureCollection" and isinstance(node.get("features"), list):
        yield from _objects(node["features"])
    elif isinstance(node, dict) and node.get("type") == "Feature":
        yield node
        yield from _objects(_properties(node).get("childObjects") or [])
    else:
        kind = node.get("type") if isinstance(node, dict) else type(node).__name__
        raise _MalformedError(f"found {kind!r} where a feature belongs")


def _properties(feature: Json) -> Json:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _class_of(feature: Json) -> str:
    """The class name as QuPath shows it; derived classes are joined by a colon."""
    found = _properties(feature).get("classification")
    if isinstance(found, dict):
        names = found.get("names")
        found = found.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else None)
    return found if isinstance(found, str) and found else "Unclassified"


def _all_polygons(features: Sequence[Json], class_name: str) -> list[Polygon]:
    geometries = [found["geometry"] if isinstance(found.get("geometry"), dict) else {} for found in features]
    polygons = [polygon for geometry in geometries for polygon in _polygons(geometry)]
    if not polygons:
        kinds = ", ".join(sorted({str(geometry.get("type")) for geometry in geometries}))
        raise _MalformedError(f"its objects of class {class_name!r} have no area: {kinds}")
    return polygons


def _polygons(geometry: Json) -> list[Polygon]:
    """The polygons of one geometry as drawn; none for points and lines."""
    import shapely

    kind = str(geometry.get("type"))
    if kind not in {"Polygon", "MultiPolygon"}:
        return []
    coordinates: Any = geometry.get("coordinates")
    try:
        drawn = [[_ring(ring) for ring in rings] for rings in ([coordinates] if kind == "Polygon" else coordinates)]
        return [shapely.Polygon(rings[0], rings[1:]) for rings in drawn if rings]
    except (TypeError, ValueError, OverflowError, shapely.errors.ShapelyError) as error:
        raise _MalformedError(f"a {kind} is damaged: {error}") from error


def _ring(points: Any) -> npt.NDArray[np.float64]:
    """One ring, float64 (k, 2); a third coordinate is dropped."""
    ring = np.asarray(points, dtype=np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("a ring is a list of finite x, y")
    return ring[:, :2]


def _outer_box(polygons: Sequence[Polygon]) -> tuple[float, float, float, float]:
    import shapely

    left, top, right, bottom = shapely.total_bounds(polygons).tolist()
    return left, top, right, bottom


def _leaves(box: tuple[float, float, float, float], slide: Size) -> bool:
    left, top, right, bottom = box
    over_x, over_y = max(-left, right - slide.width), max(-top, bottom - slide.height)
    return over_x > _OVERHANG * slide.width or over_y > _OVERHANG * slide.height


def _covered(polygons: Sequence[Polygon], slide: Size, size: Size) -> npt.NDArray[np.bool_]:
    """Mask pixels whose centre lies in any of the polygons, bool (h, w)."""
    import shapely

    # "structure" keeps both lobes of a figure of eight, and the overlap of a loop that was closed twice.
    joined = shapely.union_all(shapely.make_valid(polygons, method="structure", keep_collapsed=False))
    if joined.is_empty:
        raise _MalformedError("its outlines enclose no area")
    rings = shapely.get_rings(shapely.get_parts(joined))
    scale = np.array([slide.width / size.width, slide.height / size.height])
    return filled([shapely.get_coordinates(ring) / scale for ring in rings], size)
