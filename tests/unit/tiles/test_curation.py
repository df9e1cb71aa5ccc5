"""Which tiles stand for a slide: as many as asked, each once, the same each time, and spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from scipy.spatial import cKDTree

from wsi_features.tiles.curation import (
    _pieces,
    apportioned,
    cellular_rows,
    farthest_rows,
    mosaic_rows,
    spread_of,
    spread_rows,
)

WIDE = np.stack(np.meshgrid(np.arange(90), np.arange(50)), axis=-1).reshape(-1, 2).astype(np.int32)
"""A grid of 90 x 50 tiles, row by row."""

TISSUE = WIDE[
    (np.hypot(WIDE[:, 0] - 25, WIDE[:, 1] - 25) < 20)
    | ((WIDE[:, 0] > 60) & (WIDE[:, 1] < 12))
    | (WIDE == [80, 40]).all(axis=1)
]
"""A disc, a strip, and one tile alone."""


@st.composite
def tissues(draw: st.DrawFn) -> np.ndarray:
    width = draw(st.integers(1, 13))
    wanted = draw(st.lists(st.booleans(), min_size=width, max_size=80))
    rows = np.flatnonzero(wanted) if any(wanted) else np.array([0])
    return np.stack([rows % width, rows // width], axis=1).astype(np.int32)


@settings(max_examples=150, deadline=None)
@given(tissues(), st.integers(1, 90), st.integers(0, 9))
def test_a_choice_has_the_size_asked_for_and_holds_no_tile_twice(index: np.ndarray, count: int, seed: int) -> None:
    colours = np.abs(np.sin(index @ [[1.0, 2.0, 3.0], [5.0, 4.0, 3.0]])).round(1)
    positions, density = index * 512.0, np.sin(np.arange(len(index))).astype(np.float32)
    choices = (
        spread_rows(index, count, seed),
        farthest_rows(colours, count, seed),
        mosaic_rows(colours, positions, count, seed),
        cellular_rows(density, colours, positions, count, seed),
    )
    for rows in choices:
        assert len(rows) == min(count, len(index))
        assert (np.diff(rows) > 0).all()
        assert rows.size == 0 or 0 <= rows[0] <= rows[-1] < len(index)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(0, 300))
def test_shares_sum_up_and_are_in_proportion(sizes: list[int], more: int) -> None:
    many = np.array(sizes)
    count = min(len(many) + more, int(many.sum()))
    quota = apportioned(many, count)
    assert quota.sum() == count
    assert ((quota >= 1) & (quota <= many)).all()
    for one in range(len(many)):
        assert (quota[one] <= quota[many >= many[one]]).all() or (quota[one] - quota[many >= many[one]]).max() <= 1


def test_every_piece_of_tissue_gets_a_tile_and_large_ones_get_their_share() -> None:
    assert spread_rows(TISSUE, 3).size == 3
    assert [80, 40] in TISSUE[spread_rows(TISSUE, 3)].tolist()
    chosen = TISSUE[spread_rows(TISSUE, 60)]
    strip = (chosen[:, 0] > 60) & (chosen[:, 1] < 12)
    assert strip.sum() == pytest.approx(60 * 348 / len(TISSUE), abs=1.5)


@settings(max_examples=60, deadline=None)
@given(tissues())
def test_pieces_are_tiles_that_touch_also_in_a_corner(index: np.ndarray) -> None:
    raster = np.zeros(index.max(axis=0) + 1, np.bool_)
    raster[tuple(index.T)] = True
    wanted = label(raster, structure=np.ones((3, 3)))[0][tuple(index.T)]
    found = _pieces(index)
    assert len(set(zip(found.tolist(), wanted.tolist(), strict=True))) == len(set(wanted.tolist())) == found.max() + 1


def worst_gap(rows: np.ndarray) -> float:
    """How far the tile is that is farthest from a chosen one."""
    return float(cKDTree(TISSUE[rows]).query(TISSUE)[0].max())


@pytest.mark.parametrize("count", [25, 100, 400])
def test_a_cap_leaves_smaller_gaps_than_any_of_many_random_choices(count: int) -> None:
    random = np.random.default_rng(1)
    gaps = [worst_gap(random.choice(len(TISSUE), count, replace=False)) for _ in range(50)]
    assert max(worst_gap(spread_rows(TISSUE, count, seed)) for seed in range(5)) < min(gaps)


def test_a_cap_takes_equally_of_every_block() -> None:
    def uneven(rows: np.ndarray) -> float:
        return float(np.histogram2d(*WIDE[rows].T, bins=(9, 5), range=((0, 90), (0, 50)))[0].std())

    random = np.random.default_rng(1).choice(len(WIDE), 450, replace=False)
    assert uneven(spread_rows(WIDE, 450)) < uneven(random) / 3


def test_every_tile_is_as_likely_as_any_other() -> None:
    counts = sum(np.bincount(spread_rows(WIDE, 900, seed), minlength=len(WIDE)) for seed in range(100))
    assert counts.mean() == 20
    assert counts.max() < 45


def test_the_seed_and_nothing_else_changes_a_choice() -> None:
    assert spread_rows(TISSUE, 40, 1).tolist() == spread_rows(TISSUE.copy(), 40, 1).tolist()
    assert spread_rows(TISSUE, 40, 1).tolist() != spread_rows(TISSUE, 40, 2).tolist()
    colours = np.random.default_rng(0).random((len(TISSUE), 3))
    for choose in (mosaic_rows, lambda c, _, n, seed: farthest_rows(c, n, seed)):
        assert choose(colours, TISSUE * 1.0, 40, 1).tolist() == choose(colours.copy(), TISSUE * 1.0, 40, 1).tolist()
        assert choose(colours, TISSUE * 1.0, 40, 1).tolist() != choose(colours, TISSUE * 1.0, 40, 2).tolist()


def test_choices_do_not_change_between_releases() -> None:
    positions = WIDE[::37] * 3.0
    colours = np.sin(positions @ [[1.0, 0.3, 0.2], [0.1, 0.4, 0.9]]) * 100  # no two distances are the same
    assert spread_rows(WIDE[::37], 6).tolist() == [11, 14, 49, 52, 92, 98]
    assert farthest_rows(colours, 6).tolist() == [12, 26, 40, 95, 98, 103]
    assert mosaic_rows(colours, positions, 12).tolist() == [33, 45, 46, 57, 59, 62, 65, 74, 86, 88, 92, 96]


def test_the_farthest_points_leave_a_gap_of_at_most_twice_the_best() -> None:
    line = np.arange(101.0)[:, None]
    chosen = line[farthest_rows(line, 11, 3)]
    assert np.abs(line - chosen.T).min(axis=1).max() <= 10


def test_a_mosaic_shows_a_rare_colour_that_chance_would_miss() -> None:
    colours = np.tile([220.0, 150.0, 190.0], (len(WIDE), 1)) + np.random.default_rng(0).normal(0, 2, (len(WIDE), 3))
    rare = slice(2000, 2020)
    colours[rare] = [90.0, 60.0, 120.0]
    assert np.isin(mosaic_rows(colours, WIDE * 1.0, 20), np.arange(2000, 2020)).any()


def test_a_cellular_mosaic_takes_of_the_densest_half_only() -> None:
    density = np.linspace(5, 0, len(WIDE), dtype=np.float32)
    density[:100] = np.nan
    colours = np.random.default_rng(0).random((len(WIDE), 3))
    rows = cellular_rows(density, colours, WIDE * 1.0, 50)
    assert (rows.size, rows.min() >= 100, rows.max() < 100 + 2201) == (50, True, True)
    assert cellular_rows(density, colours, WIDE * 1.0, 4450).size == 4400


@given(st.integers(2, 60), st.integers(1, 59))
@settings(max_examples=40, deadline=None)
def test_a_jittered_draw_takes_each_tile_at_most_once_and_all_alike(n: int, count: int) -> None:
    wanted = min(count, n - 1)
    index = np.stack([np.arange(n) % 7, np.arange(n) // 7], axis=1).astype(np.int32)
    spread = spread_of(index)
    draws = [spread.rows(wanted, seed, jitter=True) for seed in range(200)]
    assert all(len(set(draw.tolist())) == wanted for draw in draws)
    often = np.bincount(np.concatenate(draws), minlength=n) / 200
    assert abs(often - wanted / n).max() < 0.2  # 5.7 standard deviations


def test_jittered_draws_differ_and_stay_spread() -> None:
    line = np.stack([np.arange(64), np.zeros(64)], axis=1).astype(np.int32)
    spread = spread_of(line)
    draws = {tuple(spread.rows(16, seed, jitter=True).tolist()) for seed in range(50)}
    assert len(draws) > 40
    assert all(np.diff(draw).max() <= 8 for draw in draws)
