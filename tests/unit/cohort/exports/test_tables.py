"""AnnData, SpatialData and Hugging Face data sets: the elements that their readers look for."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq

from wsi_features.cohort.outputs import Outputs
from wsi_features.store import FeatureStore

To = Callable[..., Path]
OBSERVED = ("tissue_share", "tile_id", "store_row", "x", "y")


def test_an_h5ad_names_every_element_that_anndata_looks_for(to: To) -> None:
    with h5py.File(to("anndata") / "first.h5ad") as file:
        kinds = {name: file[name].attrs["encoding-type"] for name in file}
        assert dict(file.attrs) == {"encoding-type": "anndata", "encoding-version": "0.1.0"}
        assert list(file["obs"].attrs["column-order"]) == [*OBSERVED, "patient_id", "stain", "block"]
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
        assert file["obs/stain/categories"].asstr()[:].tolist() == ["Ki-67"]
        assert file["obs/stain/codes"][:].tolist() == [0] * 6
        assert file["var/_index"].asstr()[:].tolist() == ["tiny_0", "tiny_1", "tiny_2"]


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
    assert table.column_names == ["tile_id", "x", "y", "geometry"]  # nobody knows of tissue


def test_spatialdata_has_the_tissue_and_which_piece_each_tile_lies_on(run: Path, to: To, tmp_path: Path) -> None:
    import shapely
    import zarr

    outlines = [shapely.box(0, 600, 900, 1200), shapely.box(500, 0, 4000, 600)]
    with outlined(run, outlines):
        store = to("spatialdata") / "first.zarr"
    assert "second: 4 tiles" in (tmp_path / "said.txt").read_text()
    tissues = pq.ParquetFile(store / "shapes/tissues/shapes.parquet").read()
    assert tissues["tissue_id"].to_pylist() == [0, 1]
    assert shapely.from_wkb(tissues["geometry"].to_pylist()).tolist() == outlines
    tiles = pq.ParquetFile(store / "shapes/tiles/shapes.parquet").read()
    # corners at x 12, 516, 1020 and y 100, 604, 1108; row 5 was not read
    assert list(zip(tiles["x"].to_pylist(), tiles["y"].to_pylist(), strict=True))[-1] == (12, 1108)
    assert tiles["tissue_id"].to_pylist() == [1, 1, 1, 0, 0, 0]
    assert zarr.open_group(store / "tables/tiny_tiles/obs")["tissue_id"][:].tolist() == [1, 1, 1, 0, 0, 0]
    assert not (store.with_name("second.zarr") / "shapes/tissues").exists()


def test_a_tile_on_no_tissue_belongs_to_no_piece(run: Path, to: To) -> None:
    import shapely

    with outlined(run, [shapely.box(2000, 2000, 3000, 3000), shapely.box(520, 608, 3000, 700)]):
        store = to("spatialdata", slides=("first",)) / "first.zarr"
    tiles = pq.ParquetFile(store / "shapes/tiles/shapes.parquet").read()
    assert tiles["tissue_id"].to_pylist() == [-1, -1, -1, -1, 1, -1]  # the others touch an edge at most


def test_outlines_of_another_tissue_recipe_are_left_out(run: Path, to: To, tmp_path: Path) -> None:
    import shapely

    with outlined(run, [shapely.box(0, 0, 4000, 3000)], "cd" * 32):
        store = to("spatialdata", slides=("first",)) / "first.zarr"
    assert not (store / "shapes/tissues").exists()
    assert json.loads((store / "zarr.json").read_text())["attributes"]["tile_spec"]["tiles"]["tissue_name"] is None
    with outlined(run, [shapely.box(0, 0, 4000, 3000)]):
        to("spatialdata", slides=("first",))
    assert "first: 6 tiles" in (tmp_path / "said.txt").read_text()
    assert (store / "shapes/tissues").exists()


@contextmanager
def outlined(run: Path, outlines: list[Any], fingerprint: str = "12" * 32) -> Iterator[None]:
    """The run with a tissue.geojson of its first slide, as the tissue stage writes it."""
    path = Outputs(run).slide("first", "tissue.geojson")
    path.parent.mkdir(parents=True)
    head = f'{{"type":"FeatureCollection","wsi_features":{{"fingerprint":"{fingerprint}"}},"features":[\n'
    features = [{"type": "Feature", "geometry": shape.__geo_interface__, "properties": {}} for shape in outlines]
    path.write_text(head + ",\n".join(map(json.dumps, features)) + "\n]}\n")
    yield
    shutil.rmtree(path.parent)


def test_a_hugging_face_data_set_has_a_row_a_tile_and_a_card(to: To, first: FeatureStore, labels: Path) -> None:
    folder = to("hf", labels=labels)
    table = pq.ParquetFile(folder / "data/first.parquet").read()
    assert table.column_names == ["slide_id", "x", "y", "features"]
    np.testing.assert_array_equal(np.array(table["features"].to_pylist()), first.features[:][first.valid])
    assert json.loads(table.schema.metadata[b"wsi_features"])["fingerprint"] == first.fingerprint
    assert "data/*.parquet" in (folder / "README.md").read_text()
    assert "CC-BY-NC-4.0" in (folder / "README.md").read_text()
    assert (folder / "labels.csv").read_text().splitlines()[1] == "first,tumour,train,p1"
