"""Plans of small grids on levels of odd blocks; what `tile_pixels` asks a slide for says what a tile needs."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide
from wsi_features.slides.slide import BlockLayout, Level, Pixels
from wsi_features.tiles import TileGrid, TileScale, regular_grid, tile_scale
from wsi_features.tiles.pixels import tile_pixels
from wsi_features.tiles.plan import ReadPlan, read_plan, unit_starts

EXTENT = Size(410, 300)
BLOCK = Size(32, 24)
ACROSS, DOWN = 13, 13
MUCH = 2**30


class Asked(ArraySlide):
    """Notes which pixels it is asked for."""

    def __init__(self, level: Level) -> None:
        super().__init__(np.zeros((2, 3, 3), np.uint8))
        self.levels, self.regions = (level,), list[Region]()

    def read(self, region: Region, level: int) -> Pixels:  # noqa: ARG002 - it has one
        self.regions.append(region)
        return Pixels(np.zeros((region.height, region.width, 3), np.uint8), 1.0, "ok")


def layout(*unreadable: int) -> BlockLayout:
    readable = np.ones(ACROSS * DOWN, np.bool_)
    readable[list(unreadable)] = False
    return BlockLayout(BLOCK, ACROSS, readable)


def grid_of(scale: TileScale, kept: int = 2**32 - 1, x: int = 0, y: int = 0) -> TileGrid:
    """The tiles of the slide from (x, y) on that the bits of `kept` choose, in turns."""
    grid = regular_grid(EXTENT, scale, Region(x, y, EXTENT.width, EXTENT.height))
    return grid.keep(np.array([kept >> (i % 32) & 1 == 1 for i in range(len(grid))], np.bool_))


def units_of(plan: ReadPlan) -> list[list[int]]:
    return [plan.blocks[a:b].tolist() for a, b in zip(plan.entries[:-1], plan.entries[1:], strict=True)]


def needed(tile: tuple[int, int], scale: TileScale, level: Level, kernel: str) -> set[int]:
    slide = Asked(level)
    tile_pixels(slide, *tile, scale, kernel)  # type: ignore[arg-type]
    (asked,) = slide.regions
    columns = range(asked.x // BLOCK.width, -(-(asked.x + asked.width) // BLOCK.width))
    rows = range(asked.y // BLOCK.height, -(-(asked.y + asked.height) // BLOCK.height))
    return {row * ACROSS + column for row in rows for column in columns}


@st.composite
def plans(draw: st.DrawFn) -> tuple[ReadPlan, TileGrid, TileScale, Level, str, int]:
    size = draw(st.sampled_from([16, 24, 32]))
    downsample = draw(st.sampled_from([1.0, 1.003]))
    asked = draw(st.sampled_from([0.25, 0.5, 0.6, 1.0]))
    scale = tile_scale(
        "s1", (downsample,), native=0.25, asked=asked, size=size, overlap=draw(st.sampled_from([0, 5, size // 2]))
    )
    grid = grid_of(scale, draw(st.integers(1, 2**32 - 1)), draw(st.integers(0, 40)), draw(st.integers(0, 40)))
    level = Level(EXTENT, downsample)
    kernel = draw(st.sampled_from(["area", "bicubic"]))
    kept = draw(st.sampled_from([0, 10_000, 50_000, MUCH]))
    batch = draw(st.integers(1, 70))
    return (
        read_plan(grid, scale, level, layout(), kernel, batch=batch, kept_bytes=kept),
        grid,
        scale,
        level,
        kernel,
        kept,
    )


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_block_that_a_tile_needs_is_there_when_its_unit_is_made(drawn: tuple) -> None:
    plan, grid, scale, level, kernel, _ = drawn
    for unit, blocks in enumerate(units_of(plan)):
        apart = plan.apart(unit)
        for tile in range(plan.starts[unit], plan.starts[unit + 1]):
            if tile - plan.starts[unit] not in apart:
                assert needed(tuple(grid.origins[tile].tolist()), scale, level, kernel) <= set(blocks)


@settings(max_examples=60, deadline=None)
@given(plans())
def test_blocks_are_decoded_once_dropped_after_their_last_use_and_never_too_many_are_kept(drawn: tuple) -> None:
    plan, *_, kept_bytes = drawn
    left, alive = Counter(dict(enumerate(plan.uses.tolist()))), set()
    for unit in range(plan.units):
        for life in plan.lives[plan.entries[unit] : plan.entries[unit + 1]].tolist():
            left[life] -= 1
            alive.add(life)
        alive = {life for life in alive if left[life]}
        assert len(alive) * 3 * BLOCK.area // max(plan.reduction, 1) ** 2 <= kept_bytes
    assert not +left
    assert not -left
    if kept_bytes == MUCH:
        assert len(plan.uses) == len(set(plan.blocks.tolist()))


@settings(max_examples=40, deadline=None)
@given(plans())
def test_entries_of_one_life_are_of_one_block_and_ascend_within_a_unit(drawn: tuple) -> None:
    plan = drawn[0]
    assert len(set(zip(plan.lives.tolist(), plan.blocks.tolist(), strict=True))) == len(plan.uses)
    assert all(blocks == sorted(set(blocks)) for blocks in units_of(plan))


@given(st.integers(0, 50), st.integers(0, 300), st.integers(1, 80), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_units_cover_all_rows_in_order_and_stay_within_batches(first: int, rows: int, batch: int, most: int) -> None:
    starts = unit_starts(first, first + rows, batch, most)
    assert (starts[0], starts[-1]) == (first, first + rows)
    sizes = np.diff(starts)
    assert rows == 0 or (sizes.min() >= 1 and sizes.max() <= most)
    assert set(range(first, first + rows, batch)) <= set(starts.tolist())


def test_blocks_are_reduced_where_tiles_lie_on_whole_reduced_pixels() -> None:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.5, size=16)
    for x, kernel, reduction in [(0, "area", 2), (6, "area", 2), (7, "area", 0), (0, "bicubic", 0)]:
        grid = grid_of(scale, x=x, y=2)
        plan = read_plan(grid, scale, Level(EXTENT, 1.0), layout(), kernel, batch=8, kept_bytes=MUCH)  # type: ignore[arg-type]
        assert plan.reduction == reduction


def test_blocks_are_not_reduced_where_both_axes_differ() -> None:
    scale = tile_scale("s1", ((1.0, 1.28),), native=0.25, asked=0.5, size=16)
    grid = grid_of(scale).keep(grid_of(scale).origins[:, 1] == 0)
    plan = read_plan(grid, scale, Level(EXTENT, 1.14), layout(), "area", batch=8, kept_bytes=MUCH)
    assert plan.reduction == 0


def test_a_tile_that_reaches_beyond_its_level_is_read_apart() -> None:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.25, size=30)
    level = Level(Size(EXTENT.width, EXTENT.height - 1), 1.0)  # the slide has 300 rows, ten whole tiles
    plan = read_plan(grid_of(scale), scale, level, layout(), "area", batch=13, kept_bytes=MUCH)
    assert plan.reduction == 1
    assert [len(plan.apart(unit)) for unit in range(plan.units)] == [0] * 9 + [13]


def test_a_wide_grid_over_its_memory_keeps_as_many_blocks_as_it_may() -> None:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.25, size=24)
    grid = grid_of(scale, x=4, y=4)
    four = 4 * BLOCK.area * 3
    plan = read_plan(grid, scale, Level(EXTENT, 1.0), layout(), "area", batch=8, kept_bytes=four)
    times = np.bincount(plan.blocks, minlength=ACROSS * DOWN), np.bincount(plan.lives)
    # Each of the rows of blocks is used by two rows of tiles: four of its 13 blocks are decoded for both.
    assert times[0].sum() > len(plan.uses) > len(set(plan.blocks.tolist())) + 60
    assert times[1].max() > 1


def test_tiles_that_an_unreadable_block_touches_are_read_apart() -> None:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.25, size=16)
    grid = grid_of(scale)
    plan = read_plan(grid, scale, Level(EXTENT, 1.0), layout(ACROSS + 1), "area", batch=len(grid), kept_bytes=MUCH)
    apart = {int(plan.starts[unit]) + tile for unit in range(plan.units) for tile in plan.apart(unit)}
    # Block (1, 1) covers x 32 to 64, y 24 to 48: tile columns 2 and 3, rows 1 and 2 of 25 columns.
    assert apart == {27, 28, 52, 53}
    assert ACROSS + 1 not in plan.blocks


@pytest.mark.parametrize("overlap", [0, 8])
def test_cuts_put_every_pixel_of_a_tile_in_its_place_once(overlap: int) -> None:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.5, size=16, overlap=overlap)
    grid = grid_of(scale, x=10, y=6)
    plan = read_plan(grid, scale, Level(EXTENT, 1.0), layout(), "area", batch=20, kept_bytes=MUCH)
    found = np.zeros((len(grid), 16, 16, 2), np.int64)
    for unit, blocks in enumerate(units_of(plan)):
        for block, cuts in zip(blocks, plan.cuts(unit, 16), strict=True):
            corner = np.array([block % ACROSS * 16, block // ACROSS * 12])
            for tile, top, bottom, left, right, y0, y1, x0, x1 in cuts:
                y, x = np.mgrid[y0:y1, x0:x1]
                found[plan.starts[unit] + tile, top:bottom, left:right] += np.stack([x, y], axis=2) + corner
    y, x = np.mgrid[:16, :16]
    np.testing.assert_array_equal(found, np.stack([x, y], axis=2) + grid.origins[:, None, None] // 2)


def test_a_grid_without_tiles_and_one_read_from_its_last_row_on_have_plans() -> None:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.5, size=16)
    empty = read_plan(grid_of(scale, 0), scale, Level(EXTENT, 1.0), layout(), "area", batch=8, kept_bytes=MUCH)
    assert (empty.units, len(empty.blocks)) == (0, 0)
    grid = grid_of(scale)
    late = read_plan(grid, scale, Level(EXTENT, 1.0), layout(), "area", batch=8, kept_bytes=MUCH, first=len(grid) - 1)
    assert late.starts.tolist() == [len(grid) - 1, len(grid)]
    assert late.blocks.tolist() == sorted(needed(tuple(grid.origins[-1].tolist()), scale, Level(EXTENT, 1.0), "area"))
