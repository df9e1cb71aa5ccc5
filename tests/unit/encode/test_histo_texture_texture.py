"""Texture: the fast patterns and co-occurrences agree with scikit-image's."""

from __future__ import annotations

from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.encode.histo_texture.texture import (
    FEATURES,
    MARGIN,
    RING,
    cooccurrence,
    grey_levels,
    haralick,
    pattern_labels,
    pattern_shares,
)

Image = npt.NDArray[np.uint8]


def noise(levels: int = 256, sigma: float = 0) -> Image:
    image = np.random.default_rng(0).integers(0, levels, (90, 130), dtype=np.uint8)
    return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.uint8) if sigma else image


IMAGES = {
    "noise": noise(),
    "smooth": noise(sigma=3),
    "few levels": noise(levels=4) * np.uint8(40),
    "two levels": noise(levels=2) * np.uint8(255),
    "flat": np.full((20, 30), 9, np.uint8),
}


def scikit_image() -> ModuleType:
    """The plain, slow implementations; without their types, since they have none."""
    import skimage.feature

    return skimage.feature


ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)


@pytest.mark.parametrize("name", IMAGES)
def test_patterns_agree_with_scikit_image(name: str) -> None:
    wanted = scikit_image().local_binary_pattern(IMAGES[name], P=8, R=1, method="uniform")[1:-1, 1:-1]
    # Interpolation in steps of 1/256 may decide a near tie the other way, on 3 of 10,000 pixels of the worst image.
    assert (pattern_labels(IMAGES[name], margin=0) != wanted).mean() < 5e-4


def plain_patterns(image: np.ndarray, margin: int) -> np.ndarray:
    """The slow twin with a margin: one pixel and one neighbour at a time."""
    padded, (height, width) = image.astype(float), image.shape
    labels = np.full((height - 2, width - 2), 9)
    for y, x in np.ndindex(labels.shape):
        ring = []
        for dx, dy in RING:
            far = 1 / np.sqrt(2) if dx and dy else 1.0
            corner, side, up = padded[y + 1 + dy, x + 1 + dx], padded[y + 1, x + 1 + dx], padded[y + 1 + dy, x + 1]
            here = padded[y + 1, x + 1]
            level = far * far * corner + far * (1 - far) * (side + up) + (1 - far) ** 2 * here
            ring.append(level >= here - margin - 1e-9)
        if sum(a != b for a, b in zip(ring, ring[1:] + ring[:1], strict=True)) <= 2:
            labels[y, x] = sum(ring)
    return labels


@pytest.mark.parametrize("name", IMAGES)
def test_patterns_with_a_margin_agree_with_the_plain_loop(name: str) -> None:
    part = np.ascontiguousarray(IMAGES[name][:40, :60])
    assert (pattern_labels(part) != plain_patterns(part, MARGIN)).mean() < 2e-3


def test_rounding_does_not_change_the_patterns_of_even_areas() -> None:
    rounded = np.random.default_rng(1).integers(120, 122, (50, 80), dtype=np.uint8)
    assert (pattern_labels(rounded) == 8).all()
    assert (pattern_labels(rounded, margin=0) != 8).mean() > 0.4


def test_channels_are_labelled_one_by_one() -> None:
    both = np.dstack([noise(), noise(sigma=3)])
    labels = pattern_labels(both)
    for channel in range(2):
        assert np.array_equal(labels[..., channel], pattern_labels(np.ascontiguousarray(both[..., channel])))


def test_pattern_shares_are_counted_per_channel() -> None:
    labels = np.dstack([np.full((4, 6), 9, np.uint8), np.repeat(np.array([[0, 1, 2, 3, 4, 4]], np.uint8), 4, axis=0)])
    assert pattern_shares(labels)[0].tolist() == [0] * 9 + [1]
    np.testing.assert_allclose(pattern_shares(labels)[1], np.array([1, 1, 1, 1, 2, 0, 0, 0, 0, 0]) / 6)


def test_a_flat_image_has_only_neighbours_that_are_not_darker() -> None:
    assert (pattern_labels(IMAGES["flat"]) == 8).all()


@pytest.mark.parametrize("distance", [1, 2, 3, 8])
@pytest.mark.parametrize("name", IMAGES)
def test_cooccurrence_agrees_with_scikit_image(name: str, distance: int) -> None:
    grey = grey_levels(IMAGES[name])
    counts = scikit_image().graycomatrix(grey, [distance], ANGLES, levels=16, symmetric=True)[:, :, 0].sum(axis=2)
    np.testing.assert_allclose(cooccurrence(grey, distance), (counts / counts.sum()).ravel(), atol=1e-12)


@pytest.mark.parametrize("name", ["noise", "smooth", "few levels", "two levels"])
def test_properties_agree_with_scikit_image(name: str) -> None:
    pairs = cooccurrence(grey_levels(IMAGES[name]), 2)
    names = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "entropy")
    wanted = [scikit_image().graycoprops(pairs.reshape(16, 16, 1, 1), name).item() for name in names]
    np.testing.assert_allclose(haralick(pairs[None])[0], wanted, rtol=1e-9)


def test_properties_of_several_matrices_do_not_mix() -> None:
    pairs = np.stack([cooccurrence(grey_levels(IMAGES[name]), 1) for name in ("noise", "smooth")])
    np.testing.assert_array_equal(haralick(pairs), np.concatenate([haralick(pairs[:1]), haralick(pairs[1:])]))


def test_a_flat_plane_has_no_correlation() -> None:
    assert haralick(cooccurrence(grey_levels(IMAGES["flat"]), 1)[None])[0].tolist() == [0, 0, 1, 1, 0, 0]


def test_faint_levels_are_told_apart_more_finely_than_strong_ones() -> None:
    levels = grey_levels(np.arange(256, dtype=np.uint8)[None])[0].astype(int)
    widths = np.bincount(levels)
    assert len(widths) == 16
    assert (np.diff(widths) >= 0).all()
    assert (widths[0], widths[-1]) == (9, 23)


def test_names_follow_plane_scale_and_bin() -> None:
    names = [feature.name for feature in FEATURES]
    assert (names[0], names[10]) == ("lbp_h_r1_bin0", "lbp_h_r2_bin0")
    assert names[35] == "lbp_luminance_r1_bin5"
    assert names[60:66:5] == ["glcm_h_d2_contrast", "glcm_h_d2_entropy"]
    assert names[-1] == "glcm_e_d8_entropy"
