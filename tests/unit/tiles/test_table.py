import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from wsi_features.errors import ArtifactError
from wsi_features.geometry import Region, Size
from wsi_features.tiles import TileTable, read_tiles, regular_grid, tile_scale, write_tiles


def table() -> TileTable:
    scale = tile_scale("s1", (1.0, 4.0003), native=0.2431, asked=1.0, size=64)
    grid = regular_grid(Size(1900, 1100), scale)
    share = np.linspace(0, 1, len(grid), dtype=np.float32)
    return TileTable(grid, scale, Size(1900, 1100), share, 99, "f" * 64)


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    write_tiles(tmp_path / "a.parquet", table())
    found = read_tiles("s1", tmp_path / "a.parquet")
    assert (found.scale, found.slide_size, found.candidates, found.fingerprint) == (
        table().scale, Size(1900, 1100), 99, "f" * 64,
    )  # fmt: skip
    np.testing.assert_array_equal(found.grid.origins, table().grid.origins)
    np.testing.assert_array_equal(found.grid.index, table().grid.index)
    np.testing.assert_array_equal(found.tissue_share, table().tissue_share)


def test_the_bounds_that_were_used_come_back(tmp_path: Path) -> None:
    write_tiles(tmp_path / "a", replace(table(), bounds=Region(5, 7, 900, 800)))
    assert read_tiles("s1", tmp_path / "a").bounds == Region(5, 7, 900, 800)


def test_each_axis_keeps_its_downsample(tmp_path: Path) -> None:
    scale = replace(table().scale, downsample_x=4.0, downsample_y=4.5)
    write_tiles(tmp_path / "a", replace(table(), scale=scale))
    assert read_tiles("s1", tmp_path / "a").scale == scale


def test_a_table_with_one_downsample_and_no_bounds_is_still_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    write_tiles(tmp_path / "a", table())
    arrow = pq.read_table(tmp_path / "a", partitioning=None)
    about = json.loads(arrow.schema.metadata[b"wsi_features"])
    about["scale"] = {k: v for k, v in about["scale"].items() if k[:10] != "downsample"} | {"downsample": 4.0003}
    del about["bounds"]
    pq.write_table(arrow.replace_schema_metadata({b"wsi_features": json.dumps(about)}), tmp_path / "a")
    found = read_tiles("s1", tmp_path / "a")
    assert (found.scale, found.bounds) == (table().scale, None)


def test_equal_tables_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tiles(tmp_path / name, table())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_slide_without_tiles_has_an_empty_table(tmp_path: Path) -> None:
    none = np.zeros(len(table()), np.bool_)
    write_tiles(tmp_path / "a", replace(table(), grid=table().grid.keep(none), tissue_share=table().tissue_share[none]))
    assert len(read_tiles("s1", tmp_path / "a")) == 0


def test_an_absent_table_names_the_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="slide 's1': no tile table at .*Run the stage before"):
        read_tiles("s1", tmp_path / "gone")


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_cut_table_is_called_damaged(tmp_path: Path, keep: int) -> None:
    write_tiles(tmp_path / "a", table())
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:keep])
    with pytest.raises(ArtifactError, match="cannot be read .*Delete it and run its stage again"):
        read_tiles("s1", tmp_path / "a")


def with_extra() -> TileTable:
    n = len(table())
    extra = {
        "list:id": np.array([f"spot-{i}" for i in range(n)]),
        "list_row": np.arange(n)[::-1],
        "list:count": np.full(n, 2**25 + 1),
        "list:stage": np.linspace(0, 1, n) / 3,
    }
    return replace(table(), extra=extra, dropped={"outside": 2})


def test_further_columns_and_what_was_dropped_come_back(tmp_path: Path) -> None:
    write_tiles(tmp_path / "a", with_extra())
    found = read_tiles("s1", tmp_path / "a")
    assert dict(found.dropped) == {"outside": 2}
    for name, values in with_extra().extra.items():
        np.testing.assert_array_equal(found.extra[name], values)


def test_numbers_that_would_change_and_text_stay_out_of_stores() -> None:
    numbers = with_extra().numbers()
    assert list(numbers) == ["list_row", "list:stage"]
    assert {values.dtype for values in numbers.values()} == {np.dtype(np.float32)}


def test_a_part_of_a_table_keeps_all_columns_of_its_rows() -> None:
    wanted = np.arange(len(table())) % 3 == 1
    found = with_extra().keep(wanted)
    assert found.extra["list:id"].tolist() == with_extra().extra["list:id"][wanted].tolist()
    np.testing.assert_array_equal(found.grid.origins, table().grid.origins[wanted])
    np.testing.assert_array_equal(found.tissue_share, table().tissue_share[wanted])
