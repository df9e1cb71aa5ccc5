"""Tiles of two lists at one place: by corner, by centre, and in another frame."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from wsi_features.tiles.pairing import Frame, Placed, pairing, usual_step

Floats = npt.NDArray[np.float64]


def patch(step: int = 512) -> Floats:
    """A slanted patch of a grid, wider than high."""
    column, line = np.meshgrid(np.arange(17), np.arange(11))
    inside = (column + line > 4) & (column - 2 * line < 9)
    return np.stack([column[inside] * step + 1000, line[inside] * step + 300], axis=1).astype(np.float64)


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 60), st.integers(0, 60))
def test_every_tile_that_both_have_finds_itself_in_any_order(random: object, left: int, right: int) -> None:
    corners = patch()
    order = list(range(len(corners)))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, two = corners[left:], corners[order][: len(order) - right]
    found = pairing(Placed(one, 512), Placed(two, 512))
    common = {tuple(c) for c in one.tolist()} & {tuple(c) for c in two.tolist()}
    assume(len(common) >= min(len(one), len(two)) / 2)
    np.testing.assert_array_equal(one[found.first], two[found.second])
    assert (len(found), found.exact, found.frame) == (len(common), len(common), Frame())
    assert (np.diff(found.first) > 0).all()


@pytest.mark.parametrize("shift", [(256.0, 256.0), (64.0, -128.0), (-3000.0, 1717.0)])
def test_a_constant_shift_is_found(shift: tuple[float, float]) -> None:
    corners = patch()
    found = pairing(Placed(corners, 512), Placed((corners + shift)[::-1], 512))
    assert found.frame == Frame(shift=shift)
    assert found.second.tolist() == list(range(len(corners)))[::-1]


def test_exchanged_axes_are_found() -> None:
    corners = patch()
    found = pairing(Placed(corners, 512), Placed(corners[:, ::-1], 512))
    assert (found.frame, len(found)) == (Frame(swapped=True), len(corners))


@pytest.mark.parametrize("factor", [0.25, 1 / 3.97, 2.0, 0.2521 / 0.5])
def test_positions_in_pixels_of_another_resolution_are_found(factor: float) -> None:
    corners = patch()
    found = pairing(Placed(corners, 512), Placed(np.rint(corners * factor), 512 * factor))
    assert found.frame.factor == pytest.approx(factor, rel=2e-3)
    assert found.first.tolist() == found.second.tolist() == list(range(len(corners)))


def test_tiles_of_another_width_are_paired_by_centre() -> None:
    corners = patch()
    found = pairing(Placed(corners, 512), Placed(corners - [256, 256], 1024))
    assert (len(found), found.exact, found.frame) == (len(corners), 0, Frame())
    assert found.distance.max() == 0


def test_only_centres_within_the_tolerance_are_paired() -> None:
    corners = patch()
    moved = corners + np.where(np.arange(len(corners)) < 100, 3, 40)[:, None]
    assert len(pairing(Placed(corners, 512), Placed(moved, 512), 5.0)) == 100


def test_grids_that_have_nothing_to_do_with_each_other_are_not_forced_together(rng: np.random.Generator) -> None:
    one, two = rng.integers(0, 90_000, (80, 2)), rng.integers(0, 60_000, (70, 2))
    found = pairing(Placed(one.astype(np.float64), 512), Placed(two.astype(np.float64), 512))
    assert (len(found), found.frame) == (0, Frame())


def test_a_corner_that_comes_twice_is_paired_once() -> None:
    corners = patch()
    found = pairing(Placed(corners, 512), Placed(np.concatenate([corners, corners[:5]]), 512))
    assert len(found) == len(corners)
    assert len(set(found.second.tolist())) == len(corners)


def test_of_two_tiles_near_one_the_nearer_is_taken_and_the_other_stays_alone() -> None:
    one, two = patch(), patch() + np.array([2, 0])
    crowded = np.concatenate([one[:1] + np.array([5, 0]), two])
    found = pairing(Placed(one, 512), Placed(crowded, 512), 8.0)
    assert found.first.tolist() == list(range(len(one)))
    assert found.second.tolist() == list(range(1, len(one) + 1))
    lonely = pairing(Placed(np.concatenate([one, one[:1] + np.array([-3, 0])]), 512), Placed(two, 512), 8.0)
    assert lonely.first.tolist() == list(range(len(one)))


def test_nothing_is_paired_with_nothing() -> None:
    assert len(pairing(Placed(np.empty((0, 2)), 512), Placed(patch(), 512))) == 0


def test_the_usual_step_is_the_commonest_along_a_line() -> None:
    corners = patch(300)
    assert usual_step(corners[np.arange(len(corners)) % 7 != 3]) == 300
    assert usual_step(np.array([[0.0, 5.0], [7.0, 9.0]])) == 0
