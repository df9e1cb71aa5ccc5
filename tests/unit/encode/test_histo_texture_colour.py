"""Colour: stain separation and its statistics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.encode.histo_texture.colour import FEATURES, colour_features
from wsi_features.encode.histo_texture.planes import EOSIN, HAEMATOXYLIN, Planes, halved, stain_planes

Tile = npt.NDArray[np.uint8]


def stained(haematoxylin: float, eosin: float) -> Tile:
    """A plain tile (80, 96, 3) of two densities mixed by Beer and Lambert's law."""
    unit = [np.array(stain) / np.linalg.norm(stain) for stain in (HAEMATOXYLIN, EOSIN)]
    light = 256 * 10 ** -(haematoxylin * unit[0] + eosin * unit[1]) - 1
    return np.broadcast_to(np.rint(light), (80, 96, 3)).astype(np.uint8)


def values(tile: Tile) -> dict[str, float]:
    found = colour_features(stain_planes(tile))
    return dict(zip((feature.name for feature in FEATURES), found.tolist(), strict=True))


def noise() -> Tile:
    return np.random.default_rng(1).integers(0, 256, (80, 96, 3), dtype=np.uint8)


@pytest.mark.parametrize(("haematoxylin", "eosin"), [(0.5, 0.0), (0.0, 0.4), (0.3, 0.2), (0.9, 0.1)])
def test_stain_densities_are_recovered(haematoxylin: float, eosin: float) -> None:
    found = values(stained(haematoxylin, eosin))
    assert found["h_mean"] / 128 == pytest.approx(haematoxylin, abs=0.02)
    assert found["e_mean"] / 256 == pytest.approx(eosin, abs=0.02)
    assert found["r_mean"] == pytest.approx(128, abs=4)


def test_separation_agrees_with_its_formula_in_double_precision() -> None:
    first, second = (np.array(stain) / np.linalg.norm(stain) for stain in (HAEMATOXYLIN, EOSIN))
    third = np.cross(first, second) / np.linalg.norm(np.cross(first, second))
    density = np.log10(256 / (noise() + 1.0)) @ np.linalg.inv([first, second, third])
    wanted = np.clip(density * (128, 256, 256) + (0, 0, 128), 0, 255)
    planes = stain_planes(noise())
    assert np.abs(np.dstack([planes.haematoxylin, planes.eosin, planes.residual]) - wanted).max() < 0.51


def test_moments_and_percentiles_are_those_of_the_pixels() -> None:
    plane, found = stain_planes(noise()).eosin.astype(float), values(noise())
    skew = ((plane - plane.mean()) ** 3).mean() / plane.std() ** 3
    wanted = [plane.mean(), plane.std(), skew / (1 + abs(skew)), *np.percentile(plane, (5, 25, 50, 75, 95))]
    names = ("mean", "std", "skew", "p05", "p25", "p50", "p75", "p95")
    np.testing.assert_allclose([found[f"e_{name}"] for name in names], wanted, atol=0.5, rtol=1e-3)


def test_skewness_has_the_sign_of_the_longer_tail() -> None:
    tile = np.full((80, 96, 3), 250, np.uint8)
    tile[:4] = (90, 40, 130)
    assert values(tile)["h_skew"] > 0.5
    assert values(tile)["value_skew"] < -0.5


def test_the_correlation_of_the_stains_is_pearsons() -> None:
    planes = stain_planes(noise())
    wanted = np.corrcoef(planes.haematoxylin.ravel(), planes.eosin.ravel())[0, 1]
    assert values(noise())["h_e_correlation"] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("colour", "cosine", "sine"), [((200, 0, 0), 1, 0), ((0, 200, 0), -0.5, 0.866), ((90, 90, 90), 0, 0)]
)
def test_the_mean_hue_lies_on_the_colour_circle(colour: tuple[int, int, int], cosine: float, sine: float) -> None:
    found = values(np.broadcast_to(np.array(colour, np.uint8), (80, 96, 3)))
    assert (found["hue_cos"], found["hue_sin"]) == pytest.approx((cosine, sine), abs=1e-3)


def test_the_tissue_share_counts_what_is_not_glass() -> None:
    tile = np.full((80, 96, 3), 243, np.uint8)
    tile[:20, :, 1] = 150
    assert values(tile)["tissue_share"] == 0.25


def test_halving_takes_the_mean_of_two_by_two_pixels() -> None:
    image = np.array([[0, 4, 9, 9], [8, 12, 9, 9]], np.uint8)
    assert halved(image).tolist() == [[6, 9]]


def test_planes_have_the_shape_of_the_tile() -> None:
    planes: Planes = stain_planes(noise())
    assert {plane.shape for plane in (planes.haematoxylin, planes.eosin, planes.residual, planes.luminance)} == {
        (80, 96)
    }
