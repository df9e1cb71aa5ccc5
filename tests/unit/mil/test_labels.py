"""Labels of a table, and what is refused in one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features import mil
from wsi_features.errors import LabelError
from wsi_features.mil.labels import strata


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def make(text: str, name: str = "t.csv") -> mil.Table:
        (tmp_path / name).write_text(text)
        return mil.read_table(tmp_path / name)

    return make


def test_classes_are_numbered_by_their_sorted_names_or_as_listed(table: Any) -> None:
    sheet = table("slide_id,g\na,high\nb,low\nc,\nd,high\n")
    assert mil.classification(sheet, "g").values == {"a": 0, "b": 1, "d": 0}
    assert mil.classification(sheet, "g", ["low", "high"]).values == {"a": 1, "b": 0, "d": 1}
    with pytest.raises(LabelError, match="'a': `g` is 'high', wanted one of low, mid"):
        mil.classification(sheet, "g", ["low", "mid"])


def test_events_are_read_as_tables_write_them(table: Any) -> None:
    sheet = table("patient_id\tmonths\tstatus\na\t3.5\t1:DECEASED\nb\t8\t0:LIVING\nc\t2\tDead\nd\t\t\n", "t.tsv")
    labels = mil.survival(sheet, "months", "status")
    assert (labels.key, labels.values) == ("patient_id", {"a": (3.5, 1.0), "b": (8.0, 0.0), "c": (2.0, 1.0)})


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("a,-1,1", "`months` is '-1', wanted a time of 0 or more"),
        ("a,x,1", "`months` is 'x', wanted a finite number"),
        ("a,,1", "`months` is '', wanted a finite number"),
        ("a,3,", "`status` is '', wanted 1 \\(seen\\) or 0 \\(censored\\)"),
        ("a,3,2", "`status` is '2'"),
    ],
)
def test_a_time_without_an_event_or_a_wrong_one_is_refused(table: Any, line: str, wanted: str) -> None:
    with pytest.raises(LabelError, match=f"'a': {wanted}"):
        mil.survival(table(f"slide_id,months,status\n{line}\n"), "months", "status")


def test_several_numbers_are_one_target(table: Any) -> None:
    labels = mil.regression(table("slide_id,x,y\na,1,2\nb,,2\n"), ("x", "y"))
    assert (labels.names, labels.values) == (("x", "y"), {"a": (1.0, 2.0)})
    with pytest.raises(LabelError, match="`x` is 'nan', wanted a finite number"):
        mil.regression(table("slide_id,x\na,nan\n"), "x")


@pytest.mark.parametrize("unknown", ["NA", "nan", "n/a", "<NA>"])
def test_a_class_that_is_not_known_is_no_class(table: Any, unknown: str) -> None:
    labels = mil.classification(table(f"slide_id,g\na,high\nb,{unknown}\nc,none\n"), "g")
    assert (labels.names, labels.values) == (("high", "none"), {"a": 0, "c": 1})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("slide_id,g\na,1\na,2\n", "line 3: slide_id 'a' is there twice"),
        ("name,g\na,1\n", "no column `slide_id` or `patient_id`; the columns are name, g"),
        ("", "no column `slide_id` or `patient_id`; the file is empty"),
        ("slide_id,g\na\n", "line 2 has not as many cells"),
    ],
)
def test_a_table_with_a_fault_is_refused_with_the_place(table: Any, text: str, wanted: str) -> None:
    with pytest.raises(LabelError, match=wanted):
        table(text)


def test_a_column_that_is_not_there_is_refused(table: Any) -> None:
    with pytest.raises(LabelError, match="no column 'grade'; the columns are slide_id, g"):
        mil.classification(table("slide_id,g\na,1\n"), "grade")


def test_rare_classes_weigh_more_and_the_mean_weight_of_a_bag_is_one() -> None:
    labels = np.array([0, 0, 0, 1])
    np.testing.assert_allclose(mil.class_weights(labels, ["a", "b"]), [4 / 6, 2], rtol=1e-6)
    effective = mil.class_weights(labels, ["a", "b"], beta=0.9)
    assert effective[1] > effective[0]
    assert effective[labels].mean() == pytest.approx(1)
    with pytest.raises(LabelError, match="class 'c' is not one of those with bags \\('a', 'b'\\)"):
        mil.class_weights(labels, ["a", "b", "c"])


def test_strata_are_classes_events_or_quantiles() -> None:
    assert strata("classification", [2, 0]).tolist() == [2, 0]
    assert strata("survival", [(3.0, 1.0), (5.0, 0.0)]).tolist() == [1, 0]
    assert strata("regression", [(float(k),) for k in range(8)]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
