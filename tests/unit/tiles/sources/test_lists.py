"""Tile lists in tables, and the tiles that are made of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features.errors import CoordinatesError
from wsi_features.geometry import Size
from wsi_features.tiles.sources import Listed, TileList, place, read_list, span_of

WIDE = Size(1000, 600)


def written(tmp_path: Path, text: str, name: str = "list.csv") -> Path:
    (tmp_path / name).write_text(text)
    return tmp_path / name


def placed(path: Path, **more: Any) -> Listed:
    return place("s1", read_list("s1", path), WIDE, span=100, size=64, **more)


def test_rows_come_in_raster_order_with_their_own_number(tmp_path: Path) -> None:
    found = placed(written(tmp_path, "x,y,id,stage\n300,200,c,\n\n500,0,b,2\n0,0,a,1.5\n"))
    assert found.grid.origins.tolist() == [[0, 0], [500, 0], [300, 200]]
    assert found.columns["list_row"].tolist() == [2, 1, 0]
    assert found.columns["list:id"].tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(found.columns["list:stage"], [1.5, 2, np.nan])


def test_a_list_cut_from_a_grid_keeps_its_columns_and_rows(tmp_path: Path) -> None:
    found = placed(written(tmp_path, "x\ty\n110\t50\n310\t50\n710\t350\n", "list.tsv"))
    assert found.grid.index.tolist() == [[0, 0], [1, 0], [3, 1]]


@pytest.mark.parametrize(("x", "left"), [("400", 350), ("400.4", 350), ("400.5", 351), ("50", 0), ("49.6", 0)])
def test_a_centre_is_the_middle_of_its_tile(tmp_path: Path, x: str, left: int) -> None:
    found = placed(written(tmp_path, f"x,y\n{x},250\n"), at="centre")
    assert found.grid.origins.tolist() == [[left, 200]]


@pytest.mark.parametrize("name", ["tissue_positions.csv", "tissue_positions_list.csv"])
def test_spots_of_space_ranger_are_centres_without_being_asked(tmp_path: Path, name: str) -> None:
    header = "barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres\n"
    text = "AAAC-1,1,0,2,150,700\nAAAG-1,0,0,0,150,500\n"
    found = placed(written(tmp_path, text if "list" in name else header + text, name))
    assert found.grid.origins.tolist() == [[450, 100], [650, 100]]
    assert found.columns["list:id"].tolist() == ["AAAG-1", "AAAC-1"]
    assert found.columns["list:in_tissue"].tolist() == [0, 1]


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"x": [300.0, None], "y": [200, 0], "spot_id": ["c", "b"], "n": [2**25 + 1, 7], "m": [None, 3]}
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    found = placed(tmp_path / "list.parquet", faults="drop")
    assert (found.grid.origins.tolist(), dict(found.dropped)) == ([[300, 200]], {"no number": 1})
    assert found.columns["list:n"].tolist() == [2**25 + 1]
    assert found.columns["list:id"].tolist() == ["c"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("abc,7", r"line 4: x=abc, y=7; wanted are numbers for x and y"),
        (
            "901,7",
            r"line 4: x=901, y=7; a tile of 100 px there is not wholly on the slide of 1000 x 600 level-0 pixels",
        ),
        ("7,501", r"line 4: x=7, y=501; a tile of 100 px"),
        ("-1,7", r"line 4: x=-1, y=7"),
        ("1e300,7", r"line 4: x=1e300"),
        ("10.2,20", r"line 4: x=10.2, y=20; an earlier row has the same place \(1 of 3 rows are at fault\)"),
    ],
)
def test_a_row_at_fault_is_shown_with_its_line_and_the_remedy(tmp_path: Path, row: str, message: str) -> None:
    path = written(tmp_path, f"x,y\n10,20\n\n{row}\n900,500\n")
    with pytest.raises(CoordinatesError, match=rf"slide 's1': coordinates .*list.csv', {message}") as caught:
        placed(path)
    assert "set `tiles.coordinates_faults` to drop" in str(caught.value)
    assert placed(path, faults="drop").grid.origins.tolist() == [[10, 20], [900, 500]]


def test_what_is_dropped_is_counted_by_reason(tmp_path: Path) -> None:
    found = placed(written(tmp_path, "x,y\n10,20\n,3\n999,3\n10,20\n10,20\n"), faults="drop")
    assert dict(found.dropped) == {"no number": 1, "outside": 1, "twice": 2}
    assert found.columns["list_row"].tolist() == [0]


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("x,why\n1,2\n", "a.csv", r"have no column 'y' \(found: 'x', 'why'\). Name the columns x and y"),
        ("", "a.csv", r"have no column 'x' \(found: none\)"),
        ("x,y\n1,2\n3\n", "a.csv", r"line 3: 1 cells, the header has 2"),
        ("x,y,x\n1,2,3\n", "a.csv", r"have more than one column of 'x'"),
        ("x,y,size,size_um\n1,2,3,4\n", "a.csv", r"have more than one column of 'size', 'size_um'"),
        ("x,y\n1,2\n", "a.docx", r"cannot be read \(its name ends in '.docx'\). Give a CSV"),
        ("x,y\n1,2\n", "a.parquet", r"cannot be read"),
        ("x,y\n1,2\n", "a.h5", r"cannot be read"),
        ('x,y\n"1,2\n', "a.csv", r"cannot be read \(line 2"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, text: str, name: str, message: str) -> None:
    with pytest.raises(CoordinatesError, match=message):
        read_list("s1", written(tmp_path, text, name))


def test_sizes_are_pixels_or_microns() -> None:
    place_, sizes = np.zeros(2), np.array([55.0, np.nan])
    assert span_of("s1", TileList("l", place_, place_, sizes), 0.5) == 55
    assert span_of("s1", TileList("l", place_, place_, sizes, in_um=True), 0.2431) == 226
    assert span_of("s1", TileList("l", place_, place_), 0.5) is None


@pytest.mark.parametrize("size", ["0", "-5", "wide"])
def test_a_tile_without_a_size_is_at_fault(tmp_path: Path, size: str) -> None:
    with pytest.raises(
        CoordinatesError, match=rf"line 3: x=300, y=20, size={size}; wanted are numbers for x and y, and"
    ):
        placed(written(tmp_path, f"x,y,size\n10,20,100\n300,20,{size}\n"))


def test_tiles_of_several_sizes_are_refused_with_the_remedy() -> None:
    tiles = TileList("l.csv", np.zeros(2), np.zeros(2), np.array([55.0, 60.0]), in_um=True)
    with pytest.raises(CoordinatesError, match=r"tiles of 2 sizes \(55, 60 um\).*Split the list by size"):
        span_of("s1", tiles, 0.5)


def test_an_empty_list_gives_no_tiles(tmp_path: Path) -> None:
    found = placed(written(tmp_path, "x,y,id\n"))
    assert (len(found.grid), found.columns["list_row"].tolist(), dict(found.dropped)) == (0, [], {})
