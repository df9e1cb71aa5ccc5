"""Folds of a file: both layouts, what a patient on two sides becomes, and labels shuffled as a control."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wsi_features import mil
from wsi_features.cohort.cohort import Cohort
from wsi_features.errors import LabelError, SplitError
from wsi_features.mil.folds_file import folds_of, not_in_folds
from wsi_features.mil.shuffled import shuffled_labels

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def text(lines: str) -> Path:
        (tmp_path / "folds.csv").write_text(lines.replace(" ", "\n") + "\n")
        return tmp_path / "folds.csv"

    return text


@pytest.fixture(scope="module")
def bags(cohort: Cohort, sheet: Path) -> mil.BagDataset:
    """Slides s0, s1 of p0, then p2 (s4, s5) to p6 (s12); p1 has no grade."""
    return mil.BagDataset.open(cohort, mil.classification(mil.read_table(sheet), "grade"))


def patients(bags: mil.BagDataset) -> dict[str, tuple[str, ...]]:
    return {"patient": bags.groups()}


def named(bags: mil.BagDataset, split: mil.Split) -> list[str]:
    return [" ".join(sorted({bags.groups()[k] for k in items})) for items in split.parts().values()]


def test_each_fold_tests_once_and_the_next_one_validates(bags: mil.BagDataset, write: Write) -> None:
    file = write("patient_id,fold p0,0 p2,0 p3,2 p4,10 p5,10 p6,2 p99,0")
    splits = folds_of(file, bags, patients(bags))
    assert [named(bags, split) for split in splits] == [
        ["p4 p5", "p3 p6", "p0 p2"],
        ["p0 p2", "p4 p5", "p3 p6"],
        ["p3 p6", "p0 p2", "p4 p5"],
    ]
    assert not_in_folds(file, bags) == {}


def test_one_split_is_one_fold_and_who_is_not_in_it_is_named(bags: mil.BagDataset, write: Write) -> None:
    file = write("patient_id,fold p0,train p2,Training p3,validation p4,test p5,test")
    (split,) = folds_of(file, bags, patients(bags))
    assert named(bags, split) == ["p0 p2", "p3", "p4 p5"]
    assert not_in_folds(file, bags) == {"s12": "not in folds.csv"}


def test_without_validation_some_training_patients_validate(bags: mil.BagDataset, write: Write) -> None:
    file = write("patient_id,fold p0,a p2,a p3,a p4,b p5,b p6,b")
    splits = folds_of(file, bags, patients(bags), seed=3)
    assert [named(bags, split)[2] for split in splits] == ["p0 p2 p3", "p4 p5 p6"]
    for split in splits:
        train, val = (set(part.split()) for part in named(bags, split)[:2])
        assert len(val) == 1
        assert not train & val
    assert [s.val.tolist() for s in splits] == [s.val.tolist() for s in folds_of(file, bags, patients(bags), seed=3)]


def test_a_column_a_fold_is_what_a_training_writes(bags: mil.BagDataset, write: Write) -> None:
    file = write("slide_id,patient_id,fold_1,fold_0 s0,p0,train,test s1,p0,train,test s4,p2,test,train s6,p3,val,val")
    splits = folds_of(file, bags, patients(bags))
    assert [named(bags, split) for split in splits] == [["p2", "p3", "p0"], ["p0", "p3", "p2"]]
    assert set(not_in_folds(file, bags)) == {"s5", "s7", "s8", "s9", "s10", "s11", "s12"}


def test_a_patient_on_two_sides_is_refused_by_name(cohort: Cohort, bags: mil.BagDataset, write: Write) -> None:
    file = write("slide_id,fold s0,train s1,test s4,train s5,train s6,test")
    with pytest.raises(SplitError, match=r"patient 'p0' is in train and test \('s0', 's1'\)"):
        folds_of(file, bags, patients(bags))
    of_patients = mil.BagDataset.open(cohort, None, mil.BagRecipe(unit="patient"))
    with pytest.raises(SplitError, match="patient_id 'p0' is in test and train"):
        folds_of(file, of_patients, {"patient": of_patients.groups()})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("patient_id,fold_0 p0,train p2,tset", "'s4': `fold_0` is 'tset', wanted train, val, test or nothing"),
        ("patient_id,fold p0,train p2,train", "`fold` leaves no bag to test on"),
        ("patient_id,fold p0,7 p2,7", "`fold` holds '7' for the bags, and two folds are the least"),
        ("patient_id,fold_0,fold_1 p0,test,test p2,train,train p3,val,val", "bag 's0' is tested in more than one fold"),
    ],
)
def test_folds_that_are_none_are_refused_with_the_value(
    bags: mil.BagDataset, write: Write, lines: str, said: str
) -> None:
    with pytest.raises(SplitError, match=said):
        folds_of(write(lines), bags, patients(bags))


def test_a_file_without_folds_is_refused_with_its_columns(bags: mil.BagDataset, write: Write) -> None:
    with pytest.raises(LabelError, match="no column 'fold'; the columns are patient_id, part"):
        folds_of(write("patient_id,part p0,train"), bags, patients(bags))


def test_shuffled_labels_keep_patients_together_and_change_by_the_seed(bags: mil.BagDataset) -> None:
    found = {seed: shuffled_labels(bags, bags.groups(), seed) for seed in range(6)}
    for shuffled in found.values():
        of = dict(zip(bags.groups(), (bag.label for bag in shuffled.bags), strict=True))
        assert [bag.label for bag in shuffled.bags] == [of[patient] for patient in bags.groups()]
        assert sorted(of.values()) == [0, 0, 0, 0, 1, 1]
        assert [bag.slides for bag in shuffled.bags] == [bag.slides for bag in bags.bags]
    assert len({tuple(bag.label for bag in shuffled.bags) for shuffled in found.values()}) > 2
    again = shuffled_labels(bags, bags.groups(), 4)
    assert [bag.label for bag in again.bags] == [bag.label for bag in found[4].bags]
