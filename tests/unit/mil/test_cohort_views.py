"""Statistics and the table of all tiles of a cohort."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.store.conftest import Samples
from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.keep import write_keep_marks
from wsi_features.cohort.statistics import _Moments
from wsi_features.cohort.tile_table import FIXED
from wsi_features.errors import ArtifactError, BagError, OutputError, StoreError
from wsi_features.geometry import Mpp, Size, SlidePx
from wsi_features.store import layout
from wsi_features.store.archive import pack
from wsi_features.tiles import TileGrid, TileScale, TileTable, write_tiles

from .conftest import DIM, SETS, TILES, write_cohort


def test_statistics_are_those_of_all_valid_tiles_at_once(cohort: Cohort) -> None:
    rows = np.concatenate([store.features[...][store.valid] for store in cohort]).astype(np.float64)
    found = cohort.statistics()
    assert found.n == len(rows) == sum(TILES) - 3
    np.testing.assert_allclose(found.mean, rows.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.std, rows.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal([found.min, found.max], [rows.min(axis=0), rows.max(axis=0)])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_blocks_of_any_sizes_join_to_the_statistics_of_all(sizes: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).normal(1e5, 1e-2, (sum(sizes), 2))  # a sum of squares would lose the spread
    total = _Moments.none(2)
    for block in np.split(values, np.cumsum(sizes)[:-1]):
        total = total.joined(_Moments.of(block))
    np.testing.assert_allclose(total.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(total.squares / total.n, values.var(axis=0), rtol=1e-6)


def test_statistics_follow_the_keep_marks(cohort: Cohort) -> None:
    for store in cohort:
        write_keep_marks(cohort.out, store, {"tissue": {"max": 0.5}}, "first_rows")  # rows 0 to 2
    found = cohort.statistics("first_rows")
    assert (found.n, found.max[1]) == (sum(min(3, n) for n in TILES) - 2, 2)


def test_the_table_of_tiles_has_each_tile_once_with_its_place(cohort: Cohort, tmp_path: Path) -> None:
    assert cohort.tile_table().write(tmp_path / "tiles.parquet") == sum(TILES)
    table = pq.read_table(tmp_path / "tiles.parquet").to_pandas()
    assert list(table) == [*FIXED, "tissue", "blur"]
    one = table[table.slide_id == "s5"]
    store = cohort.store("s5")
    np.testing.assert_array_equal(one[["x", "y"]], store.coords)
    np.testing.assert_array_equal(one[["column", "line"]], store.grid)
    np.testing.assert_array_equal(one["blur"], store.columns["blur"])
    assert one.valid.tolist() == one.keep.tolist() == store.valid.tolist()


def test_the_table_says_whose_each_tile_is(cohort: Cohort, nameless: Cohort) -> None:
    table = cohort.tile_table().read().to_pandas().groupby("slide_id", observed=True).first()
    assert table.loc["s9", ["patient_id", "stain", "block"]].tolist() == ["p4", "Ki-67", "B9"]
    assert nameless.tile_table().read()["patient_id"].null_count == 4 + 6 + 5


def test_a_slide_without_tiles_takes_no_rows_of_the_table(cohort: Cohort, tmp_path: Path) -> None:
    cohort.tile_table().write(tmp_path / "deep" / "t.parquet")
    found = pq.read_table(tmp_path / "deep" / "t.parquet", columns=["slide_id"])["slide_id"].unique()
    assert sorted(found.to_pylist()) == sorted(f"s{k}" for k in range(13) if k != 2)
    with pytest.raises(ArtifactError, match="keep marks"):
        cohort.tile_table("no_such").write(tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()


def test_the_table_is_read_a_slide_at_a_time(cohort: Cohort) -> None:
    reader = cohort.tile_table().reader()
    assert len(reader.read_next_batch()) == TILES[0]
    assert [len(batch) for batch in reader] == list(TILES[1:])


def test_marks_are_joined_to_the_table_by_row(cohort: Cohort) -> None:
    for store in cohort:
        write_keep_marks(cohort.out, store, {"tissue": {"max": 0.5}}, "few")
    table = cohort.tile_table("few", marks=["few"]).read().to_pandas()
    assert list(table)[-3:] == ["few:keep", "few:invalid", "few:tissue_high"]
    np.testing.assert_array_equal(table["few:keep"] == 1, table["keep"])
    np.testing.assert_array_equal(table["few:invalid"] == 0, table["valid"])
    assert table["keep"].sum() < table["valid"].sum()
    with pytest.raises(ArtifactError, match="slide 's0': marks 'nobody' are not one folder"):
        cohort.tile_table(marks=["nobody"]).schema()


def list_tiles(cohort: Cohort, number: int, extra: dict[str, np.ndarray]) -> None:
    """The tile table of a slide, as of a list whose further columns were `extra`."""
    store = cohort.store(f"s{number}")
    scale = TileScale(Mpp(0.25), Mpp(0.5), 256, SlidePx(512), SlidePx(512), 0, 1.0, 1.0)
    grid = TileGrid(store.coords.astype(np.int64), store.grid, scale.span, 256)
    share = np.ones(len(store), np.float32)
    fingerprint = store.provenance.fingerprints["tiles"]
    path = cohort.out.tiles("256px", f"s{number}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tiles(path, TileTable(grid, scale, Size(9000, 7000), share, len(store), fingerprint, extra=extra))


def test_what_a_list_said_of_tiles_is_joined_with_a_type_for_all_slides(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path, (2, 3))
    list_tiles(cohort, 0, {"blur": np.zeros(2), "row": np.array([7, 8])})
    list_tiles(cohort, 1, {"spot": np.array(["a", "b", "c"]), "row": np.array([0.5, 1.5, 2.5])})
    table = cohort.tile_table(listed=True).read()
    assert table.column_names[-2:] == ["listed:row", "spot"]  # blur is in the store
    assert table["blur"].to_pylist() == [*cohort.store("s0").columns["blur"], *cohort.store("s1").columns["blur"]]
    assert table["spot"].to_pylist() == [None, None, "a", "b", "c"]
    assert table["listed:row"].to_pylist() == [7, 8, 0.5, 1.5, 2.5]


def test_patients_have_slides_with_stain_block_and_rows(cohort: Cohort, nameless: Cohort) -> None:
    patients = cohort.patients()
    assert list(patients) == [f"p{k}" for k in range(7)]
    third, empty = patients["p1"][1], patients["p1"][0]
    assert (third.slide_id, third.stain, third.block, len(third.rows)) == ("s3", "Ki-67", "B3", TILES[3])
    assert (empty.slide_id, len(empty.rows)) == ("s2", 0)
    first = patients["p0"][1]
    assert first.store is not None
    np.testing.assert_array_equal(first.store.features[:][first.rows][:, 1], [1, 2, 3, 4, 5, 6, *range(8, TILES[1])])
    assert [slide.slide_id for slide in nameless.patients()[""]] == ["s0", "s1", "s2"]


def test_a_slide_of_a_patient_without_store_has_no_rows(cohort: Cohort) -> None:
    gone = Cohort(cohort.out, cohort.manifest, cohort.status, "no_such_set")
    assert [(slide.store, len(slide.rows)) for slide in gone.patients()["p6"]] == [(None, 0)]


def test_slides_of_other_widths_have_no_common_view(tmp_path: Path) -> None:
    cohort = write_cohort(tmp_path, (4, 0, 6))
    shutil.rmtree(cohort.store("s2").path)
    content = Samples.content(6, 4, slide_id="s2", fingerprint="ab" * 32)
    Samples.write(tmp_path / "features" / SETS, content, np.ones((6, 4), np.float32))
    for view in (cohort.statistics, cohort.lazy_features):
        with pytest.raises(BagError, match="slide 's2' has features of width 4, the others 6"):
            view()


def test_a_folder_whose_last_run_wrote_no_features_says_what_there_is(cohort: Cohort) -> None:
    with pytest.raises(OutputError, match="the last run wrote no features. Choose one by its name: tiny__256px"):
        Cohort.open(cohort.out.root)
    with pytest.raises(OutputError, match="no feature set begins with 'uni'. Choose one by its name: tiny__256px"):
        Cohort.open(cohort.out.root, "uni")


def test_chunks_of_the_lazy_array_are_those_of_the_stores(cohort: Cohort) -> None:
    features, bounds = cohort.lazy_features()
    wanted = [min(8, n - start) for n in TILES for start in range(0, n, 8)]
    assert list(features.chunks[0]) == wanted
    assert features.chunks[1] == (DIM,)
    assert bounds.tolist() == np.cumsum([0, *TILES]).tolist()


def test_the_lazy_array_reads_only_the_chunks_that_are_asked_for(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "CHUNK_ROWS", 8)
        cohort = write_cohort(tmp_path, (20, 0, 9))
    features, bounds = cohort.lazy_features()
    for chunk in ("s0.zarr/features/c/0/0", "s0.zarr/features/c/2/0", "s2.zarr/features/c/0/0"):
        path = cohort.out.features / SETS / chunk
        path.write_bytes(b"\7" * path.stat().st_size)
    assert features[8:16, 1].compute().tolist() == list(range(8, 16))
    assert features[int(bounds[2]) + 8 :, :2].compute().tolist() == [[2, 8]]
    with pytest.raises(StoreError, match="s0.zarr"):
        features[7:16].compute()


def test_stores_of_one_file_and_empty_ones_are_in_the_lazy_array(cohort: Cohort, tmp_path: Path) -> None:
    shutil.copytree(cohort.out.root, tmp_path, dirs_exist_ok=True)
    for store in list(Cohort.open(tmp_path, SETS)):
        pack(store.path, store.path.with_name(f"{store.path.name}.zip"))
        shutil.rmtree(store.path)
    features, bounds = Cohort.open(tmp_path, SETS).lazy_features()
    assert features.chunks == cohort.lazy_features()[0].chunks
    rows = features[:, :2].compute()
    wanted = [[k, row] for k, n in enumerate(TILES) for row in range(n)]
    assert len(rows) == int(bounds[-1]) == len(wanted)
    valid = np.isfinite(rows[:, 0])
    np.testing.assert_array_equal(rows[valid], np.array(wanted)[valid])
    assert np.count_nonzero(~valid) == 3
