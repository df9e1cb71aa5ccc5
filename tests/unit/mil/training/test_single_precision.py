"""Stores of single precision give what those of half precision give, and keep their features."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wsi_features import mil
from wsi_features.mil.training.held import HeldBags

from .conftest import write_cohort


def test_features_of_both_precisions_have_the_same_moments_and_stay_as_they_are(tmp_path: Path) -> None:
    features = [np.arange(7 * n).reshape(n, 7) % 11 + k / 4 for k, n in enumerate((5, 40))]
    held = {
        kind: HeldBags.of(mil.BagDataset.open(write_cohort(tmp_path / kind, features, dtype=kind)))
        for kind in ("float16", "float32")
    }
    for name, moments in held["float16"].moments.items():
        other = held["float32"].moments[name]
        np.testing.assert_array_equal(moments.mean, other.mean)
        np.testing.assert_array_equal(moments.variance, other.variance)
    np.testing.assert_array_equal(held["float32"].held["s0"].numpy(), features[0])
