"""What every stain transform must keep to, whatever its method."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.stain import Identity, StainRecipe, StainTransform, fit, transform_from_parameters

Image = npt.NDArray[np.uint8]


def tissue(seed: int, shape: tuple[int, ...] = (3, 24, 37), amounts: tuple[float, float] = (0.7, 0.5)) -> Image:
    """H&E-like pixels (*shape, 3); a few of them black."""
    rng = np.random.default_rng(seed)
    density = rng.gamma(1.2, amounts, (*shape, 2)) @ np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    return np.asarray(np.rint(255 * np.exp(-density)) * (rng.random((*shape, 1)) > 0.01), dtype=np.uint8)


def fitted(method: str, amounts: tuple[float, float]) -> StainTransform:
    recipe = StainRecipe.model_validate({"method": method})
    return fit("s1", tissue(1, (4000,), amounts), recipe)


TRANSFORMS: dict[str, StainTransform] = {
    "identity": Identity(),
    "reinhard of a dark slide": fitted("reinhard", (1.2, 0.8)),
    "reinhard of a pale slide": fitted("reinhard", (0.3, 0.3)),
    "macenko of a dark slide": fitted("macenko", (1.2, 0.8)),
    "macenko of a pale slide": fitted("macenko", (0.3, 0.3)),
}

pytestmark = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS.keys())


def test_shape_and_type_are_kept(transform: StainTransform) -> None:
    result = transform.apply(tissue(2))
    assert result.shape == (3, 24, 37, 3)
    assert result.dtype == np.uint8


def test_the_input_is_left_as_it_is(transform: StainTransform) -> None:
    pixels = tissue(2)
    pixels.flags.writeable = False
    before = pixels.copy()
    transform.apply(pixels)
    assert np.array_equal(pixels, before)


def test_tiles_can_be_normalised_in_place_and_into_other_memory(transform: StainTransform) -> None:
    pixels, other = tissue(2), np.empty((3, 24, 37, 3), np.uint8)
    wanted = transform.apply(pixels).copy()
    assert transform.apply(pixels, other) is other
    assert transform.apply(pixels, pixels) is pixels
    assert np.array_equal(other, wanted)
    assert np.array_equal(pixels, wanted)


def test_a_batch_gives_what_its_tiles_give_one_by_one(transform: StainTransform) -> None:
    pixels = tissue(3)
    alone = [transform.apply(tile[None])[0] for tile in pixels]
    assert np.array_equal(transform.apply(pixels), np.stack(alone))


def test_a_pixel_does_not_depend_on_where_it_stands(transform: StainTransform) -> None:
    pixels = tissue(3)
    turned = transform.apply(pixels[:, ::-1].transpose(0, 2, 1, 3))
    assert np.array_equal(turned.transpose(0, 2, 1, 3)[:, ::-1], transform.apply(pixels))


def test_equal_input_gives_equal_output(transform: StainTransform) -> None:
    assert np.array_equal(transform.apply(tissue(4)), transform.apply(tissue(4)))


def test_parameters_make_the_same_transform_again(transform: StainTransform) -> None:
    again = transform_from_parameters(json.loads(json.dumps(transform.parameters(), allow_nan=False)))
    assert again == transform
    assert np.array_equal(again.apply(tissue(5)), transform.apply(tissue(5)))


@pytest.mark.parametrize("glass", [255, 250, 245])
def test_glass_stays_bright_and_without_colour(transform: StainTransform, glass: int) -> None:
    result = transform.apply(np.full((2, 5, 9, 3), glass, np.uint8)).astype(int)
    assert result.min() >= glass - 15
    assert np.ptp(result, axis=3).max() <= 12


def test_an_empty_batch_is_an_empty_batch(transform: StainTransform) -> None:
    result = transform.apply(np.empty((0, 24, 37, 3), np.uint8))
    assert result.shape == (0, 24, 37, 3)
    assert result.dtype == np.uint8


def test_tissue_keeps_its_structure(transform: StainTransform) -> None:
    pixels = tissue(6)
    before, after = (p[..., 1].ravel().astype(float) for p in (pixels, transform.apply(pixels)))
    assert np.corrcoef(before, after)[0, 1] > 0.9
