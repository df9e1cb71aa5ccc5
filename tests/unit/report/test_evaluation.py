"""Curves and tests of predictions, against published and hand-counted values."""

import numpy as np
import pytest

from wsi_features.report.evaluation import (
    confusion,
    higher_half,
    kaplan_meier,
    log_rank,
    mean_roc,
    misordered,
    roc_curve,
)

# Remission of leukaemia in weeks, 21 children with 6-mercaptopurine and 21 with placebo (Freireich 1963); + was censored.
TREATED = [
    "6",
    "6",
    "6",
    "6+",
    "7",
    "9+",
    "10",
    "10+",
    "11+",
    "13",
    "16",
    "17+",
    "19+",
    "20+",
    "22",
    "23",
    "25+",
    "32+",
    "32+",
    "34+",
    "35+",
]
PLACEBO = [
    "1",
    "1",
    "2",
    "2",
    "3",
    "4",
    "4",
    "5",
    "5",
    "8",
    "8",
    "8",
    "8",
    "11",
    "11",
    "12",
    "12",
    "15",
    "17",
    "22",
    "23",
]


def followed(cells: list[str]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([float(c.rstrip("+")) for c in cells]), np.array([not c.endswith("+") for c in cells])


def test_survival_is_that_of_the_published_trial() -> None:
    curve = kaplan_meier(*followed(TREATED))
    assert curve.times.tolist() == [0, 6, 7, 10, 13, 16, 22, 23]
    np.testing.assert_allclose(curve.share, [1, 0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448], atol=6e-4)
    assert curve.censored.tolist() == [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    np.testing.assert_allclose(curve.at(np.array([0.0, 5.9, 6.0, 40.0])), [1, 1, 0.857, 0.448], atol=6e-4)


def test_the_log_rank_test_is_that_of_the_published_trial() -> None:
    time, event = followed(TREATED + PLACEBO)
    chi_squared, p = log_rank(time, event, np.arange(42) < 21)
    assert chi_squared == pytest.approx(16.79, abs=0.01)
    assert p == pytest.approx(4.2e-5, rel=0.02)
    assert np.isnan(log_rank(time, np.zeros(42, bool), np.arange(42) < 21)).all()


def test_a_roc_curve_rises_at_positives_and_takes_equal_scores_at_once() -> None:
    positive, score = np.array([True, False, True, False, False]), np.array([0.9, 0.8, 0.5, 0.5, 0.1])
    false, true = roc_curve(positive, score)
    np.testing.assert_allclose(false, [0, 0, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(true, [0, 0.5, 0.5, 1, 1])


def test_the_mean_curve_encloses_the_auc_over_pairs_within_folds() -> None:
    fold = np.repeat([0, 1, 2], [9, 5, 4])
    positive = np.array([1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 1, 1], bool)  # fold 2 has no pair
    score = np.array([9, 2, 5, 4, 4, 1, 8, 7, 7, 3, 3, 1, 6, 2, 5, 1, 2, 3]) / 10
    pairs = [
        (score[i] > score[j]) + 0.5 * (score[i] == score[j])
        for i in range(18)
        for j in range(18)
        if fold[i] == fold[j] and positive[i] and not positive[j]
    ]
    assert np.trapezoid(*mean_roc(positive, score, fold)[::-1]) == pytest.approx(np.mean(pairs))
    assert not len(mean_roc(np.ones(4, bool), np.arange(4.0), np.zeros(4, int))[0])


def test_true_classes_are_the_rows_of_the_confusion_matrix() -> None:
    assert confusion(np.array([0, 0, 1, 2, 2, 2]), np.array([0, 1, 1, 0, 0, 2]), 3).tolist() == [
        [1, 1, 0],
        [0, 1, 0],
        [2, 0, 1],
    ]


def test_each_fold_is_parted_at_its_own_median() -> None:
    assert higher_half(np.array([1.0, 2, 3, 100, 200, 300]), np.array([0, 0, 0, 1, 1, 1])).tolist() == [
        0,
        0,
        1,
        0,
        0,
        1,
    ]


def test_a_risk_that_rises_with_time_is_in_the_wrong_order_within_its_fold_only() -> None:
    time, event = np.array([1.0, 2, 3, 1, 2]), np.array([True, True, False, True, False])
    found = misordered(time, event, np.array([5.0, 9, 1, 0.5, 0.5]), np.array([0, 0, 0, 1, 1]))
    np.testing.assert_allclose(found, [1 / 2, 1 / 2, 0, 1 / 2, 1 / 2])
    alone = misordered(time[:2], np.array([False, False]), time[:2], np.zeros(2, int))
    assert np.isnan(alone).all()
