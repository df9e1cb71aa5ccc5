"""Energy per scale, fibre direction and layout."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.encode.histo_texture import layout, scales
from wsi_features.encode.histo_texture.planes import Planes, stain_planes

Tile = npt.NDArray[np.uint8]


def stripes(period: int, angle: float = 0.0) -> Tile:
    """Purple waves on pink, (160, 224, 3)."""
    y, x = np.mgrid[:160, :224]
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    return np.asarray(np.array((230, 170, 200)) - wave[..., None] * (140, 120, 60), dtype=np.uint8)


def noise() -> Tile:
    return np.random.default_rng(2).integers(60, 240, (160, 224, 3), dtype=np.uint8)


def values(tile: Tile) -> dict[str, float]:
    names = (feature.name for feature in scales.FEATURES)
    return dict(zip(names, scales.scale_features(stain_planes(tile)).tolist(), strict=True))


@pytest.mark.parametrize(("period", "band"), [(8, 4), (16, 8), (32, 16)])
def test_waves_have_most_energy_in_the_band_of_their_half_period(period: int, band: int) -> None:
    found = {size: values(stripes(period))[f"band_h_{size}px"] for size in (1, 2, 4, 8, 16)}
    assert max(found, key=lambda size: found[size]) == band


@pytest.mark.parametrize("angle", [0, 0.6, np.pi / 2])
def test_parallel_fibres_are_coherent_and_aligned_at_any_angle(angle: float) -> None:
    found = values(stripes(16, angle))
    assert found["gradient_h_2px_coherence"] > 0.8
    assert found["gradient_h_2px_alignment"] > 0.8


def test_noise_has_no_direction() -> None:
    assert values(noise())["gradient_h_2px_alignment"] < 0.05
    assert values(noise())["gradient_h_2px_coherence"] < 0.3


def test_fibres_that_turn_are_coherent_but_not_aligned() -> None:
    turning = np.concatenate([stripes(16, 0)[:, :112], stripes(16, np.pi / 2)[:, :112]], axis=1)
    found = values(turning)
    assert found["gradient_h_2px_coherence"] > 0.7
    assert found["gradient_h_2px_alignment"] < 0.2


def test_a_flat_tile_has_no_energy_and_no_direction() -> None:
    assert not any(values(np.full((160, 224, 3), 200, np.uint8)).values())


def test_the_layout_runs_row_by_row_from_the_top_left() -> None:
    plane, other = np.zeros((80, 128), np.uint8), np.full((80, 128), 7, np.uint8)
    plane[20:40, 96:128] = 160  # row 1, column 3
    found = layout.layout_features(Planes(np.dstack([plane] * 3), plane, other, plane, plane))
    cells = dict(zip((feature.name for feature in layout.FEATURES), found, strict=True))
    assert cells.pop("layout_h_row1_column3") == 150
    assert {cells[name] for name in cells if "_h_" in name} == {-10}
    assert {cells[name] for name in cells if "_e_" in name} == {0}
