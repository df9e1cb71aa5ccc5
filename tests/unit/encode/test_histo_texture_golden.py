"""Golden values: whoever changes them raises the descriptor's version and writes the new ones here."""

from __future__ import annotations

import numpy as np
import pytest

from wsi_features.encode.histo_texture import FEATURE_NAMES, VERSION, tile_descriptor

GOLDEN: dict[str, float] = {}


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
    assert sum(abs(value) for value in features.values()) == pytest.approx(0.0, abs=0.05)
