from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.errors import StainFitError
from wsi_features.stain import Identity, Reinhard, StainMatrix, StainRecipe, fit, measured_target
from wsi_features.stain.fit import macenko_numbers, reinhard_numbers

Image = npt.NDArray[np.uint8]


def flat(colour: tuple[int, int, int], count: int = 2000) -> Image:
    return np.tile(np.array(colour, dtype=np.uint8), (count, 1))


def grey_ramp() -> Image:
    return np.repeat(np.arange(20, 200, dtype=np.uint8)[:, None], 3, axis=1).repeat(10, axis=0)


def test_macenko_finds_the_stains_that_were_mixed(
    tissue: Image, true_stains: npt.NDArray[np.float64], macenko: StainRecipe
) -> None:
    cosines = np.sum(np.array(macenko_numbers("s1", tissue, macenko).stains) * true_stains, axis=1)
    assert np.degrees(np.arccos(cosines)).max() < 3


def test_macenko_finds_how_much_of_each_stain_there_is(mixed: Callable[..., Image], macenko: StainRecipe) -> None:
    once = macenko_numbers("s1", mixed(amounts=(0.4, 0.3)).reshape(-1, 3), macenko)
    twice = macenko_numbers("s1", mixed(amounts=(0.8, 0.3)).reshape(-1, 3), macenko)
    ratio = np.array(twice.max_concentration) / once.max_concentration
    assert ratio.tolist() == pytest.approx([2, 1], rel=0.1)


def test_haematoxylin_comes_first_whatever_dominates(mixed: Callable[..., Image], macenko: StainRecipe) -> None:
    for amounts in ((1.0, 0.2), (0.2, 1.0)):
        first, second = macenko_numbers("s1", mixed(amounts=amounts).reshape(-1, 3), macenko).stains
        assert first[0] > second[0] + 0.3


@pytest.mark.parametrize("signs", [(-1, 1), (1, -1), (-1, -1)])
def test_the_sign_of_an_eigenvector_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, tissue: Image, macenko: StainRecipe, signs: tuple[int, int]
) -> None:
    wanted = macenko_numbers("s1", tissue, macenko)
    eigh = np.linalg.eigh

    def flipped(matrix: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        values, vectors = eigh(matrix)
        return values, vectors * np.array([1, *signs])

    monkeypatch.setattr(np.linalg, "eigh", flipped)
    assert macenko_numbers("s1", tissue, macenko) == wanted


def test_equal_pixels_give_equal_numbers(tissue: Image, macenko: StainRecipe, reinhard: StainRecipe) -> None:
    for recipe in (macenko, reinhard):
        assert fit("s1", tissue, recipe) == fit("another", tissue.copy(), recipe)


def test_the_percentile_moves_the_stain_vectors_apart(tissue: Image) -> None:
    angles = [macenko_numbers("s1", tissue, StainRecipe(method="macenko", percentile=p)).angle for p in (90, 99)]
    assert angles[0] < angles[1] - 1


def test_a_fit_keeps_its_own_pixels_unchanged(tissue: Image, macenko: StainRecipe, reinhard: StainRecipe) -> None:
    tissue[0] = 0
    before = tissue.copy()
    for recipe in (macenko, reinhard):
        fit("s1", tissue, recipe)
    assert np.array_equal(tissue, before)


def test_each_method_gives_its_transform_to_the_recipes_target(tissue: Image) -> None:
    made = [fit("s1", tissue, StainRecipe(method=method)) for method in ("none", "reinhard", "macenko")]
    assert [type(transform) for transform in made] == [Identity, Reinhard, StainMatrix]
    assert made[2].parameters()["target"]["max_concentration"] == [2.0679, 1.0362]
    assert made[1].parameters()["target"]["mean"] == [62.523, 22.88, -10.29]


def target_and_outcome(
    pixels: Image, recipe: StainRecipe, kind: type[StainMatrix | Reinhard], measure: Callable[..., Any]
) -> tuple[Any, Any]:
    """The numbers that a fit aims at, and those of its own pixels once it is applied."""
    transform = fit("s1", pixels, recipe)
    assert isinstance(transform, kind)
    return transform.target, measure("s1", transform.apply(pixels[None, None])[0, 0], recipe)


def test_macenko_brings_a_slide_to_the_targets_numbers(tissue: Image, macenko: StainRecipe) -> None:
    target, outcome = target_and_outcome(tissue, macenko, StainMatrix, macenko_numbers)
    assert np.allclose(outcome.stains, target.stains, atol=0.02)
    assert np.allclose(outcome.max_concentration, target.max_concentration, rtol=0.03)


def test_reinhard_brings_a_slide_to_the_targets_numbers(tissue: Image, reinhard: StainRecipe) -> None:
    dark = tissue[tissue.min(axis=1) < 180]
    target, outcome = target_and_outcome(dark, reinhard, Reinhard, reinhard_numbers)
    assert np.allclose(outcome.mean, target.mean, atol=1)
    assert np.allclose(outcome.std, target.std, atol=1)


def test_a_measured_target_holds_both_methods_numbers(tissue: Image, macenko: StainRecipe) -> None:
    target = measured_target("reference slide", tissue, macenko, "ours")
    assert target.macenko == macenko_numbers("s1", tissue, macenko)
    assert target.reinhard == reinhard_numbers("s1", tissue, macenko)


@pytest.mark.parametrize("method", ["macenko", "reinhard"])
@pytest.mark.parametrize(
    ("pixels", "why"),
    [
        (flat((255, 255, 255)), "found 0 stained tissue pixels, wanted at least 1000"),
        (flat((240, 238, 241)), "found 0 stained tissue pixels"),
        (flat((30, 10, 60), 3), "found 3 stained tissue pixels"),
        (np.empty((0, 3), np.uint8), "found 0 stained tissue pixels"),
    ],
)
def test_too_few_stained_pixels_are_refused(method: str, pixels: Image, why: str) -> None:
    recipe = StainRecipe.model_validate({"method": method})
    with pytest.raises(StainFitError, match=rf"slide 's1': {method} {why}.*Set `stain.on_bad_fit` to raw"):
        fit("s1", pixels, recipe)


@pytest.mark.parametrize(
    "pixels",
    [flat((0, 0, 0)), flat((120, 60, 140)), grey_ramp(), np.vstack([flat((90, 30, 90)), flat((200, 150, 190))])],
)
def test_macenko_refuses_pixels_without_two_stains(pixels: Image, macenko: StainRecipe) -> None:
    with pytest.raises(StainFitError, match=r"'s1': macenko fit is degenerate \(.*wanted.*Set `stain.on_bad_fit`"):
        fit("s1", pixels, macenko)


def test_macenko_refuses_colours_all_around_the_wheel(macenko: StainRecipe) -> None:
    inks = np.vstack([flat((40, 220, 225)), flat((215, 60, 220)), flat((225, 210, 50))])
    with pytest.raises(StainFitError, match=r"stain vectors are \d{3} degrees apart, wanted 5 to 90"):
        fit("s1", inks, macenko)


def test_macenko_refuses_two_bare_colours_whose_plane_is_open(macenko: StainRecipe) -> None:
    with pytest.raises(StainFitError, match="vary in one direction only: second variance"):
        fit("s1", np.vstack([flat((60, 200, 190)), flat((200, 60, 190))]), macenko)


def test_macenko_refuses_stains_too_close_together(macenko: StainRecipe) -> None:
    rng = np.random.default_rng(0)
    almost_grey = np.clip(grey_ramp() + rng.integers(-1, 2, (1800, 3)), 0, 255).astype(np.uint8)
    with pytest.raises(StainFitError, match=r"stain vectors are \d.\d+ degrees apart, wanted 5 to 90"):
        fit("s1", almost_grey, macenko)


def test_macenko_refuses_glass_with_a_few_stained_pixels(tissue: Image, macenko: StainRecipe) -> None:
    glass = np.vstack([flat((252, 254, 255), 100_000), flat((254, 252, 254), 100_000)])
    with pytest.raises(StainFitError, match=r"99th percentile of \w+ is 0.0\d+, wanted at least 0.05"):
        fit("s1", np.vstack([glass, tissue[tissue.min(axis=1) < 200][:1500]]), macenko)


@pytest.mark.parametrize("pixels", [flat((0, 0, 0)), flat((120, 60, 140))])
def test_reinhard_refuses_a_single_colour(pixels: Image, reinhard: StainRecipe) -> None:
    with pytest.raises(
        StainFitError, match=r"standard deviation of 0.00 in L\*, wanted at least 0.5. Set `stain.on_bad_fit`"
    ):
        fit("s1", pixels, reinhard)


def test_reinhard_names_the_flat_channel(reinhard: StainRecipe) -> None:
    with pytest.raises(StainFitError, match=r"standard deviation of 0.00 in a\*"):
        fit("s1", grey_ramp(), reinhard)


def test_the_least_number_of_pixels_is_enough(tissue: Image) -> None:
    stained = tissue[tissue.min(axis=1) < 200][:400]
    exact = StainRecipe(method="macenko", min_pixels=400)
    assert isinstance(fit("s1", stained, exact), StainMatrix)
    with pytest.raises(StainFitError, match="found 399 stained tissue pixels, wanted at least 400"):
        fit("s1", stained[1:], exact)
