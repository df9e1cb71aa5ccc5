"""Metrics against scikit-learn, scipy and a plain twin; resamples against bags that are really repeated."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as known

from wsi_features.mil.training.bootstrap import intervals, resampled_counts
from wsi_features.mil.training.metrics import c_index, metrics_of, ranks


def classes(count: int, bags: int = 40, seed: int = 0) -> tuple[Any, Any]:
    """Labels and probabilities that know a little of them, some of them equal."""
    rng = np.random.default_rng(seed)
    label = np.concatenate([np.arange(count), rng.integers(0, count, bags - count)])
    output = rng.integers(1, 6, (bags, count)) + 2.0 * (np.arange(count) == label[:, None])
    return label, (output / output.sum(axis=1, keepdims=True)).astype(np.float32)


def once(found: dict[str, Any], bags: int) -> dict[str, float]:
    return {name: float(metric(np.ones((1, bags)))[0]) for name, metric in found.items()}


def test_metrics_of_two_classes_are_scikit_learns() -> None:
    label, output = classes(2)
    found, said = once(metrics_of("classification", ("no", "yes"), label, output), 40), output.argmax(axis=1)
    assert found == pytest.approx(
        {
            "auc": known.roc_auc_score(label, output[:, 1]),
            "balanced_accuracy": known.balanced_accuracy_score(label, said),
            "f1": known.f1_score(label, said, average="macro"),
            "accuracy": known.accuracy_score(label, said),
        }
    )


def test_of_several_classes_the_auc_is_the_mean_of_one_against_the_rest() -> None:
    label, output = classes(3, seed=1)
    found = once(metrics_of("classification", ("a", "b", "c"), label, output), 40)
    assert found["auc"] == pytest.approx(np.mean([known.roc_auc_score(label == k, output[:, k]) for k in range(3)]))
    assert found["auc:b"] == pytest.approx(known.roc_auc_score(label == 1, output[:, 1]))
    assert found["f1"] == pytest.approx(known.f1_score(label, output.argmax(axis=1), average="macro"))


def test_bags_of_different_folds_are_not_ranked_against_each_other() -> None:
    label, score = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    output = np.stack([1 - score, score], axis=1).astype(np.float32)
    together = once(metrics_of("classification", "nv", label, output), 4)
    apart = once(metrics_of("classification", "nv", label, output, np.array([0, 0, 1, 1])), 4)
    assert (together["auc"], apart["auc"]) == (0.75, 1.0)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.integers(0, 3), st.integers(0, 1)), min_size=2, max_size=14)
)
@settings(max_examples=100, deadline=None)
def test_the_c_index_counts_the_pairs_whose_order_is_known(case: list[tuple[int, bool, int, int]]) -> None:
    right = total = 0.0
    for t, e, r, f in case:
        for t2, e2, r2, f2 in case:
            if f == f2 and e and (t < t2 or (t == t2 and not e2)):
                total += 1
                right += 1.0 if r > r2 else 0.5 if r == r2 else 0.0
    time, event, risk, fold = (np.array([one[k] for one in case]) for k in range(4))
    found = float(c_index(time.astype(float), event, risk.astype(float), fold)(np.ones((1, len(case))))[0])
    assert found == pytest.approx(right / total) if total else np.isnan(found)


def test_metrics_of_numbers_are_those_of_scikit_learn_and_scipy() -> None:
    rng = np.random.default_rng(2)
    target = np.stack([rng.integers(0, 9, 30), rng.normal(size=30)], axis=1)
    output = (target + rng.normal(size=(30, 2))).astype(np.float32)
    found = once(metrics_of("regression", ("age", "score"), list(map(tuple, target)), output), 30)
    assert found["r2:age"] == pytest.approx(known.r2_score(target[:, 0], output[:, 0]))
    assert found["pearson:score"] == pytest.approx(stats.pearsonr(target[:, 1], output[:, 1])[0])
    assert found["spearman:age"] == pytest.approx(stats.spearmanr(target[:, 0], output[:, 0])[0])
    assert found["mae"] == pytest.approx(known.mean_absolute_error(target, output))
    assert found["r2"] == pytest.approx(known.r2_score(target, output))


def test_a_mean_over_columns_is_of_the_columns_whatever_was_asked_for_before() -> None:
    rng = np.random.default_rng(4)
    target = rng.normal(size=(12, 2))
    found = metrics_of(
        "regression", ("age", "score"), list(map(tuple, target)), (target + 1).astype(np.float32)[:, ::-1]
    )
    for counts in (rng.integers(1, 4, (3, 12)).astype(float), np.ones((2, 12)), np.ones((1, 12))):
        for kind in ("spearman", "r2"):
            columns = [found[f"{kind}:{name}"](counts) for name in ("score", "age")]
            assert found[kind](counts) == pytest.approx(np.mean(columns, axis=0))
            assert found[kind](counts) == pytest.approx(found[kind](counts.copy()))


@pytest.mark.parametrize("task", ["classification", "survival", "regression"])
def test_a_bag_that_counts_three_times_is_as_if_it_were_there_three_times(task: Any) -> None:
    label, output = classes(3, bags=18, seed=3)
    labels = label if task == "classification" else [(float(k % 5), float(k % 2)) for k in label + np.arange(18)]
    said = output if task == "classification" else output[:, :2]
    names, counts = ("a", "b", "c")[: said.shape[1]], np.random.default_rng(0).integers(1, 4, 18)
    twice = np.repeat(np.arange(18), counts)
    found = {
        name: float(metric(counts[None].astype(float))[0])
        for name, metric in metrics_of(task, names, labels, said).items()
    }
    assert found == pytest.approx(once(metrics_of(task, names, [labels[k] for k in twice], said[twice]), len(twice)))


def test_ranks_share_the_mean_of_their_places() -> None:
    assert ranks(np.array([5.0, 1, 5, 2])).tolist() == [2.5, 0, 2.5, 1]


def test_patients_are_drawn_with_all_their_bags_and_no_resample_lacks_a_class() -> None:
    patients, strata = [f"p{k // 2}" for k in range(40)], np.repeat([1, 0], [4, 36])
    counts = resampled_counts(patients, strata, 300, seed=1)
    assert (counts[:, ::2] == counts[:, 1::2]).all()
    assert (counts[:, :4].sum(axis=1) == 4).all()
    assert (counts.sum(axis=1) == 40).all()
    assert not np.array_equal(counts, resampled_counts(patients, strata, 300, seed=2))


def test_an_interval_is_as_wide_as_chance_makes_it() -> None:
    patients = [f"p{k}" for k in range(400)]
    counts = resampled_counts(patients, None, 2000, seed=0)
    right = np.arange(400) < 300
    found = intervals({"share": lambda c: c @ right / 400}, counts, 400)["share"]
    assert (found.value, found.n) == (0.75, 400)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(0.75 * 0.25 / 400), rel=0.1)


def test_a_metric_that_is_never_defined_has_no_interval() -> None:
    found = intervals({"none": lambda c: np.full(len(c), np.nan)}, np.ones((5, 3)), 3)["none"]
    assert np.isnan([found.value, found.low, found.high]).all()
