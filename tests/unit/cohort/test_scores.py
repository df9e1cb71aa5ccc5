"""Tables of scores: written, read whoever wrote them, and joined to a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cohort.exports.conftest import write_store
from wsi_features.cohort.scores import SlideScores, read_scores, write_scores
from wsi_features.errors import ScoreError, ScoreTableError
from wsi_features.store import FeatureStore

COLUMNS = ("attention", "tumour")


def scores(slide_id: str, rows: list[int], store: str = "") -> SlideScores:
    """`attention` is the row, `tumour` the row + 1/2."""
    numbers = np.array(rows, np.int64)
    values = np.stack([numbers, numbers + 0.5], axis=1).astype(np.float32)
    return SlideScores(slide_id, numbers, COLUMNS, values, store)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    folder = tmp_path_factory.mktemp("stores")
    write_store(folder / "s1.zarr", 5, [])
    return FeatureStore.open(folder / "s1.zarr")


@pytest.fixture(scope="module")
def one_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


def test_what_is_written_is_read_in_the_order_of_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    count = write_scores(path, COLUMNS, [scores("s1", [4, 0, 2], "ab" * 32), scores("s2", [1])], {"model": "abmil"})
    table = read_scores(path)
    assert (count, table.columns, table.slide_ids, table.about) == (4, COLUMNS, ("s1", "s2"), {"model": "abmil"})
    first = table.of("s1")
    assert (first.rows.tolist(), first.store, table.of("s2").store) == ([0, 2, 4], "ab" * 32, "")
    assert first.values.tolist() == [[0, 0.5], [2, 2.5], [4, 4.5]]


def test_equal_scores_give_equal_bytes_and_a_row_group_a_slide(tmp_path: Path) -> None:
    write_scores(tmp_path / "a", COLUMNS, [scores("s1", [4, 0, 2]), scores("s2", [1])])
    write_scores(tmp_path / "b", COLUMNS, [scores("s1", [0, 2, 4]), scores("s2", [1])])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert pq.ParquetFile(tmp_path / "a").num_row_groups == 2


def test_a_slide_without_tiles_keeps_its_place(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", COLUMNS, [scores("glass", [], "cd" * 32)])
    table = read_scores(tmp_path / "scores.parquet")
    assert table.of("glass").values.shape == (0, 2)
    assert table.of("glass").store == "cd" * 32


def test_only_the_chosen_columns_are_read(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", COLUMNS, [scores("s1", [3, 1])])
    assert read_scores(tmp_path / "scores.parquet", ["tumour"]).of("s1").values.tolist() == [[1.5], [3.5]]


def test_a_slide_is_read_without_touching_the_bytes_of_others(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_scores(path, COLUMNS, [scores("s1", [0, 1]), scores("s2", [2, 3])])
    group = pq.ParquetFile(path).metadata.row_group(0)
    data = bytearray(path.read_bytes())
    start, size = group.column(2).data_page_offset, group.column(2).total_compressed_size
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    table = read_scores(path)
    assert table.of("s2").rows.tolist() == [2, 3]
    with pytest.raises(ScoreError, match=r"'s1'.*cannot be read"):
        table.of("s1")


def test_parquet_of_others_is_read_whatever_its_order_and_types(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "slide_id": pa.array([12, 7, 12, 7]),
        "row": pa.array([1.0, 0.0, 0.0, 3.0]),
        "p": pa.array([0.25, None, 0.5, 1.0]),
        "hot": pa.array([True, False, False, True]),
        "label": pa.array(["a", "b", "c", "d"]),
        "__index_level_0__": pa.array([3, 2, 1, 0]),
    }
    pq.write_table(pa.table(columns), tmp_path / "scores.parquet")
    table = read_scores(tmp_path / "scores.parquet")
    assert (table.columns, table.slide_ids) == (("p", "hot"), ("12", "7"))
    assert table.of("12").rows.tolist() == [0, 1]
    np.testing.assert_array_equal(table.of("12").values, [[0.5, 0], [0.25, 1]])
    np.testing.assert_array_equal(table.of("7").values, [[np.nan, 0], [1, 1]])


@pytest.mark.parametrize(("name", "separator"), [("scores.csv", ","), ("scores.tsv", "\t"), ("tabs.csv", "\t")])
def test_text_is_read_with_empty_cells_as_no_score(tmp_path: Path, name: str, separator: str) -> None:
    lines = [",slide_id,row,attention", "0,s1,3,0.5", "", "1, s1,1,", "2,s2,0,-1e-3"]
    (tmp_path / name).write_text("\n".join(lines).replace(",", separator), encoding="utf-8-sig")
    table = read_scores(tmp_path / name)
    assert (table.columns, table.slide_ids, table.of("s1").rows.tolist()) == (("attention",), ("s1", "s2"), [1, 3])
    np.testing.assert_array_equal(table.of("s1").values[:, 0], np.float32([np.nan, 0.5]))


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["s1,0,high"], r"line 2: `p` is 'high', wanted a number"),
        (["s1,0,inf"], r"line 2: `p` is 'inf'"),
        (["s1,0,1", "s1,1.5,1"], r"line 3: `row` is '1.5'"),
        (["s1,-1,1"], r"line 2: `row` is '-1'"),
        (["s1,0,1", "s2,0,1", "s1,0,2"], r"line 4: row 0 of slide 's1' is there twice"),
        (["s1,0"], r"line 2: 2 cells, and the header has 3"),
        (['s1,0,"1'], r"cannot be read"),
    ],
)
def test_text_that_is_no_score_is_refused_with_its_line(tmp_path: Path, lines: list[str], why: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(["slide_id,row,p", *lines]))
    with pytest.raises(ScoreTableError, match=why):
        read_scores(path)


@pytest.mark.parametrize(
    ("header", "columns", "why"),
    [
        ("slide,row,p", (), r"no column 'slide_id'; the columns are slide, row, p"),
        ("slide_id,row,p", ("q",), r"no column 'q'"),
        ("slide_id,row", (), r"no column of numbers"),
    ],
)
def test_a_table_without_its_columns_is_refused(
    tmp_path: Path, header: str, columns: tuple[str, ...], why: str
) -> None:
    (tmp_path / "scores.csv").write_text(header + "\n")
    names = header.split(",")
    pq.write_table(pa.table({name: pa.array([], pa.int32()) for name in names}), tmp_path / "scores.parquet")
    for name in ("scores.csv", "scores.parquet"):
        with pytest.raises(ScoreTableError, match=why):
            read_scores(tmp_path / name, columns)


def test_a_column_of_text_is_no_score(tmp_path: Path) -> None:
    pq.write_table(pa.table({"slide_id": ["s1"], "row": [0], "p": ["high"]}), tmp_path / "scores.parquet")
    with pytest.raises(ScoreTableError, match="'p' holds string, wanted numbers"):
        read_scores(tmp_path / "scores.parquet", ["p"])
    (tmp_path / "text.parquet").write_text("slide_id,row,p\n")
    with pytest.raises(ScoreTableError, match="cannot be read"):
        read_scores(tmp_path / "text.parquet")


@pytest.mark.parametrize(
    ("rows", "values", "why"),
    [
        ([0, 0], [1.0, 2.0], "row 0 twice"),
        ([0.5, 1], [1.0, 2.0], "whole numbers"),
        ([None, 1], [1.0, 2.0], "whole numbers"),
        ([0, -2], [1.0, 2.0], "-2 as `row`"),
        ([0, 1], [1.0, np.inf], "infinite"),
    ],
)
def test_parquet_of_no_scores_fails_its_slide(tmp_path: Path, rows: list[Any], values: list[float], why: str) -> None:
    pq.write_table(pa.table({"slide_id": ["s1"] * 2, "row": rows, "p": values}), tmp_path / "scores.parquet")
    with pytest.raises(ScoreError, match=f"'s1'.*{why}"):
        read_scores(tmp_path / "scores.parquet").of("s1")


def test_a_slide_that_is_not_in_the_table_is_named(tmp_path: Path) -> None:
    write_scores(tmp_path / "scores.parquet", COLUMNS, [scores("s1", [0])])
    with pytest.raises(ScoreError, match="'s9' has no scores"):
        read_scores(tmp_path / "scores.parquet").of("s9")


def test_what_cannot_be_written_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    with pytest.raises(ScoreError, match="'s1'.*given twice"):
        write_scores(path, COLUMNS, [scores("s1", [0]), scores("s1", [1])])
    with pytest.raises(ScoreError, match="row 3 twice"):
        write_scores(path, COLUMNS, [scores("s1", [3, 3])])
    with pytest.raises(ScoreError, match=r"of attention, tumour.*\(1, 1\) of other"):
        write_scores(path, ("other",), [scores("s1", [3])])
    assert list(tmp_path.iterdir()) == []


def test_a_store_gets_a_value_for_every_row(store: FeatureStore) -> None:
    joined = scores("s1", [3, 0], store.fingerprint).joined(store)
    np.testing.assert_array_equal(joined[:, 0], [0, np.nan, np.nan, 3, np.nan])
    np.testing.assert_array_equal(joined[:, 1], [0.5, np.nan, np.nan, 3.5, np.nan])


@pytest.mark.parametrize(
    ("rows", "fingerprint", "why"),
    [
        ([0], "0" * 64, r"of the store with fingerprint 00000000.*--feature-set"),
        ([5], "", r"row 5, and feature store .* has the rows 0 to 4"),
        ([1, 1], "", r"row 1 twice"),
    ],
)
def test_scores_of_other_tiles_are_refused(store: FeatureStore, rows: list[int], fingerprint: str, why: str) -> None:
    with pytest.raises(ScoreError, match=why):
        scores("s1", rows, fingerprint).joined(store)


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,12}", fullmatch=True),
        st.dictionaries(st.integers(0, 2**31 - 1), st.floats(width=32, allow_infinity=False), max_size=6),
        max_size=4,
    )
)
def test_any_scores_come_back(one_folder: Path, cohort: dict[str, dict[int, float]]) -> None:
    path = one_folder / "scores.parquet"
    slides = [
        SlideScores(name, np.array(list(of), np.int64), ("p",), np.array([list(of.values())], np.float32).T)
        for name, of in cohort.items()
    ]
    assert write_scores(path, ("p",), slides) == sum(len(of) for of in cohort.values())
    table = read_scores(path)
    assert set(table.slide_ids) == set(cohort)
    for name, of in cohort.items():
        found = table.of(name)
        assert found.rows.tolist() == sorted(of)
        np.testing.assert_array_equal(found.values[:, 0], np.float32([of[row] for row in sorted(of)]))
