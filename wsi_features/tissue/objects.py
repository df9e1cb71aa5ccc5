"""The objects of a GeoJSON as QuPath writes it: features, their classes and their polygons.

Coordinates are left as they are; what they mean, and whether they fit a slide, is for others to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from wsi_features.errors import AnnotationError
from wsi_features.geometry import Size
from wsi_features.recipe import Json

PROVENANCE = "wsi_features"
"""Name of the foreign member (RFC 7946, section 6.1) that says how a file was made."""

UNCLASSIFIED = "Unclassified"
"""What QuPath calls an object without a class."""

Polygon: TypeAlias = Any
"""A shapely polygon; shapely carries no types."""

_OVERHANG = 0.05
"""How far, in slide widths or heights, an outline drawn by hand may run over the slide's edge."""


class MalformedError(ValueError):
    """Why a text is not the GeoJSON expected; translated once, where slide and file are known."""


@contextmanager
def geojson_of(slide_id: str, source: str) -> Iterator[None]:
    """Whatever is wrong with the GeoJSON read inside is an AnnotationError that names slide and file."""
    try:
        yield
    except RecursionError as error:
        raise AnnotationError.unreadable(slide_id, source, "it is nested too deeply") from error
    except MalformedError as error:
        raise AnnotationError.unreadable(slide_id, source, str(error)) from error


def parsed(text: str) -> Any:
    """The JSON value of a text. Raises MalformedError, also for NaN and infinity."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise MalformedError(f"not JSON: {error}") from error


def objects(node: Any) -> Iterator[Json]:
    """Every feature of a collection, a list or one feature, each followed by its children.

    A core of a tissue microarray that QuPath marks `isMissing` is left out with its children.
    """
    if isinstance(node, list):
        for item in node:
            yield from objects(item)
    elif isinstance(node, dict) and node.get("type") == "FeatureCollection" and isinstance(node.get("features"), list):
        yield from objects(node["features"])
    elif isinstance(node, dict) and node.get("type") == "Feature":
        if _properties(node).get("isMissing") is not True:
            yield node
            yield from objects(_properties(node).get("childObjects") or [])
    else:
        kind = node.get("type") if isinstance(node, dict) else type(node).__name__
        raise MalformedError(f"found {kind!r} where a feature belongs")


def is_own_empty(collection: Any) -> bool:
    """Whether it is what we write of an empty mask."""
    return isinstance(collection, dict) and PROVENANCE in collection and collection.get("features") == []


def class_of(feature: Json) -> str:
    """The class name as QuPath shows it; derived classes are joined by a colon."""
    found = _properties(feature).get("classification")
    if isinstance(found, dict):
        names = found.get("names")
        found = found.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else None)
    if not isinstance(found, str) or not found:
        return UNCLASSIFIED
    return found.encode("utf-8", "replace").decode()  # JSON can hold halves of characters, which no file can


def geometry_of(feature: Json) -> Json:
    """Its geometry; an empty one where there is none."""
    geometry = feature.get("geometry")
    return geometry if isinstance(geometry, dict) else {}


def polygons(geometry: Json) -> list[Polygon]:
    """The polygons of one geometry as drawn; none for points and lines.

    QuPath writes rectangles and ellipses as polygons, and some of what it merges as a collection.
    """
    import shapely

    kind = str(geometry.get("type"))
    if kind == "GeometryCollection":
        members = geometry.get("geometries")
        if not isinstance(members, list) or not all(isinstance(member, dict) for member in members):
            raise MalformedError("a GeometryCollection is damaged: `geometries` is no list of geometries")
        return [polygon for member in members for polygon in polygons(member)]
    if kind not in {"Polygon", "MultiPolygon"}:
        return []
    coordinates: Any = geometry.get("coordinates")
    try:
        drawn = [[_ring(ring) for ring in rings] for rings in ([coordinates] if kind == "Polygon" else coordinates)]
        return [shapely.Polygon(rings[0], rings[1:]) for rings in drawn if rings]
    except (TypeError, ValueError, OverflowError, shapely.errors.ShapelyError) as error:
        raise MalformedError(f"a {kind} is damaged: {error}") from error


def joined(drawn: Sequence[Polygon]) -> Polygon:
    """The area that the polygons cover together, as valid disjoint polygons; it may be empty."""
    import shapely

    # "structure" keeps both lobes of a figure of eight, and the overlap of a loop that was closed twice.
    return shapely.union_all(shapely.make_valid(drawn, method="structure", keep_collapsed=False))


def refuse_outside(slide_id: str, source: str, drawn: Sequence[Polygon], slide: Size) -> None:
    """Raise AnnotationError where the polygons reach more than 5 % beyond the slide."""
    import shapely

    box = shapely.total_bounds(drawn).tolist()
    left, top, right, bottom = box
    over_x, over_y = max(-left, right - slide.width), max(-top, bottom - slide.height)
    if over_x > _OVERHANG * slide.width or over_y > _OVERHANG * slide.height:
        raise AnnotationError.outside(slide_id, source, box, slide.width, slide.height)


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedError(f"{name} is not a JSON number")


def _properties(feature: Json) -> Json:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _ring(points: Any) -> npt.NDArray[np.float64]:
    """One ring, float64 (k, 2); a third coordinate is dropped."""
    ring = np.asarray(points, dtype=np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2 or not np.isfinite(ring).all():
        raise ValueError("a ring is a list of finite x, y")
    return ring[:, :2]
