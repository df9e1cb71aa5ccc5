"""Scores of tiles: of every tile of the store's rows, by the model that had not seen the bag, and in the bag's unit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features import mil
from wsi_features.cohort.cohort import Cohort
from wsi_features.cohort.scores import read_scores, write_scores
from wsi_features.errors import TrainingError
from wsi_features.mil.training.scores import score_columns


def test_every_tile_has_attention_and_the_planted_ones_have_the_most(
    told: dict[str, mil.BagDataset], graded: mil.CrossValidation, tiny: Cohort
) -> None:
    found = {one.slide_id: one for one in mil.tile_scores(graded, told["classification"])}
    assert list(found) == [f"s{k}" for k in range(24)]
    assert found["s0"].columns == ("attention", "attention_rank", "score:A", "score:B")
    for name, one in found.items():
        assert one.rows.tolist() == np.flatnonzero(tiny.store(name).valid).tolist()
        assert one.values[:, 0].sum() == pytest.approx(1, abs=1e-5)
        assert (one.values[:, 1].min(), one.values[:, 1].max()) == (0, 1)
        assert not np.isnan(one.joined(tiny.store(name))[one.rows]).any()
    strong = [one.values[:5, 1].mean() - one.values[5:, 1].mean() for k, one in enumerate(found.values()) if k % 3 == 2]
    assert np.mean(strong) > 0.3
    speaks = [one.values[:5, 3].mean() - one.values[5:, 3].mean() for k, one in enumerate(found.values()) if k % 3 == 2]
    assert np.mean(speaks) > 0


def test_scores_weighted_by_attention_are_the_prediction_of_the_bags_own_fold(
    told: dict[str, mil.BagDataset], graded: mil.CrossValidation
) -> None:
    scores = mil.tile_scores(graded, told["classification"])
    for one, prediction in zip(scores, graded.predictions, strict=True):
        logits = one.values[:, 0] @ one.values[:, 2:]
        assert logits[1] - logits[0] == pytest.approx(np.log(prediction.output[1] / prediction.output[0]), abs=2e-3)
        assert one.values[:, 2] == pytest.approx(-one.values[:, 3], abs=1e-6)


@pytest.mark.parametrize("late", [True, False])
def test_the_slides_of_a_patient_share_its_attention_or_have_their_own(
    fused: dict[bool, mil.BagDataset], recipe: Any, late: bool
) -> None:
    result = mil.cross_validated(fused[late], recipe(epochs=3))
    found = {one.slide_id: one for one in mil.tile_scores(result, fused[late])}
    assert len(found) == 24
    for k in range(0, 24, 2):
        sums = [float(found[f"s{k + one}"].values[:, 0].sum()) for one in (0, 1)]
        assert sums == pytest.approx([1, 1], abs=1e-5) if late else sum(sums) == pytest.approx(1, abs=1e-5)


def test_hazards_and_numbers_are_scored_in_their_own_units(told: dict[str, mil.BagDataset], recipe: Any) -> None:
    survival = mil.cross_validated(told["survival"], recipe(model="linear"))
    first = next(mil.tile_scores(survival, told["survival"]))
    assert first.columns == (*score_columns("survival", ("t", "e"))[:2], "score:risk")
    assert first.values[:, 2].mean() == pytest.approx(survival.predictions[0].output[0], abs=1e-3)
    numbers = mil.cross_validated(told["regression"], recipe(model="linear"))
    values = next(mil.tile_scores(numbers, told["regression"])).values
    np.testing.assert_allclose(values[:, 2:].mean(axis=0), numbers.predictions[0].output, rtol=1e-3)


def test_scores_become_a_table_of_the_same_numbers(
    tmp_path: Path, told: dict[str, mil.BagDataset], graded: mil.CrossValidation
) -> None:
    columns = score_columns("classification", graded.names)
    count = write_scores(tmp_path / "a.parquet", columns, mil.tile_scores(graded, told["classification"]))
    assert count == told["classification"].sizes.sum()
    first = next(mil.tile_scores(graded, told["classification"]))
    np.testing.assert_array_equal(read_scores(tmp_path / "a.parquet").of("s0").values, first.values)


def test_a_bag_that_was_not_cross_validated_has_no_fold_that_is_out_of_it(
    told: dict[str, mil.BagDataset], graded: mil.CrossValidation, tiny: Cohort
) -> None:
    from dataclasses import replace

    part = replace(graded, predictions=graded.predictions[1:])
    with pytest.raises(TrainingError, match="bag 's0' was not cross-validated"):
        list(mil.tile_scores(part, told["classification"]))
    assert len(list(mil.tile_scores(graded.trained(), mil.BagDataset.open(tiny)))) == 24
