"""Nuclei: blobs of known number, size, shape and place are measured as such."""

from __future__ import annotations

from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial import cKDTree

from wsi_features.encode.histo_texture.nuclei import (
    FEATURES,
    FEW,
    Nuclei,
    labelled,
    nearest_distances,
    nuclear_mask,
    nuclei_features,
)
from wsi_features.encode.histo_texture.planes import stain_planes

Tile = npt.NDArray[np.uint8]
TYPICAL = {feature.name: feature.typical for feature in FEATURES}


def scikit_image() -> ModuleType:
    """The plain, slow implementation; without its types, since it has none."""
    import skimage.measure

    return skimage.measure


def tissue(*centres: tuple[int, int], axes: tuple[int, int] = (8, 8), angle: float = 0) -> Tile:
    """Purple ellipses on pink, (192, 256, 3); centres (x, y) and half axes in pixels."""
    tile = np.full((192, 256, 3), (230, 170, 200), np.uint8)
    for centre in centres:
        cv2.ellipse(tile, centre, axes, angle, 0, 360, (90, 50, 140), -1)
    return tile


def values(tile: Tile) -> dict[str, float]:
    found = nuclei_features(stain_planes(tile))
    return dict(zip((feature.name for feature in FEATURES), found.tolist(), strict=True))


def drawn_towards_typical(name: str, value: float, count: int) -> float:
    return TYPICAL[name] + (value - TYPICAL[name]) * count / (count + FEW)


def before_drawing(tile: Tile, name: str) -> float:
    """The statistic of a tile with the nuclei of `LATTICE`, as it was measured."""
    count = len(LATTICE)
    return TYPICAL[name] + (values(tile)[name] - TYPICAL[name]) * (count + FEW) / count


LATTICE = [(x, y) for x in range(24, 250, 40) for y in range(24, 190, 36)]


@pytest.mark.parametrize("count", [2, 3, 40, 149, 150, 151, 400])
def test_nearest_distances_are_those_of_a_tree_to_the_bit(count: int) -> None:
    points = np.random.default_rng(count).uniform(0, 256, (count, 2))
    points[1] = points[0]
    wanted = cKDTree(points).query(points, k=2)[0][:, 1]
    assert np.array_equal(nearest_distances(points), wanted)


def test_every_separate_blob_is_counted() -> None:
    assert np.expm1(values(tissue(*LATTICE))["nuclei_density"]) * 192 * 256 / 1e4 == pytest.approx(len(LATTICE))


def test_the_area_share_is_that_of_the_blobs() -> None:
    assert values(tissue(*LATTICE))["nuclei_area_share"] == pytest.approx(
        len(LATTICE) * np.pi * 64 / (192 * 256), rel=0.2
    )


def test_blobs_agree_with_scikit_images_regions() -> None:
    mask = np.zeros((60, 90), np.uint8)
    cv2.ellipse(mask, (20, 15), (9, 4), 30, 0, 360, 255, -1)
    cv2.ellipse(mask, (60, 40), (12, 5), 110, 0, 360, 255, -1)
    mask[5, 80:83] = 255  # too small to count
    level = np.random.default_rng(0).integers(0, 256, mask.shape, dtype=np.uint8)
    nuclei = labelled(mask, level)
    reference = scikit_image()
    regions = reference.regionprops(reference.label(mask, connectivity=2), intensity_image=level)[1:]
    assert nuclei.areas.tolist() == [region.area for region in regions]
    assert nuclei.boxes.tolist() == [region.area_bbox for region in regions]
    np.testing.assert_allclose(nuclei.centres[:, ::-1], [region.centroid for region in regions])
    np.testing.assert_allclose(nuclei.darkness, [region.intensity_mean for region in regions])
    central = [region.moments_central / region.area for region in regions]
    np.testing.assert_allclose(nuclei.moments, [(m[0, 2], m[2, 0], m[1, 1]) for m in central], atol=1e-9)


@pytest.mark.parametrize("angle", [0, 30, 90])
def test_eccentricity_is_that_of_the_ellipse_however_it_lies(angle: float) -> None:
    found = values(tissue(*LATTICE, axes=(14, 7), angle=angle))["nuclei_eccentricity_mean"]
    assert found == pytest.approx(
        drawn_towards_typical("nuclei_eccentricity_mean", np.sqrt(0.75), len(LATTICE)), abs=0.05
    )


def test_parallel_nuclei_are_aligned_and_crossed_ones_are_not() -> None:
    parallel = tissue(*LATTICE, axes=(13, 5), angle=30)
    crossed = np.vstack([parallel[:96], np.rot90(parallel, 1)[:96, :192][:, :192].repeat(2, axis=1)[:, :256]])
    assert before_drawing(parallel, "nuclei_alignment") > 0.6
    assert values(crossed)["nuclei_alignment"] < values(parallel)["nuclei_alignment"] - 0.2


def test_spacing_is_the_distance_to_the_nearest_neighbour() -> None:
    assert np.expm1(before_drawing(tissue(*LATTICE), "nuclei_spacing_mean")) == pytest.approx(18, rel=0.1)
    assert before_drawing(tissue(*LATTICE), "nuclei_spacing_ratio") > 1.5  # more regular than chance


def test_clustered_nuclei_are_clumped_and_scattered_ones_are_not() -> None:
    cluster = tissue(*[(x, y) for x in range(20, 120, 22) for y in range(20, 90, 22)])
    assert values(cluster)["nuclei_clumping"] > values(tissue(*LATTICE))["nuclei_clumping"] + 0.5


def test_larger_nuclei_fall_into_a_larger_class() -> None:
    small, large = tissue(*LATTICE, axes=(5, 5)), tissue(*LATTICE, axes=(14, 14))
    assert before_drawing(small, "nuclei_small_share") > 0.9
    assert before_drawing(large, "nuclei_large_share") > 0.9
    assert values(large)["nuclei_area_mean"] > values(small)["nuclei_area_mean"]


@pytest.mark.parametrize("background", [(255, 255, 255), (230, 170, 200), (110, 70, 160)])
def test_without_nuclei_only_background_and_counts_are_told(background: tuple[int, int, int]) -> None:
    found = values(np.full((192, 256, 3), background, np.uint8))
    assert found["nuclei_density"] == found["nuclei_area_share"] == 0
    rest = set(TYPICAL) - {"nuclei_density", "nuclei_area_share", "surround_h_mean"}
    assert all(found[name] == TYPICAL[name] for name in rest)


def test_a_single_nucleus_has_no_neighbour() -> None:
    found = values(tissue((100, 60)))
    assert found["nuclei_spacing_mean"] == pytest.approx(drawn_towards_typical("nuclei_spacing_mean", 0, 1))


def test_a_dark_region_larger_than_the_window_is_not_one_nucleus() -> None:
    plane = np.full((96, 128), 20, np.uint8)
    plane[:, :70] = 120
    mask = nuclear_mask(plane)
    assert not mask[:, :40].any()
    assert not mask[:, 90:].any()


def test_blobs_of_less_than_six_pixels_do_not_count() -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[10:12, 20:23] = mask[30, 40:45] = 255
    assert labelled(mask, mask).areas.tolist() == [6]


def test_blobs_are_ordered_by_position() -> None:
    mask = np.zeros((40, 60), np.uint8)
    for x, y in ((40, 5), (10, 20), (30, 20)):
        mask[y : y + 4, x : x + 4] = 255
    nuclei: Nuclei = labelled(mask, mask)
    assert nuclei.centres.tolist() == [[41.5, 6.5], [11.5, 21.5], [31.5, 21.5]]
