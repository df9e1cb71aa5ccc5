"""AnnData, SpatialData and Hugging Face data sets: the elements that their readers look for."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq

from wsi_features.store import FeatureStore

To = Callable[..., Path]


def test_an_h5ad_names_every_element_that_anndata_looks_for(to: To) -> None:
    with h5py.File(to("anndata") / "first.h5ad") as file:
        kinds = {name: file[name].attrs["encoding-type"] for name in file}
        assert dict(file.attrs) == {"encoding-type": "anndata", "encoding-version": "0.1.0"}
        assert list(file["obs"].attrs["column-order"]) == ["tissue_share", "tile_id", "store_row", "x", "y"]
    mappings = dict.fromkeys(("layers", "obsm", "obsp", "uns", "varm", "varp"), "dict")
    assert kinds == mappings | {"X": "array", "obs": "dataframe", "var": "dataframe"}


def test_an_h5ad_holds_features_corners_and_centres(to: To, first: FeatureStore) -> None:
    with h5py.File(to("anndata") / "first.h5ad") as file:
        np.testing.assert_array_equal(file["X"], first.features[:][first.valid].astype(np.float32))
        assert file["X"].dtype == np.float32
        assert file["obs/store_row"][:].tolist() == [0, 1, 2, 3, 4, 6]
        corners = np.stack([file["obs/x"], file["obs/y"]], axis=1)
        np.testing.assert_array_equal(corners, first.coords[first.valid])
        np.testing.assert_array_equal(file["obsm/spatial"], corners + 254)
        assert file["uns/wsi_features/licence"].asstr()[()] == "CC-BY-NC-4.0"


def test_spatialdata_has_tiles_as_shapes_and_features_as_a_table_of_them(to: To) -> None:
    store = to("spatialdata", slides=("first",)) / "first.zarr"
    head = json.loads((store / "zarr.json").read_text())["attributes"]
    assert head["spatialdata_attrs"]["version"] == "0.2"
    assert head["slide_properties"]["shape"] == [3001, 4000]
    spec = head["tile_spec"]["tiles"]
    assert (spec["width"], spec["width"] * spec["base_downsample"], spec["stride_width"]) == (256, 508, 254)
    table = json.loads((store / "tables/tiny_tiles/zarr.json").read_text())["attributes"]
    assert (table["region"], table["region_key"], table["instance_key"]) == ("tiles", "library_id", "tile_id")
    assert table["spatialdata-encoding-type"] == "ngff:regions_table"


def test_the_shapes_of_spatialdata_are_squares_of_the_footprint(to: To, first: FeatureStore) -> None:
    import shapely

    table = pq.ParquetFile(to("spatialdata", slides=("first",)) / "first.zarr/shapes/tiles/shapes.parquet").read()
    squares = shapely.from_wkb(np.array(table["geometry"].to_pylist(), dtype=object))
    corners = first.coords[first.valid]
    np.testing.assert_array_equal(shapely.bounds(squares), np.hstack([corners, corners + 508]))
    assert shapely.is_ccw(shapely.get_exterior_ring(squares)).all()
    assert table["tile_id"].to_pylist() == list(range(6))


def test_a_hugging_face_data_set_has_a_row_a_tile_and_a_card(to: To, first: FeatureStore, labels: Path) -> None:
    folder = to("hf", labels=labels)
    table = pq.ParquetFile(folder / "data/first.parquet").read()
    assert table.column_names == ["slide_id", "x", "y", "features"]
    np.testing.assert_array_equal(np.array(table["features"].to_pylist()), first.features[:][first.valid])
    assert json.loads(table.schema.metadata[b"wsi_features"])["fingerprint"] == first.fingerprint
    assert "data/*.parquet" in (folder / "README.md").read_text()
    assert "CC-BY-NC-4.0" in (folder / "README.md").read_text()
    assert (folder / "labels.csv").read_text().splitlines()[1] == "first,tumour,train,p1"
