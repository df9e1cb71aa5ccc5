"""Annotations: the areas of every class that someone drew on a slide.

A class is named as QuPath shows it ("Tumor: Positive"), objects without one are
"Unclassified". Areas are shapely geometries in level-0 pixels and are never rasterised here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Size
from wsi_features.recipe import Json, canonical_json, digest
from wsi_features.tissue.objects import (
    PROVENANCE,
    MalformedError,
    Polygon,
    class_of,
    geojson_of,
    geometry_of,
    is_own_empty,
    joined,
    objects,
    parsed,
    polygons,
    refuse_outside,
)

_DECIMALS = 3
"""Of a level-0 pixel; QuPath writes as many or fewer."""


def annotation_classes(text: str, *, slide_id: str, source: str, slide: Size) -> dict[str, Polygon]:
    """The area of each class, by its name: valid disjoint polygons with their holes.

    Objects of one class that overlap are joined; classes may overlap each other. Points and lines
    have no area, and a class without any is left out. Raises AnnotationError when the text is not
    GeoJSON or reaches more than 5 % beyond the slide. `source` names the file in the message.
    """
    drawn: dict[str, list[Polygon]] = {}
    with geojson_of(slide_id, source):
        for found in objects(parsed(text)):
            drawn.setdefault(class_of(found), []).extend(polygons(geometry_of(found)))
        every = [polygon for of_class in drawn.values() for polygon in of_class]
        if every:
            refuse_outside(slide_id, source, every, slide)
        areas = {name: joined(drawn[name]) for name in sorted(drawn) if drawn[name]}
    return {name: area for name, area in areas.items() if not area.is_empty}


def class_digests(text: str, *, slide_id: str, source: str) -> dict[str, str]:
    """SHA-256 of what each class holds, by its name; the order of its objects does not matter, nor do their names.

    Two files of equal digests have equal areas of the class. Raises AnnotationError as `annotation_classes`.
    """
    found: dict[str, list[str]] = {}
    with geojson_of(slide_id, source):
        for feature in objects(parsed(text)):
            found.setdefault(class_of(feature), []).append(_digest(geometry_of(feature)))
    return {name: digest(sorted(of_class)) for name, of_class in sorted(found.items())}


def is_empty_mask(text: str) -> bool:
    """Whether a text, of which the classes could be read, is that of an empty mask."""
    return is_own_empty(parsed(text))


def annotations_text(areas: Mapping[str, Polygon], *, extra: Json) -> str:
    """The areas as a FeatureCollection for QuPath: one annotation for each class, to 0.001 level-0 pixels.

    `extra` is kept under `wsi_features`. No pixel is involved: areas come back as they went out.
    """
    features = [canonical_json(_feature(name, area)) for name, area in areas.items()]
    head = f'{{"type":"FeatureCollection","{PROVENANCE}":{canonical_json(extra)},"features":['
    return head + ",".join(f"\n{feature}" for feature in features) + "\n]}\n"


def _digest(geometry: Json) -> str:
    try:
        return digest({name: value for name, value in geometry.items() if name != "plane"})
    except ValueError as error:  # numbers beyond floats, and text that is none
        raise MalformedError(f"a geometry is damaged: {error}") from error


def _feature(name: str, area: Polygon) -> Json:
    import shapely

    # Normalised, so that equal areas give equal text; outer rings run as RFC 7946 wants them.
    parts = [_rings(part) for part in shapely.orient_polygons(shapely.get_parts(shapely.normalize(area)))]
    single = len(parts) == 1
    geometry = {"type": "Polygon" if single else "MultiPolygon", "coordinates": parts[0] if single else parts}
    properties = {"objectType": "annotation", "classification": {"name": name}, "isLocked": False}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _rings(polygon: Polygon) -> list[Any]:
    return [_points(np.asarray(ring.coords)) for ring in (polygon.exterior, *polygon.interiors)]


def _points(ring: npt.NDArray[np.float64]) -> list[list[float]]:
    return [[int(v) if v.is_integer() else v for v in point] for point in np.round(ring[:, :2], _DECIMALS).tolist()]
