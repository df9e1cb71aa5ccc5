"""SpatialData, as LazySlide and wsidata keep it: tissue and tiles as shapes, and features as a table, in `<slide_id>.zarr`.

Looked up in wsidata 0.12 and in what spatialdata 0.7.3 writes; written by hand, because spatialdata cannot be installed
beside tiatoolbox. Of the slide's pyramid a feature store knows level 0 alone; wsidata reads the rest from the slide.
"""

from __future__ import annotations

import json
import struct
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wsi_features.cohort.exports.anndata_tree import ZarrBackend, write_anndata, write_category, write_dict
from wsi_features.cohort.exports.folders import replacing_folder
from wsi_features.cohort.exports.rows import ExportedSlide
from wsi_features.cohort.exports.target import Format, Target
from wsi_features.recipe import Json

_TILES, _TISSUES = "tiles", "tissues"
_AXES = [{"name": name, "type": "space", "unit": "unit"} for name in "xy"]
_IDENTITY = {
    "type": "identity",
    "input": {"name": "xy", "axes": _AXES},
    "output": {"name": "global", "axes": _AXES},
}
_TABLE = {"region": _TILES, "region_key": "library_id", "instance_key": "tile_id"}


def _write(slide: ExportedSlide, to: Target) -> Sequence[Path]:
    import zarr

    path = to.folder / f"{slide.slide_id}.zarr"
    with replacing_folder(path) as folder, _quietly():
        root = zarr.create_group(folder, zarr_format=3, attributes=_about(slide))
        shapes = root.create_group("shapes")
        for name, table in _shapes(slide):
            kind: Json = {"encoding-type": "ngff:shapes", "axes": ["x", "y"], "coordinateTransformations": [_IDENTITY]}
            shapes.create_group(name).attrs.update(kind | {"spatialdata_attrs": {"version": "0.3"}})
            _write_shapes(folder / "shapes" / name / "shapes.parquet", table)
        _write_table(root.create_group("tables").create_group(f"{to.encoder}_{_TILES}"), slide)
        zarr.consolidate_metadata(folder, zarr_format=3)
    return (path,)


@contextmanager
def _quietly() -> Iterator[None]:
    """Zarr warns that texts and consolidated metadata are not in its specification; spatialdata writes both."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _about(slide: ExportedSlide) -> Json:
    """The attributes of the whole: of the slide what the store knows, and how its tiles were cut."""
    made = slide.made
    spec: Json = {"height": made.tile_px, "width": made.tile_px, "base_level": 0}
    step = round(made.step * made.tile_px / made.span)
    spec |= {"stride_height": step, "stride_width": step, "base_downsample": made.span / made.tile_px}
    known = made.knows("level") and made.knows("resize")
    spec |= {"ops_level": made.level if known else 0, "tissue_name": _TISSUES if slide.tissues else None}
    spec |= {"ops_downsample": 1 / made.resize if known else made.span / made.tile_px}
    spec["mpp"] = made.mpp_effective if made.knows("mpp_effective") else None
    about: Json = {
        "spatialdata_attrs": {"version": "0.2", "spatialdata_software_version": "0.7.3"},
        "tile_spec": {_TILES: spec},
        "wsi_features": slide.about(),
    }
    if made.knows("slide_size"):
        width, height = made.slide_size
        about["slide_properties"] = {
            "shape": [height, width],
            "n_level": 1,
            "level_shape": [[height, width]],
            "level_downsample": [1.0],
            "mpp": made.mpp_native if made.knows("mpp_native") else None,
            "magnification": None,
            "bounds": [0, 0, width, height],
        }
    return about


def _write_table(group: Any, slide: ExportedSlide) -> None:
    """Features are named by their number alone: LazySlide colours tiles by such names."""
    backend = ZarrBackend()
    write_anndata(group, backend, slide, [str(k) for k in range(slide.dim)])
    write_category(group["obs"], backend, "library_id", _TILES, len(slide))
    write_dict(group["uns"], backend, "spatialdata_attrs", dict(_TABLE))
    group.attrs.update({"spatialdata-encoding-type": "ngff:regions_table", "version": "0.2", **_TABLE})


def _shapes(slide: ExportedSlide) -> Iterator[tuple[str, dict[str, Any]]]:
    """The columns of the tiles, and of the pieces of tissue where these are known; geometry as well-known binary."""
    x, y = (np.ascontiguousarray(values) for values in slide.origins.T)
    squares = [_square(left, top, int(slide.made.span)) for left, top in slide.origins.tolist()]
    tiles: dict[str, Any] = {"tile_id": np.arange(len(slide)), "x": x, "y": y}
    if slide.tissues is not None:
        outlines = list(slide.tissues.outlines)
        yield _TISSUES, {"tissue_id": np.arange(len(outlines)), "geometry": outlines}
        tiles["tissue_id"] = slide.tissues.of_tile
    yield _TILES, tiles | {"geometry": squares}


def _write_shapes(path: Path, columns: dict[str, Any]) -> None:
    """GeoParquet of polygons in level-0 pixels."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    geometry = {"encoding": "WKB", "crs": None, "geometry_types": ["Polygon"]}
    geo = {"primary_column": "geometry", "version": "1.0.0", "columns": {"geometry": geometry}}
    table = pa.table(columns | {"geometry": pa.array(columns["geometry"], pa.binary())})
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)


def _square(x: int, y: int, span: int) -> bytes:
    """A polygon in well-known binary: little endian, one ring of five corners."""
    ring = (x + span, y, x + span, y + span, x, y + span, x, y, x + span, y)
    return struct.pack("<BIII10d", 1, 3, 1, 5, *map(float, ring))


SPATIALDATA = Format(_write, tells_whose=True, tissues=True, version=2)
