from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.stain import (
    Identity,
    Reinhard,
    StainMatrix,
    StainRecipe,
    fit,
    load_target,
    transform_from_parameters,
)
from wsi_features.stain.reference import plain_reinhard, plain_stain_matrix
from wsi_features.stain.target import MacenkoNumbers, ReinhardNumbers
from wsi_features.stain.transform import GLASS_FROM

Image = npt.NDArray[np.uint8]
EVERY_GREY = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)[None, None]


def any_colours(seed: int = 0, shape: tuple[int, ...] = (2, 40, 70, 3)) -> Image:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def stain_matrix(
    haematoxylin: float = 1.5, eosin: float = 0.8, stains: tuple[tuple[float, ...], ...] | None = None
) -> StainMatrix:
    target = load_target("standard").stains
    source = {
        "stains": stains or ((0.65, 0.70, 0.2958), (0.07, 0.99, 0.1222)),
        "max_concentration": (haematoxylin, eosin),
    }
    return StainMatrix(source=MacenkoNumbers.model_validate(source), target=target)


def reinhard_shift(mean: tuple[float, ...] = (47, 29, -13), std: tuple[float, ...] = (18, 11, 8)) -> Reinhard:
    source = ReinhardNumbers.model_validate({"mean": mean, "std": std})
    return Reinhard(source=source, target=load_target("standard").reinhard)


@settings(max_examples=25, deadline=None)
@given(st.floats(0.05, 4), st.floats(0.05, 4), st.integers(0, 99))
def test_the_matrix_agrees_with_the_plain_formula_within_one_grey_level(first: float, second: float, seed: int) -> None:
    transform, pixels = stain_matrix(first, second), any_colours(seed)
    assert np.abs(transform.apply(pixels).astype(int) - plain_stain_matrix(transform, pixels)).max() <= 1


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.floats(40, 75), st.floats(5, 30), st.floats(-25, 0)),
    st.tuples(st.floats(8, 25), st.floats(4, 15), st.floats(3, 12)),
    st.integers(0, 99),
)
def test_reinhard_agrees_with_the_plain_formula(mean: tuple[float, ...], std: tuple[float, ...], seed: int) -> None:
    transform, pixels = reinhard_shift(mean, std), any_colours(seed)
    apart = np.abs(transform.apply(pixels).astype(int) - plain_reinhard(transform, pixels))
    # A tie that single precision rounds the other way is one level of LAB, which is many of RGB in garish colours.
    assert (apart > 0).mean() < 0.01
    assert apart.mean() < 0.02


def test_the_matrix_takes_the_source_stains_to_the_target_stains() -> None:
    transform = stain_matrix()
    at_most = np.diag(transform.source.max_concentration) @ np.array(transform.source.stains)
    wanted = np.diag(transform.target.max_concentration) @ np.array(transform.target.stains)
    assert np.allclose(at_most @ transform.matrix, wanted)


def test_a_pixel_far_beyond_white_ends_at_white_and_not_at_black() -> None:
    transform = stain_matrix(0.3, 0.05)
    reddest = np.array([[[[1, 255, 255], [255, 1, 255], [255, 255, 1]]]], dtype=np.uint8)
    assert np.array_equal(transform.apply(reddest), plain_stain_matrix(transform, reddest))
    assert 255 in transform.apply(reddest)


@pytest.mark.parametrize("amounts", [(1.5, 0.8), (3, 2), (0.3, 0.1)])
def test_every_colour_is_within_one_grey_level_of_the_plain_formula(amounts: tuple[float, float]) -> None:
    transform, steps = stain_matrix(*amounts), np.unique([*range(0, 256, 5), 1, 2, 3, 254, 255]).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, 1, -1, 3)
    apart = np.abs(transform.apply(colours).astype(int) - plain_stain_matrix(transform, colours))
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.03


@pytest.mark.full
def test_all_16_million_colours_are_within_one_grey_level_of_the_plain_formula() -> None:
    transform, every = stain_matrix(), np.arange(256, dtype=np.uint8)
    for red in every:
        colours = np.stack(np.meshgrid([red], every, every), axis=-1).reshape(1, 1, -1, 3)
        assert np.abs(transform.apply(colours).astype(int) - plain_stain_matrix(transform, colours)).max() <= 1


def test_the_loops_in_machine_code_do_what_they_do_in_python() -> None:
    from wsi_features.stain import kernel

    pixels = any_colours(shape=(300,))
    tables, shift = stain_matrix().tables, reinhard_shift()
    mixed, wanted, lab = np.empty_like(pixels), np.empty_like(pixels), pixels.copy()
    tables.apply(pixels, mixed)
    kernel._looked_up(pixels, tables.steps, *tables.levels, wanted)
    assert np.array_equal(mixed, wanted)
    kernel.shift_lab(lab, shift.lightness, shift.colours, GLASS_FROM)
    kernel._shifted(pixels, shift.lightness, shift.colours, np.uint8(GLASS_FROM))
    assert np.array_equal(lab, pixels)


@pytest.mark.parametrize("transform", [stain_matrix(), reinhard_shift()])
def test_tiles_larger_than_a_block_are_done_whole(transform: StainMatrix | Reinhard) -> None:
    large = any_colours(shape=(2, 190, 370, 3))
    halves = [transform.apply(large[:, :, :185]), transform.apply(large[:, :, 185:])]
    assert np.array_equal(transform.apply(large), np.concatenate(halves, axis=2))


@pytest.mark.parametrize("transform", [stain_matrix(), reinhard_shift()])
def test_a_view_gives_the_pixels_of_its_copy(transform: StainMatrix | Reinhard) -> None:
    view = any_colours().transpose(0, 2, 1, 3)[:, ::2, ::-1]
    result = transform.apply(view)
    assert result.flags.c_contiguous
    assert np.array_equal(result, transform.apply(view.copy()))


def test_reinhard_leaves_glass_colourless_and_bright() -> None:
    for transform in (reinhard_shift(), reinhard_shift((75, 5, -2), (10, 3, 2))):
        glass = transform.apply(EVERY_GREY)[0, 0, 232:].astype(int)
        assert np.ptp(glass, axis=1).max() <= 3
        assert glass.min() >= 200


def test_reinhard_keeps_the_order_of_lightness() -> None:
    for std in ((5.0, 11.0, 8.0), (60.0, 11.0, 8.0)):
        lightness = reinhard_shift(std=std).lightness.astype(int)
        assert (np.diff(lightness) >= 0).all()
        assert lightness[255] == 255
        assert abs(lightness[GLASS_FROM + 1] - lightness[GLASS_FROM]) <= 5


def test_reinhard_moves_tissue_by_the_plain_mean_and_spread() -> None:
    import cv2

    transform, pixels = reinhard_shift(), any_colours() // 3 + 60
    before, after = (cv2.cvtColor(p[0], cv2.COLOR_RGB2LAB).astype(float) for p in (pixels, transform.apply(pixels)))
    moved = (before[..., 1] - 128 - 29) / 11 * 5.909 + 22.88 + 128
    assert np.abs(after[..., 1] - moved).mean() < 1


def test_parameters_survive_json_to_the_last_bit(
    tissue: Image, macenko: StainRecipe, reinhard: StainRecipe, mixed: Callable[..., Image]
) -> None:
    for recipe in (macenko, reinhard, StainRecipe()):
        transform = fit("s1", tissue, recipe)
        again = transform_from_parameters(json.loads(json.dumps(transform.parameters())))
        assert again == transform
        assert again.parameters() == transform.parameters()
        assert np.array_equal(again.apply(mixed(5)[None]), transform.apply(mixed(5)[None]))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"method": "ruifrok"},
        {"method": "macenko"},
        stain_matrix().parameters() | {"gain": 1},
        reinhard_shift().parameters() | {"source": {"mean": [1, 2, float("nan")], "std": [1, 1, 1]}},
        stain_matrix().parameters() | {"target": {"stains": [[1, 0, 0], [1, 0, 0]], "max_concentration": [1, 1]}},
    ],
)
def test_parameters_of_no_transform_are_refused(parameters: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        transform_from_parameters(parameters)


def test_a_transform_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        stain_matrix().source = load_target("standard").macenko  # type: ignore[misc]  # that it fails is the test


def test_no_method_returns_the_same_array() -> None:
    pixels = any_colours()
    assert Identity().apply(pixels) is pixels
