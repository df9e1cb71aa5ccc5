"""Statistics and the table of all tiles of a cohort."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.keep import write_keep_marks
from wsi_features.cohort.statistics import _Moments
from wsi_features.errors import ArtifactError

from .conftest import TILES


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
    assert cohort.write_tile_table(tmp_path / "tiles.parquet") == sum(TILES)
    table = pq.read_table(tmp_path / "tiles.parquet").to_pandas()
    assert list(table) == ["slide_id", "row", "x", "y", "column", "line", "valid", "keep", "tissue", "blur"]
    one = table[table.slide_id == "s5"]
    store = cohort.store("s5")
    np.testing.assert_array_equal(one[["x", "y"]], store.coords)
    np.testing.assert_array_equal(one["blur"], store.columns["blur"])
    assert one.valid.tolist() == one.keep.tolist() == store.valid.tolist()


def test_a_slide_without_tiles_takes_no_rows_of_the_table(cohort: Cohort, tmp_path: Path) -> None:
    cohort.write_tile_table(tmp_path / "deep" / "t.parquet")
    found = pq.read_table(tmp_path / "deep" / "t.parquet", columns=["slide_id"])["slide_id"].unique()
    assert sorted(found.to_pylist()) == sorted(f"s{k}" for k in range(13) if k != 2)
    with pytest.raises(ArtifactError, match="keep marks"):
        cohort.write_tile_table(tmp_path / "none.parquet", "no_such")
    assert not (tmp_path / "none.parquet").exists()
