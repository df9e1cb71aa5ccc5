"""Rows that are not finite are computed again by a second stage; all others stay as they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch

from wsi_features.encode.device.host import HostStage
from wsi_features.encode.device.retry import Fp32Retry
from wsi_features.encode.notes import Notes
from wsi_features.stain.target import MacenkoNumbers
from wsi_features.stain.transform import Identity, StainMatrix

MACENKO = StainMatrix(
    source=MacenkoNumbers(stains=((0.65, 0.70, 0.29), (0.07, 0.99, 0.11)), max_concentration=(1.9, 1.0)),
    target=MacenkoNumbers(stains=((0.56, 0.72, 0.41), (0.22, 0.80, 0.56)), max_concentration=(1.5, 1.4)),
)


def mean_colour(pixels: torch.Tensor) -> torch.Tensor:
    return pixels.float().mean((1, 2))


def halved(pixels: torch.Tensor) -> torch.Tensor:
    """The squares of the mean colour in fp16, which ends at 65,504: infinite for colours above 255.9 * 0.71."""
    return ((mean_colour(pixels) * 1.4).half() ** 2).float()


def squared(pixels: torch.Tensor) -> torch.Tensor:
    return (mean_colour(pixels) * 1.4) ** 2


def tiles(levels: list[int]) -> npt.NDArray[np.uint8]:
    out = np.zeros((len(levels), 6, 8, 3), np.uint8)
    out[:] = np.array(levels, np.uint8).reshape(-1, 1, 1, 1)
    out[..., 1] //= 2
    return out


class Made:
    """Makes the second stage, and says how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> HostStage:
        self.times += 1
        return HostStage(squared, 1)


@pytest.fixture
def first() -> Iterator[HostStage]:
    stage = HostStage(halved, 2)
    yield stage
    stage.close()


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def retry(made: Made, notes: Notes) -> Iterator[Fp32Retry]:
    retry = Fp32Retry(made, notes)
    yield retry
    retry.close()


def test_only_the_rows_that_are_not_finite_are_replaced(first: HostStage, retry: Fp32Retry) -> None:
    pixels = tiles([100, 250, 60, 255, 90])
    before = first.submit(pixels, Identity()).rows()
    rows = retry.watched(first.submit(pixels, Identity()), pixels, Identity()).rows()
    assert np.isinf(before[[1, 3]]).any(axis=1).all()
    assert rows[[0, 2, 4]].tobytes() == before[[0, 2, 4]].tobytes()
    np.testing.assert_allclose(rows[[1, 3]], squared(torch.from_numpy(pixels[[1, 3]])).numpy(), rtol=1e-6)


def test_a_row_that_is_partly_infinite_is_replaced_as_a_whole(first: HostStage, retry: Fp32Retry) -> None:
    pixels = tiles([250])
    rows = retry.watched(first.submit(pixels, Identity()), pixels, Identity()).rows()
    assert rows[0, 1] == squared(torch.from_numpy(pixels)).numpy()[0, 1]


def test_the_second_stage_is_made_only_when_it_is_needed_and_once(
    first: HostStage, retry: Fp32Retry, made: Made, notes: Notes
) -> None:
    for levels, times in (([100, 50], 0), ([250], 1), ([255, 250], 1), ([3], 1)):
        pixels = tiles(levels)
        retry.watched(first.submit(pixels, Identity()), pixels, Identity()).rows()
        assert made.times == times
    assert notes.texts == ("NaN or infinity in 2 batch(es): those tiles were computed again in fp32",)


def test_asking_twice_for_rows_computes_once(first: HostStage, retry: Fp32Retry, notes: Notes) -> None:
    pixels = tiles([250, 10])
    pending = retry.watched(first.submit(pixels, Identity()), pixels, Identity())
    assert pending.rows() is pending.rows()
    assert notes.texts[0].startswith("NaN or infinity in 1 batch")


def test_the_stain_is_applied_again(first: HostStage, retry: Fp32Retry) -> None:
    pixels = tiles([250, 255])
    rows = retry.watched(first.submit(pixels, MACENKO), pixels, MACENKO).rows()
    np.testing.assert_allclose(rows, squared(torch.from_numpy(MACENKO.apply(pixels))).numpy(), rtol=1e-6)


def test_what_fp32_cannot_help_either_stays_as_it_is(first: HostStage, notes: Notes) -> None:
    retry = Fp32Retry(lambda: HostStage(halved, 1), notes)
    pixels = tiles([250, 10])
    rows = retry.watched(first.submit(pixels, Identity()), pixels, Identity()).rows()
    retry.close()
    assert np.isinf(rows[0]).any()
    assert np.isfinite(rows[1]).all()
