"""Tissue as GeoJSON: what QuPath and other viewers open, and edited annotations back.

Coordinates are level-0 pixels from the slide's top-left corner, as QuPath has them. This
module turns masks into text and text into masks; `io` reads and writes files.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wsi_features.errors import AnnotationError
from wsi_features.geometry import Size
from wsi_features.recipe import Json, canonical_json
from wsi_features.tissue.mask import TissueMask
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
from wsi_features.tissue.outline import Piece, filled, pieces

_COLOR = (0, 160, 80)


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
    with geojson_of(slide_id, source):
        collection = parsed(text)
        if is_own_empty(collection):
            return TissueMask(np.zeros((size.height, size.width), dtype=np.bool_), slide)
        every = list(objects(collection))
        wanted = [found for found in every if class_of(found) == annotation_class]
        if not wanted:
            classes = sorted({class_of(found) for found in every})
            raise AnnotationError.no_such_class(slide_id, source, annotation_class, classes)
        drawn = _all_polygons(wanted, annotation_class)
        refuse_outside(slide_id, source, drawn, slide)
        return TissueMask(_covered(drawn, slide, size), slide)


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


def _all_polygons(features: Sequence[Json], class_name: str) -> list[Polygon]:
    geometries = [geometry_of(found) for found in features]
    drawn = [polygon for geometry in geometries for polygon in polygons(geometry)]
    if not drawn:
        kinds = ", ".join(sorted({str(geometry.get("type")) for geometry in geometries}))
        raise MalformedError(f"its objects of class {class_name!r} have no area: {kinds}")
    return drawn


def _covered(drawn: Sequence[Polygon], slide: Size, size: Size) -> npt.NDArray[np.bool_]:
    """Mask pixels whose centre lies in any of the polygons, bool (h, w)."""
    import shapely

    area = joined(drawn)
    if area.is_empty:
        raise MalformedError("its outlines enclose no area")
    rings = shapely.get_rings(shapely.get_parts(area))
    scale = np.array([slide.width / size.width, slide.height / size.height])
    return filled([shapely.get_coordinates(ring) / scale for ring in rings], size)
