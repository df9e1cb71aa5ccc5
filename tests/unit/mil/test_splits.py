"""Splits divide no group, keep classes even, and refuse leaks by name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features import mil
from wsi_features.errors import SplitError
from wsi_features.mil.splits import joined_groups

GROUPS = st.lists(st.integers(0, 12).map(str), min_size=8, max_size=60).filter(lambda names: len(set(names)) >= 5)


def names_of(split: mil.Split, groups: list[str]) -> list[set[str]]:
    return [{groups[k] for k in items} for items in split.parts().values()]


@given(GROUPS, st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_no_group_is_on_two_sides_and_every_bag_on_one(groups: list[str], seed: int) -> None:
    split = mil.grouped_split(groups, seed=seed)
    train, val, test = names_of(split, groups)
    assert len(train | val | test) == len(train) + len(val) + len(test)
    assert sorted(np.concatenate(list(split.parts().values()))) == list(range(len(groups)))
    assert min(map(len, (train, val, test))) >= 1
    split.refuse_leaks([str(k) for k in range(len(groups))], patient=groups)


@given(GROUPS, st.integers(3, 5))
@settings(max_examples=60, deadline=None)
def test_each_bag_is_tested_in_one_fold_and_validates_in_one(groups: list[str], k: int) -> None:
    folds = mil.k_folds(groups, k)
    for part in ("test", "val"):
        found = np.concatenate([getattr(fold, part) for fold in folds])
        assert sorted(found) == list(range(len(groups)))
    for fold in folds:
        fold.refuse_leaks([str(i) for i in range(len(groups))], patient=groups)


def test_classes_are_as_frequent_in_every_part() -> None:
    rng = np.random.default_rng(0)
    patient_class = (np.arange(120) % 6 == 0).astype(int)
    patients = np.repeat(np.arange(120), rng.integers(1, 4, 120))
    strata, groups = patient_class[patients], [f"p{k}" for k in patients]
    for fold in mil.k_folds(groups, 4, strata, val=False):
        assert abs(strata[fold.test].mean() - strata.mean()) < 0.02
        assert abs(len(fold.test) / len(groups) - 0.25) < 0.02
    split = mil.grouped_split(groups, (0.6, 0.2, 0.2), strata)
    assert abs(strata[split.val].mean() - strata.mean()) < 0.03
    assert abs(len(split.train) / len(groups) - 0.6) < 0.02


def test_seeds_give_other_splits_and_equal_seeds_equal_ones() -> None:
    groups = [str(k // 2) for k in range(60)]
    tests = [tuple(mil.grouped_split(groups, seed=seed).test) for seed in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]


def test_patients_and_sites_together_hold_what_shares_either() -> None:
    patients, sites = ["a", "b", "b", "c", "d"], ["1", "1", "2", "3", "3"]
    assert joined_groups(patients, sites).tolist() == [0, 0, 0, 1, 1]
    split = mil.grouped_split([patients, sites], (0.5, 0.0, 0.5))
    split.refuse_leaks(list("vwxyz"), patient=patients, site=sites)
    assert not len(split.val)


def test_a_patient_on_two_sides_is_refused_by_name() -> None:
    split = mil.given_split({"train": ["s1", "s2"], "test": ["s3"]}, ["s1", "s2", "s3"])
    with pytest.raises(SplitError, match="patient 'p7' is in train and test \\('s2', 's3'\\)"):
        split.refuse_leaks(["s1", "s2", "s3"], patient=["p1", "p7", "p7"])


def test_a_bag_on_two_sides_or_of_another_data_set_is_refused() -> None:
    with pytest.raises(SplitError, match="bag 's1' is in train and val"):
        mil.given_split({"train": ["s1"], "val": ["s1"]}, ["s1"]).refuse_leaks(["s1"])
    with pytest.raises(SplitError, match="names 's9' in val"):
        mil.given_split({"val": ["s9"]}, ["s1"])


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(SplitError, match="2 different groups of bags cannot fill 3 parts"):
        mil.grouped_split(["a", "b", "a"])
    with pytest.raises(SplitError, match="cannot fill 5 parts"):
        mil.k_folds(["a", "b", "c"], 5)
    with pytest.raises(SplitError, match="shares of train, val and test are \\[0.5, 0.6, 0.1\\]"):
        mil.grouped_split(["a", "b", "c"], (0.5, 0.6, 0.1))


def test_a_patient_of_many_bags_does_not_make_folds_uneven() -> None:
    groups = [f"p{k}" for k in range(10)] + ["many"] * 10
    assert [len(fold.test) for fold in mil.k_folds(groups, 2, val=False)] == [10, 10]


def test_a_rare_class_is_in_every_fold() -> None:
    strata = np.array([1] * 4 + [0] * 96)
    for seed in range(5):
        folds = mil.k_folds([str(k) for k in range(100)], 4, strata, seed)
        assert [int(strata[fold.test].sum()) for fold in folds] == [1, 1, 1, 1]


def test_no_part_that_was_asked_for_is_empty() -> None:
    assert [len(items) for items in mil.grouped_split(list("abc"), (0.98, 0.01, 0.01)).parts().values()] == [1, 1, 1]


@pytest.mark.parametrize("seed", range(8))
def test_even_four_patients_leave_both_classes_to_training(seed: int) -> None:
    split = mil.grouped_split(list("abcd"), (0.7, 0.15, 0.15), np.array([0, 1, 0, 1]), seed)
    assert split.train.size == 2
    assert set((split.train % 2).tolist()) == {0, 1}
