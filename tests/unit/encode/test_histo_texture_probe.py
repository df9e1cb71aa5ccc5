"""Usefulness: a linear classifier on the descriptor names tissue types on slides of another laboratory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.encode.histo_texture import tile_descriptor
from wsi_features.geometry import Region
from wsi_features.slides.synthetic import SlideSpec, ground_truth, slide_pixels

SIZE, STEP = 128, 64
WIDTH, HEIGHT = 3072, 2048
PURE = 0.9
Stain = Literal["a", "b"]
Labelled = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]


def pure_tiles(seed: int, stain: Stain) -> Labelled:
    """Descriptors and labels of the tiles that hold one type of tissue, and of every ninth of glass."""
    spec = SlideSpec(width=WIDTH, height=HEIGHT, mpp=0.5, seed=seed, stain=stain)
    truth = ground_truth(spec)
    pixels = slide_pixels(spec, Region(0, 0, WIDTH, HEIGHT))
    corners, labels = [], []
    for y in range(0, HEIGHT - SIZE + 1, STEP):
        for x in range(0, WIDTH - SIZE + 1, STEP):
            top, left, bottom, right = (round(edge / truth.downsample) for edge in (y, x, y + SIZE, x + SIZE))
            counts = np.bincount(truth.labels[top:bottom, left:right].ravel())
            if counts.max() >= PURE * counts.sum() and (counts.argmax() > 0 or (x + y) // STEP % 9 == 0):
                corners.append((x, y))
                labels.append(counts.argmax())
    with ThreadPoolExecutor(2) as pool:
        features = pool.map(lambda at: tile_descriptor(pixels[at[1] : at[1] + SIZE, at[0] : at[0] + SIZE]), corners)
        return np.stack(list(features)), np.array(labels)


def slides(seeds: tuple[int, ...], stain: Stain) -> Labelled:
    features, labels = zip(*(pure_tiles(seed, stain) for seed in seeds), strict=True)
    return np.concatenate(features), np.concatenate(labels)


@pytest.fixture(scope="module")
def cohort() -> tuple[Labelled, Labelled]:
    """Two slides of one stain to learn from, and two others of the other stain."""
    return slides((21, 22), "a"), slides((23, 24), "b")


def test_a_linear_probe_names_the_tissue_across_slides_and_stains(cohort: tuple[Labelled, Labelled]) -> None:
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # scikit-learn has no types
    from sklearn.metrics import balanced_accuracy_score  # type: ignore[import-untyped]  # scikit-learn has no types
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]  # scikit-learn has no types
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]  # scikit-learn has no types

    (features, labels), (others, truth) = cohort
    known = [t for t in np.unique(labels) if min((labels == t).sum(), (truth == t).sum()) >= 10]
    assert len(known) >= 5  # so that chance is at most 0.2
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced")).fit(
        features, labels
    )
    asked = np.isin(truth, known)
    assert balanced_accuracy_score(truth[asked], probe.predict(others[asked])) >= 0.85


def test_nearest_class_means_work_without_any_scaling(cohort: tuple[Labelled, Labelled]) -> None:
    (features, labels), (others, truth) = cohort
    types = np.intersect1d(labels, truth)
    means = np.stack([features[labels == t].mean(axis=0) for t in types])
    asked = np.isin(truth, types)
    nearest = types[np.linalg.norm(others[asked][:, None] - means, axis=2).argmin(axis=1)]
    recalls = [(nearest == truth[asked])[truth[asked] == t].mean() for t in types]
    assert np.mean(recalls) >= 0.7
