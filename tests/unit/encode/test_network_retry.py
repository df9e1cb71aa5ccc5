"""Tiles on which a network in fp16 makes infinity are computed again by the same network in fp32, where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from wsi_features.encode.build import build
from wsi_features.encode.card import EncoderCard
from wsi_features.errors import WeightsError
from wsi_features.tiles.grid import TileBatch

BRIGHT_AND_DARK = np.concatenate([np.full((3, 48, 48, 3), 250, np.uint8), np.full((2, 48, 48, 3), 60, np.uint8)])
MIXED = TileBatch(BRIGHT_AND_DARK[[0, 3, 1, 4, 2]], np.arange(5), np.ones(5, np.bool_))


def test_infinite_features_come_out_as_they_are_unless_a_retry_is_asked_for(
    tiny_card: Callable[..., EncoderCard], overflowing_weights: Path
) -> None:
    card = tiny_card(mean=(0, 0, 0), std=(1, 1, 1))
    rows = []
    for precision, nonfinite in (("fp32", "fail"), ("fp16", "fail"), ("fp16", "fp32")):
        encoder = build(
            card, weights=overflowing_weights, precision=precision, nonfinite=nonfinite, device="cpu", workers=2
        )
        rows.append(encoder.submit(MIXED).rows())
        told = encoder.notes
        encoder.close()
    exact, halved, mended = rows
    broken = [True, False, True, False, True]
    assert (~np.isfinite(halved).all(axis=1)).tolist() == broken
    assert mended[[1, 3]].tobytes() == halved[[1, 3]].tobytes()
    np.testing.assert_allclose(mended[broken], exact[broken], rtol=1e-5, atol=1e-5)
    assert told[-1] == "NaN or infinity in 1 batch(es): those tiles were computed again in fp32"


def test_the_second_network_is_loaded_only_when_it_is_needed_and_from_the_same_file(
    tiny_card: Callable[..., EncoderCard], overflowing_weights: Path, tmp_path: Path
) -> None:
    card = tiny_card(mean=(0, 0, 0), std=(1, 1, 1))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(overflowing_weights.read_bytes())
    encoder = build(card, weights=path, precision="fp16", nonfinite="fp32", device="cpu", workers=1)
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    dark = TileBatch(BRIGHT_AND_DARK[3:], np.arange(2), np.ones(2, np.bool_))
    assert np.isfinite(encoder.submit(dark).rows()).all()
    with pytest.raises(WeightsError, match="SHA-256"):
        encoder.submit(MIXED).rows()
    encoder.close()
