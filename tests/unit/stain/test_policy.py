"""Slides that are no H&E tissue: what the fit says of them, and that no pixel goes wild."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.errors import StainFitError
from wsi_features.stain import Identity, StainFit, StainRecipe, fitted
from wsi_features.stain.ink import is_ink

Image = npt.NDArray[np.uint8]
METHODS = ("reinhard", "macenko", "vahadane")


def mixture(stains: list[list[float]], amounts: list[float], count: int = 4000, seed: int = 0) -> Image:
    """Pixels (n, 3) of these dyes after Beer and Lambert."""
    vectors = np.array(stains) / np.linalg.norm(stains, axis=1, keepdims=True)
    density = np.random.default_rng(seed).gamma(1.2, amounts, (count, len(stains))) @ vectors
    return np.asarray(np.rint(255 * np.exp(-density)), dtype=np.uint8)


def flat(*colour: int, count: int = 4000) -> Image:
    return np.tile(np.array(colour, np.uint8), (count, 1))


def pen(*density: float) -> Image:
    return mixture([list(density)], [np.linalg.norm(density) / 1.2])


DEGENERATE = {
    "white": flat(255, 255, 255),
    "nothing": np.empty((0, 3), np.uint8),
    "black": flat(0, 0, 0),
    "one colour": flat(150, 90, 160),
    "blue pen only": pen(2.0, 1.15, 0.3),
    "green pen only": pen(1.7, 0.5, 1.35),
    "black pen only": np.full((4000, 3), 20, np.uint8),
    "three dark pixels": np.vstack([flat(255, 254, 255), flat(40, 20, 60, count=3)]),
    "grey": np.repeat(np.arange(20, 220, dtype=np.uint8)[:, None], 3, axis=1).repeat(20, axis=0),
}
BROWN = mixture([[0.65, 0.70, 0.29], [0.27, 0.57, 0.78]], [0.3, 0.8])


def judged(pixels: Image, method: str, policy: str) -> StainFit:
    recipe = StainRecipe.model_validate({"method": method, "on_bad_fit": policy})
    return fitted("s1", pixels, recipe)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_a_degenerate_slide_stays_as_it_is_with_the_reason_and_the_numbers(name: str, method: str) -> None:
    found = judged(DEGENERATE[name], method, "raw")
    assert found.transform == Identity()
    assert found.record["status"] == "bad"
    assert found.record["policy"] == "raw"
    assert "slide 's1'" in found.reason
    assert found.record["pixels"] + found.record["ink_pixels"] == len(DEGENERATE[name])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DEGENERATE)
def test_a_degenerate_slide_fails_by_default(name: str, method: str) -> None:
    with pytest.raises(StainFitError, match=r"'s1'.*`stain.on_bad_fit`"):
        judged(DEGENERATE[name], method, "fail")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [*DEGENERATE, "brown"])
def test_with_the_targets_stains_no_colour_goes_wild(name: str, method: str) -> None:
    pixels = BROWN if name == "brown" else DEGENERATE[name]
    found = judged(pixels, method, "target-only").transform
    probe = np.vstack([pixels, flat(255, 255, 255, count=8), flat(240, 240, 240, count=8)])[None, None]
    after = found.apply(probe)[0, 0].astype(int)
    assert after[-16:].min() >= 210
    lightness = np.abs(after.mean(axis=1) - probe[0, 0].mean(axis=1))
    assert lightness.max(initial=0) <= 110


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_brown_of_immunohistochemistry_is_told_from_eosin(method: str) -> None:
    found = judged(BROWN, method, "raw")
    assert found.transform == Identity()
    assert "more blue than green, as brown" in found.reason


def test_random_colours_leave_a_residual_that_two_stains_do_not_explain() -> None:
    dyes = mixture([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.3, 0.3, 0.9]], [0.4, 0.4, 0.9])
    assert judged(dyes, "macenko", "raw").record["status"] == "bad"


@pytest.mark.parametrize("method", METHODS)
def test_ink_beside_tissue_does_not_move_the_fit(method: str, mixed: Callable[..., Image]) -> None:
    tissue = mixed().reshape(-1, 3)
    tissue = tissue[~is_ink(tissue)]
    marked = np.vstack([tissue, pen(2.0, 1.15, 0.3)[:1500], np.full((500, 3), 20, np.uint8)])
    ink = marked[len(tissue) :]
    clean, smeared = judged(tissue, method, "fail"), judged(marked, method, "fail")
    assert is_ink(ink[ink[:, 0] < 150]).mean() > 0.95
    assert smeared.record["ink_pixels"] > 1000
    apart = np.abs(clean.transform.apply(tissue[None, None]).astype(int) - smeared.transform.apply(tissue[None, None]))
    assert apart.mean() < 6


def test_haematoxylin_and_eosin_are_no_ink(mixed: Callable[..., Image]) -> None:
    assert is_ink(mixed(amounts=(1.2, 0.8)).reshape(-1, 3)).mean() < 0.01


@pytest.mark.parametrize("method", METHODS)
def test_a_good_fit_records_what_it_is_judged_by(method: str, tissue: Image) -> None:
    record = judged(tissue, method, "fail").record
    assert record["status"] == "good"
    if method != "reinhard":
        assert 20 < record["angle_degrees"] < 45
        assert record["condition"] > 1
        assert record["residual"] < 0.05
        assert record["stretch"] < 4
    assert "reason" not in record
