"""k-means: clusters as they should be, none empty, the same on any number of threads."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsi_features.tiles.kmeans import kmeans


def test_clusters_that_lie_apart_are_found() -> None:
    middles = np.array([[0.0, 0.0], [100.0, 7.0], [40.0, 300.0], [200.0, 200.0]])
    which = np.arange(80) % 4
    points = middles[which] + np.random.default_rng(0).normal(0, 3, (80, 2))
    found = kmeans(points, 4, seed=5).labels
    assert len({(a, b) for a, b in zip(found.tolist(), which.tolist(), strict=True)}) == 4


def test_the_tile_nearest_to_the_mean_stands_for_a_cluster() -> None:
    points = np.array([[0.0], [1.0], [5.0], [100.0], [101.0], [105.0]])
    found = kmeans(points, 2)
    assert sorted(found.nearest.tolist()) == [1, 4]


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 40), st.integers(1, 3)), elements=st.integers(0, 6)), st.data())
def test_no_cluster_is_empty_and_each_is_represented_by_its_own(points: np.ndarray, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(points)))
    found = kmeans(points, count)
    clusters = min(count, len(np.unique(points, axis=0)))
    assert np.unique(found.labels).tolist() == list(range(clusters))
    assert found.labels[found.nearest].tolist() == list(range(clusters))


@pytest.mark.full
def test_threads_do_not_change_a_bit() -> None:
    script = (
        "import numpy as np; from wsi_features.tiles.kmeans import kmeans;"
        "p = np.random.default_rng(0).random((5000, 3)); k = kmeans(p, 60);"
        "import hashlib; print(hashlib.sha256(k.labels.tobytes() + k.nearest.tobytes()).hexdigest())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script], env={"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n, "PYTHONPATH": ":".join(sys.path)},
            check=True, capture_output=True,
        ).stdout
        for n in ("1", "4")
    }  # fmt: skip
    assert len(outputs) == 1
