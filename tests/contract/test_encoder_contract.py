"""What every `Encoder` must do, whatever computes its features."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from wsi_features.encode.build import build, encoder_recipe
from wsi_features.encode.card import EncoderCard, Precision
from wsi_features.encode.encoder import Encoder, Pending, Ready
from wsi_features.encode.networks.transformers import made as transformers_network
from wsi_features.encode.registry import card_named
from wsi_features.stain.target import MacenkoNumbers
from wsi_features.stain.transform import StainMatrix, StainTransform
from wsi_features.tiles.grid import TileBatch

MACENKO = StainMatrix(
    source=MacenkoNumbers(stains=((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)), max_concentration=(1.9, 1.0)),
    target=MacenkoNumbers(stains=((0.56, 0.72, 0.41), (0.22, 0.80, 0.56)), max_concentration=(1.5, 1.4)),
)
SIZE = 64  # the least that histo-texture takes


class LeftColour:
    """The smallest encoder there can be: the mean colour of a tile's left half, at once."""

    weights_digest = ""
    precision: Precision = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"
    notes: tuple[str, ...] = ()

    def __init__(self, card: EncoderCard) -> None:
        self.card = card

    def submit(self, batch: TileBatch, stain: StainTransform | None = None) -> Pending:
        pixels = batch.pixels if stain is None else stain.apply(batch.pixels)
        return Ready(pixels[:, :, : SIZE // 2].astype(np.float32).mean((1, 2)))

    def close(self) -> None:
        pass


def of_transformers(card: Callable[..., EncoderCard], path: Path) -> Encoder:
    shape = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "patch_size": 8, "image_size": 32}
    given = card(builder="transformers", prefix_tokens=1).model_copy(
        update={"arguments": {"model": "Dinov2Model"} | shape}
    )
    torch.manual_seed(4)
    torch.save(transformers_network(given, "cpu").state_dict(), path)
    return build(given, weights=path, device="cpu", workers=2)


def of_program(card: Callable[..., EncoderCard], path: Path) -> Encoder:
    torch.manual_seed(5)
    network = nn.Sequential(nn.Conv2d(3, 7, 4, stride=4), nn.GELU(), nn.Flatten(), nn.Linear(7 * 8 * 8, 5)).eval()
    batch = {"input": {0: torch.export.Dim("batch", min=1)}}
    torch.export.save(torch.export.export(network, (torch.rand(2, 3, 32, 32),), dynamic_shapes=batch), path)
    given = card(builder="exported", output="pooled", dim=5, prefix_tokens=0).model_copy(update={"arguments": {}})
    return build(given, weights=path, device="cpu", workers=2)


ENCODERS: dict[str, Callable[[Callable[..., EncoderCard], Path], Encoder]] = {
    "smallest": lambda card, _: LeftColour(card(name="left-colour", output="descriptor", dim=3)),
    "timm": lambda card, weights: build(card(), weights=weights, device="cpu", workers=2),
    "transformers": lambda card, weights: of_transformers(card, weights.with_name("transformers.pt")),
    "exported": lambda card, weights: of_program(card, weights.with_name("program.pt2")),
    "dense tokens": lambda card, weights: build(
        card(output="tokens", dim=4 * 24), weights=weights, device="cpu", workers=2
    ),
    "histo-texture": lambda *_: build(card_named("histo-texture"), workers=2),
}


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(
    request: pytest.FixtureRequest, tiny_card: Callable[..., EncoderCard], tiny_weights: Path
) -> Iterator[Encoder]:
    built = ENCODERS[request.param](partial(tiny_card, tile_px=SIZE), tiny_weights)
    yield built
    built.close()


def batch(count: int, seed: int = 1) -> TileBatch:
    """Tiles of different colours, each darker towards its right side."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(60, 220, (count, 1, 1, 3)) - np.arange(SIZE).reshape(1, 1, SIZE, 1) // 2
    pixels = (colours + rng.normal(0, 12, (count, SIZE, SIZE, 3))).clip(0, 255).astype(np.uint8)
    return TileBatch(pixels, np.arange(count, dtype=np.int64), np.ones(count, np.bool_))


def rows(encoder: Encoder, tiles: TileBatch) -> npt.NDArray[np.float32]:
    return encoder.submit(tiles).rows()


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_there_is_one_float32_row_a_tile_as_wide_as_the_card_says(encoder: Encoder, count: int) -> None:
    features = rows(encoder, batch(count))
    assert features.shape == (count, encoder.card.dim)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_rows_come_in_the_order_of_the_tiles(encoder: Encoder) -> None:
    tiles, order = batch(9), np.array([4, 0, 8, 2, 1, 7, 3, 6, 5])
    shuffled = TileBatch(tiles.pixels[order], tiles.rows[order], tiles.valid)
    features = rows(encoder, tiles)
    np.testing.assert_allclose(rows(encoder, shuffled), features[order], atol=1e-5)
    assert len(np.unique(features, axis=0)) == 9


def test_a_tile_s_row_does_not_depend_on_the_other_tiles(encoder: Encoder) -> None:
    tiles = batch(9)
    alone = TileBatch(tiles.pixels[6:7], tiles.rows[6:7], tiles.valid[6:7])
    np.testing.assert_allclose(rows(encoder, alone)[0], rows(encoder, tiles)[6], atol=1e-5)


def test_left_and_right_are_not_mistaken_for_top_and_bottom(encoder: Encoder) -> None:
    tiles = batch(3)
    turned = TileBatch(np.ascontiguousarray(tiles.pixels.swapaxes(1, 2)), tiles.rows, tiles.valid)
    assert not np.allclose(rows(encoder, turned), rows(encoder, tiles), atol=1e-5)


def test_the_same_batch_gives_the_same_bytes(encoder: Encoder) -> None:
    assert rows(encoder, batch(9)).tobytes() == rows(encoder, batch(9)).tobytes()


def test_batches_in_flight_keep_their_own_rows(encoder: Encoder) -> None:
    first, second = encoder.submit(batch(3)), encoder.submit(batch(5, seed=2))
    later, earlier = second.rows(), first.rows()
    assert np.array_equal(earlier, rows(encoder, batch(3)))
    assert np.array_equal(later, rows(encoder, batch(5, seed=2)))


def test_the_batch_is_not_changed(encoder: Encoder) -> None:
    tiles = batch(5)
    before = tiles.pixels.copy()
    rows(encoder, tiles)
    assert np.array_equal(tiles.pixels, before)
    assert tiles.valid.all()


def test_a_stain_transform_is_applied_to_the_tiles_first(encoder: Encoder) -> None:
    tiles = batch(5)
    normalised = replace(tiles, pixels=MACENKO.apply(tiles.pixels))
    features = encoder.submit(tiles, MACENKO).rows()
    assert features.tobytes() == rows(encoder, normalised).tobytes()
    assert not np.allclose(features, rows(encoder, tiles), atol=1e-3)


@pytest.mark.parametrize("filler", [0, 255])
def test_an_invalid_tile_keeps_its_place_and_leaves_the_others_alone(encoder: Encoder, filler: int) -> None:
    whole, pixels, valid = rows(encoder, batch(6)), batch(6).pixels.copy(), np.ones(6, np.bool_)
    pixels[2], valid[2] = filler, False
    features = rows(encoder, TileBatch(pixels, np.arange(6, dtype=np.int64), valid, ("unreadable",)))
    assert features.shape == whole.shape
    assert features[valid].tobytes() == whole[valid].tobytes()


def test_blank_tiles_give_finite_rows(encoder: Encoder) -> None:
    pixels = np.stack([np.full((SIZE, SIZE, 3), value, np.uint8) for value in (0, 255, 243)])
    assert np.isfinite(rows(encoder, TileBatch(pixels, np.arange(3), np.ones(3, np.bool_)))).all()


def test_an_encoder_says_what_decided_its_numbers(encoder: Encoder) -> None:
    assert re.fullmatch("([0-9a-f]{64})?", encoder.weights_digest)
    assert (encoder.weights_digest != "") == (encoder.card.name == "tiny")
    assert (encoder.precision, encoder.device, encoder.notes) == ("fp32", "cpu", ())
    recipe = encoder_recipe(encoder.card, encoder.weights_digest, encoder.precision)
    assert json.loads(json.dumps(recipe)) == recipe
