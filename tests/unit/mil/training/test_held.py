"""Bags in memory are the bags of the data set, and their moments those of their tiles."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wsi_features import mil
from wsi_features.cohort.cohort import Cohort
from wsi_features.errors import TrainingError
from wsi_features.mil.training.held import HeldBags


@pytest.mark.parametrize("memory", [None, 0])
def test_drawn_tiles_are_those_of_the_data_set_in_memory_or_not(
    told: dict[str, mil.BagDataset], memory: int | None
) -> None:
    bags = HeldBags.of(told["classification"], memory)
    drawing = told["classification"].part(range(24), max_tiles=6, seed=3)
    drawing.set_epoch(5)
    assert bool(bags.held) == (memory is None)
    for item in (0, 1, 17):
        wanted = drawing[item]
        assert isinstance(wanted, mil.Bag)
        np.testing.assert_array_equal(bags.drawn(item, 6, 3, 5)[0].numpy(), wanted.features)


def test_moments_are_of_all_tiles_that_are_used(fused: dict[bool, mil.BagDataset]) -> None:
    bags = HeldBags.of(fused[False])
    item = fused[False][0]
    assert isinstance(item, mil.Bag)
    assert set(item.slide) == {0, 1}
    found, tiles = bags.bag_moments(0), item.features.astype(np.float64)
    assert found.count == len(tiles)
    np.testing.assert_allclose(found.mean, tiles.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.variance, tiles.var(axis=0), rtol=1e-4)


def test_each_bag_counts_the_same_in_the_scale_of_features(told: dict[str, mil.BagDataset]) -> None:
    bags = HeldBags.of(told["classification"])
    items = np.array([0, 1, 5])
    features = [bags.drawn(int(k), None, 0, 0)[0].double().numpy() for k in items]
    assert len({len(tiles) for tiles in features}) > 1
    weights = np.concatenate([np.full(len(tiles), 1 / len(tiles) / 3) for tiles in features])
    mean = weights @ np.concatenate(features)
    deviation = np.sqrt(weights @ (np.concatenate(features) - mean) ** 2)
    np.testing.assert_allclose(bags.standard(items), (mean, deviation), rtol=1e-4)


def test_the_probe_sees_the_mean_of_slides_where_they_are_fused_late(fused: dict[bool, mil.BagDataset]) -> None:
    late, early = (HeldBags.of(fused[which]) for which in (True, False))
    slides = [part.double().numpy().mean(axis=0) for part in late.drawn(3, None, 0, 0)]
    tiles = np.concatenate([part.double().numpy() for part in early.drawn(3, None, 0, 0)])
    np.testing.assert_allclose(late.bag_means[3], np.mean(slides, axis=0), rtol=1e-6)
    np.testing.assert_allclose(early.bag_means[3], tiles.mean(axis=0), rtol=1e-6)


def test_features_that_are_no_numbers_are_refused_by_slide_and_row(tmp_path: Path, tiny: Cohort) -> None:
    bags = mil.BagDataset.open(damaged(tmp_path, tiny), recipe=mil.BagRecipe(verify="never"))
    with pytest.raises(TrainingError, match="slide 's3', row 18: the features are not finite"):
        HeldBags.of(bags)


def test_reading_changes_no_features_that_are_held(tmp_path: Path, cohorts: Any) -> None:
    features = cohorts.planted([3.0, 8.0])
    bags = HeldBags.of(mil.BagDataset.open(cohorts.write(tmp_path, features, dtype="float32")))
    np.testing.assert_array_equal(bags.held["s0"].numpy(), features[0].astype(np.float32))
    np.testing.assert_array_equal(bags.held["s1"].numpy(), np.delete(features[1], 2, axis=0).astype(np.float32))


def damaged(folder: Path, cohort: Cohort) -> Cohort:
    """A copy in which a number of row 18 of slide s3, the third of its second chunk, is NaN."""
    out = Path(shutil.copytree(cohort.out.root, folder / "copy"))
    file = out / "features" / cohort.feature_set / "s3.zarr" / "features" / "c" / "1" / "0"
    values = np.frombuffer(file.read_bytes()[:-4], np.float16).copy()
    values[2 * 7 + 4] = np.nan
    file.write_bytes(values.tobytes() + file.read_bytes()[-4:])
    return Cohort.open(out, cohort.feature_set)
