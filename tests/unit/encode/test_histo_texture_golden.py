"""Golden values: whoever changes them raises the descriptor's version and writes the new ones here."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_features.encode.histo_texture import FEATURE_NAMES, VERSION, tile_descriptor

GOLDEN = {
    "h_mean": 0.8537,
    "e_p50": -1.5097,
    "r_skew": 0.3967,
    "lab_a_mean": -1.6435,
    "hue_sin": 2.0385,
    "tissue_share": 0.9699,
    "lbp_h_r1_bin4": -2.0755,
    "lbp_luminance_r4_bin9": -1.4659,
    "glcm_h_d4_entropy": 1.0291,
    "glcm_e_d8_contrast": 2.3336,
    "nuclei_density": 1.8215,
    "nuclei_h_mean": -0.0017,
    "band_e_4px": 2.0196,
    "gradient_e_4px_coherence": -1.9144,
    "layout_h_row1_column3": 0.2231,
}


@pytest.fixture(scope="module")
def features() -> dict[str, float]:
    """The descriptor of blocks of 8 px with grain, made of whole numbers only."""
    rng = np.random.default_rng(7)
    blocks = rng.integers(60, 240, (24, 20, 3)).repeat(8, axis=0).repeat(8, axis=1)
    tile = (blocks + rng.integers(0, 12, blocks.shape)).astype(np.uint8)
    return dict(zip(FEATURE_NAMES, tile_descriptor(tile).tolist(), strict=True))


def test_golden_values_belong_to_this_version() -> None:
    assert VERSION == 1


@pytest.mark.parametrize("name", GOLDEN)
def test_a_fixed_tile_keeps_its_values(features: dict[str, float], name: str) -> None:
    assert features[name] == pytest.approx(GOLDEN[name], abs=2e-3)


def test_the_whole_descriptor_keeps_its_sum(features: dict[str, float]) -> None:
    assert sum(abs(value) for value in features.values()) == pytest.approx(231.338, abs=0.02)
