"""The pieces of tissue of a slide as polygons, and which of them each tile lies on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wsi_features.tissue.objects import geojson_of, geometry_of, joined, objects, parsed, polygons
from wsi_features.tissue.shares import annotation_shares


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """`outlines` are polygons in well-known binary, in level-0 pixels.

    `of_tile` int64 (n,) is the number of the one that fills the most of each tile, -1 where none does.
    """

    outlines: tuple[bytes, ...]
    of_tile: npt.NDArray[np.int64]


def pieces_of_tiles(text: str, origins: npt.NDArray[np.int64], span: int, *, slide_id: str, source: str) -> Pieces:
    """The polygons of a GeoJSON of tissue, and those of the tiles at `origins` (n, 2), which are `span` wide.

    Of two that fill as much of a tile, the first counts. Raises AnnotationError for what is no GeoJSON; `source` names it.
    """
    import shapely

    with geojson_of(slide_id, source):
        drawn = [polygon for found in objects(parsed(text)) for polygon in polygons(geometry_of(found))]
    areas = {str(k): joined([polygon]) for k, polygon in enumerate(drawn)}
    _, shares = annotation_shares(areas, origins, span)
    if not drawn:
        return Pieces((), np.full(len(origins), -1, np.int64))
    of_tile = np.where(shares.max(axis=1) > 0, shares.argmax(axis=1), -1).astype(np.int64)
    return Pieces(tuple(shapely.to_wkb(drawn, byte_order=1).tolist()), of_tile)
