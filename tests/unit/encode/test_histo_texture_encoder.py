"""The encoder: batches in, rows out, whatever the workers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from wsi_features.encode.card import EncoderCard
from wsi_features.encode.encoder import Encoder
from wsi_features.encode.histo_texture import DIM, histo_texture_encoder, tile_descriptor
from wsi_features.encode.histo_texture.encoder import TILES_BEFORE_PROCESSES
from wsi_features.errors import CardError
from wsi_features.resources import share
from wsi_features.tiles.grid import TileBatch


@pytest.fixture(scope="module")
def card() -> EncoderCard:
    text = share("resources", "encoders", "histo-texture.yaml").read_text(encoding="utf-8")
    return EncoderCard.model_validate(yaml.safe_load(text))


@pytest.fixture(scope="module")
def encoder(card: EncoderCard) -> Iterator[Encoder]:
    made = histo_texture_encoder(card, workers=2)
    yield made
    made.close()


def batch(count: int = 11, valid: tuple[int, ...] | None = None) -> TileBatch:
    pixels = np.random.default_rng(3).integers(0, 256, (count, 72, 72, 3), dtype=np.uint8)
    marked = np.isin(np.arange(count), range(count) if valid is None else valid)
    return TileBatch(pixels, np.arange(count), marked)


def one_by_one(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.stack([tile_descriptor(tile) for tile in pixels])


def test_rows_come_in_the_order_of_the_batch(encoder: Encoder) -> None:
    rows = encoder.submit(batch()).rows()
    assert rows.dtype == np.float32
    assert rows.tobytes() == one_by_one(batch().pixels).tobytes()


@pytest.mark.parametrize("workers", [1, 3])
def test_neither_threads_nor_processes_change_a_byte(card: EncoderCard, workers: int) -> None:
    encoder = histo_texture_encoder(card, workers=workers)
    many = batch(TILES_BEFORE_PROCESSES)
    in_this_process, elsewhere = (encoder.submit(many).rows() for _ in range(2))
    assert in_this_process.tobytes() == elsewhere.tobytes()
    assert elsewhere[::17].tobytes() == one_by_one(many.pixels[::17]).tobytes()
    encoder.close()


def test_processes_are_started_for_much_work_only_and_end_with_the_encoder(card: EncoderCard) -> None:
    encoder = histo_texture_encoder(card, workers=2)
    encoder.submit(batch(TILES_BEFORE_PROCESSES)).rows()
    assert not encoder._processes
    encoder.submit(batch(9)).rows()
    assert len(encoder._processes) == 2
    encoder.close()
    assert all(process._process.returncode is not None for process in encoder._processes)


def test_a_tile_does_not_depend_on_its_batch(encoder: Encoder) -> None:
    whole, back = batch(), TileBatch(batch().pixels[::-1], np.arange(11)[::-1], np.ones(11, np.bool_))
    assert np.array_equal(encoder.submit(back).rows()[::-1], encoder.submit(whole).rows())


def test_batches_under_way_together_do_not_mix(encoder: Encoder) -> None:
    pending = [encoder.submit(batch(count)) for count in (3, 8, 5)]
    assert [len(p.rows()) for p in pending] == [3, 8, 5]
    assert np.array_equal(pending[1].rows(), one_by_one(batch(8).pixels))


def test_an_invalid_tile_keeps_its_place(encoder: Encoder) -> None:
    rows = encoder.submit(batch(5, valid=(0, 3, 4))).rows()
    wanted = one_by_one(batch(5).pixels)
    assert np.array_equal(rows[[0, 3, 4]], wanted[[0, 3, 4]])
    assert not rows[[1, 2]].any()


@pytest.mark.parametrize("count", [0, 1])
def test_the_smallest_batches_work(encoder: Encoder, count: int) -> None:
    assert encoder.submit(batch(count)).rows().shape == (count, DIM)


def test_a_failure_in_the_thread_reaches_the_caller(card: EncoderCard) -> None:
    single = histo_texture_encoder(card, workers=1)
    grey = TileBatch(np.zeros((2, 72, 72), np.uint8), np.arange(2), np.ones(2, np.bool_))
    with pytest.raises(Exception, match="transform"):
        single.submit(grey).rows()
    single.close()


def test_the_shipped_card_is_of_this_descriptor(card: EncoderCard, encoder: Encoder) -> None:
    assert card.dim == DIM
    assert (encoder.card, encoder.weights_digest, encoder.precision) == (card, "", "fp32")
    card.check_scale(0.5, 256)


@pytest.mark.parametrize("change", [{"arguments": {"version": 2}}, {"arguments": {}}, {"dim": 200}])
def test_a_card_of_another_descriptor_is_refused(card: EncoderCard, change: dict[str, object]) -> None:
    with pytest.raises(CardError, match=r"'histo-texture'.*this release computes 213 values in version 1"):
        histo_texture_encoder(card.model_copy(update=change), workers=1)


def test_a_closed_encoder_takes_no_batch(card: EncoderCard) -> None:
    encoder = histo_texture_encoder(card, workers=1)
    encoder.close()
    with pytest.raises(RuntimeError, match="shutdown"):
        encoder.submit(batch(1))
