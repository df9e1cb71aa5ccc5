"""Tiles as GeoJSON objects with measurements, to look at in QuPath."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from wsi_features.recipe import Json, canonical_json
from wsi_features.tissue.objects import PROVENANCE

ObjectType = Literal["detection", "annotation", "tile"]
"""What QuPath takes each tile for: detections and tiles are many and fast, annotations can be edited."""

Rgb = tuple[int, int, int]


def tiles_text(
    origins: npt.NDArray[np.int64],
    span: int,
    columns: Mapping[str, npt.NDArray[Any]],
    *,
    classes: Sequence[str],
    kind: ObjectType = "detection",
    colours: Mapping[str, Rgb] = MappingProxyType({}),
    extra: Json,
) -> Iterator[str]:
    """A FeatureCollection, line by line: each tile a square with its values as measurements.

    `origins` int (n, 2) and `span` are in level-0 pixels, `columns` holds (n,) numbers by name, `classes` the
    class of each tile, "" for none; QuPath chooses the colour of a class that is not in `colours`. A value that is not finite is left out of its tile, as QuPath
    does. `extra` is kept under `wsi_features`.
    """
    yield f'{{"type":"FeatureCollection","{PROVENANCE}":{canonical_json(extra)},"features":['
    names = list(columns)
    values = np.stack([np.asarray(columns[name], np.float64) for name in names], axis=1) if names else None
    for row, (x, y) in enumerate(origins.tolist()):
        measured = {} if values is None else _measurements(names, values[row].tolist())
        properties: Json = {"objectType": kind, "measurements": measured}
        if classes[row]:
            colour = {"color": colours[classes[row]]} if classes[row] in colours else {}
            properties["classification"] = {"name": classes[row], **colour}
        ring = [[x, y], [x + span, y], [x + span, y + span], [x, y + span], [x, y]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        feature = canonical_json({"type": "Feature", "geometry": geometry, "properties": properties})
        yield feature + ("," if row < len(origins) - 1 else "")
    yield "]}"


def _measurements(names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    """Seven digits: all that float32 holds."""
    return {name: float(f"{v:.7g}") for name, v in zip(names, values, strict=True) if math.isfinite(v)}
