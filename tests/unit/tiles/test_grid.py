import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.errors import ResolutionError
from wsi_features.geometry import Region, Size
from wsi_features.tiles import TileGrid, TileScale, regular_grid, tile_scale, usable_bounds
from wsi_features.tiles.grid import scale_of_span

WIDE = Size(1000, 600)  # never square: a swapped axis must fail


def scale(*, native: float = 0.25, asked: float = 0.5, size: int = 100, **more: float) -> TileScale:
    return tile_scale("s1", (1.0, 4.0), native=native, asked=asked, size=size, **more)  # type: ignore[arg-type]


def grid(**more: float) -> TileGrid:
    return regular_grid(WIDE, scale(**more))  # type: ignore[arg-type]


def test_tiles_run_row_by_row_from_the_top_left() -> None:
    assert grid().origins[:6].tolist() == [[0, 0], [200, 0], [400, 0], [600, 0], [800, 0], [0, 200]]
    assert grid().index[:6].tolist() == [[0, 0], [1, 0], [2, 0], [3, 0], [4, 0], [0, 1]]


def test_a_tile_that_would_cross_the_edge_is_left_out() -> None:
    assert len(regular_grid(Size(1000, 599), scale())) == 10
    assert len(regular_grid(Size(999, 600), scale())) == 12


def test_overlap_shortens_the_step() -> None:
    assert grid(overlap=50).origins[:3].tolist() == [[0, 0], [100, 0], [200, 0]]


def test_a_slide_scanned_too_coarsely_is_refused_with_the_remedy() -> None:
    with pytest.raises(ResolutionError, match=r"'s1' was scanned at 1 um/px.*Set `tiles.mpp`"):
        scale(native=1.0)


@pytest.mark.parametrize("native", [0.5015, 0.5032, 0.525])
def test_a_slightly_coarser_slide_is_read_one_to_one_and_says_so(native: float) -> None:
    found = scale(native=native)
    assert (found.span, found.level, found.resize) == (100, 0, 1.0)
    assert found.effective == native


def test_a_footprint_within_a_pixel_is_not_resampled() -> None:
    assert tile_scale("s1", (1.0,), native=0.499, asked=0.5, size=256).span == 256
    assert tile_scale("s1", (1.0,), native=0.498, asked=0.5, size=256).span == 257


def test_the_effective_resolution_is_that_of_the_whole_span() -> None:
    found = scale(native=0.2432, size=256)
    assert found.span == round(256 * 0.5 / 0.2432)
    assert found.effective == pytest.approx(found.span * 0.2432 / 256)


@pytest.mark.parametrize(("asked", "level"), [(0.5, 0), (0.99, 0), (1.0, 1), (4.0, 1)])
def test_the_level_is_the_coarsest_that_is_fine_enough(asked: float, level: int) -> None:
    assert scale(asked=asked).level == level


def test_a_level_a_hair_coarser_than_the_tile_still_counts() -> None:
    assert tile_scale("s1", (1.0, 4.0003), native=0.25, asked=1.0, size=256).level == 1


def test_the_refusal_names_the_way_to_enlarge() -> None:
    with pytest.raises(ResolutionError, match=r"set `tiles.upsample`"):
        scale(native=1.0)


@pytest.mark.parametrize(("native", "span"), [(1.0, 50), (0.6, 83), (0.53, 94)])
def test_an_enlarged_tile_has_the_resolution_asked_for(native: float, span: int) -> None:
    found = scale(native=native, upsample=True)
    assert (found.span, found.level) == (span, 0)
    assert found.resize == pytest.approx(100 / span)
    assert found.effective == pytest.approx(0.5, rel=0.5 / span)


def test_allowing_to_enlarge_changes_nothing_for_slides_that_are_fine_enough() -> None:
    for native in (0.25, 0.5, 0.525):
        assert scale(native=native, upsample=True) == scale(native=native)


def test_enlarged_tiles_overlap_by_their_share() -> None:
    assert scale(native=1.0, overlap=50, upsample=True).step == 25


def test_the_coarser_axis_decides_the_level() -> None:
    assert tile_scale("s1", (1.0, (4.0, 4.1)), native=0.25, asked=1.0, size=256).level == 0
    assert tile_scale("s1", (1.0, (3.9, 4.0)), native=0.25, asked=1.0, size=256).level == 1


def test_the_grid_starts_at_the_bounds_and_stays_inside() -> None:
    found = regular_grid(WIDE, scale(), Region(130, 70, 640, 430))
    assert found.origins.tolist() == [[130, 70], [330, 70], [530, 70], [130, 270], [330, 270], [530, 270]]
    assert found.index[0].tolist() == [0, 0]
    assert found.index[-1].tolist() == [2, 1]


def test_bounds_beyond_the_slide_are_cut_to_it() -> None:
    assert usable_bounds(WIDE, Region(-50, 500, 400, 300)) == Region(0, 500, 350, 100)
    assert usable_bounds(WIDE, Region(900, -10, 400, 50)) == Region(900, 0, 100, 40)


@pytest.mark.parametrize(
    "absurd", [None, Region(1000, 0, 9, 9), Region(0, 600, 9, 9), Region(5, 5, 0, 9), Region(5, 5, 9, -9)]
)
def test_bounds_that_hold_nothing_of_the_slide_are_ignored(absurd: Region | None) -> None:
    assert usable_bounds(WIDE, absurd) is None
    np.testing.assert_array_equal(regular_grid(WIDE, scale(), absurd).origins, grid().origins)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 5000),
    height=st.integers(1, 4000),
    native=st.floats(0.1, 0.5),
    size=st.integers(16, 512),
    overlap=st.integers(0, 15),
)
def test_every_tile_lies_inside_and_the_grid_is_full(
    width: int, height: int, native: float, size: int, overlap: int
) -> None:
    found = tile_scale("s1", (1.0,), native=native, asked=0.5, size=size, overlap=overlap)
    tiles = regular_grid(Size(width, height), found)
    columns = max(0, (width - found.span) // found.step + 1)
    rows = max(0, (height - found.span) // found.step + 1)
    assert len(tiles) == columns * rows
    if len(tiles):
        assert (tiles.origins.max(axis=0) + found.span <= [width, height]).all()
        np.testing.assert_array_equal(tiles.origins, tiles.index * found.step)
        order = tiles.index[:, 1].astype(np.int64) * columns + tiles.index[:, 0]
        np.testing.assert_array_equal(order, np.arange(len(tiles)))


def test_keep_leaves_the_order() -> None:
    kept = grid().keep(np.arange(15) % 2 == 1)
    assert kept.origins[:3].tolist() == [[200, 0], [600, 0], [0, 200]]
    assert kept.index[:3].tolist() == [[1, 0], [3, 0], [0, 1]]


@pytest.mark.parametrize(("span", "level"), [(512, 0), (500, 0), (1024, 1), (1023, 0), (2047, 1)])
def test_a_span_that_is_given_is_kept_to_the_pixel(span: int, level: int) -> None:
    found = scale_of_span("s1", (1.0, 2.0), native=0.25, asked=0.5, size=512, span=span, step=7)
    assert (found.span, found.step, found.level, found.asked) == (span, 7, level, 0.5)
    assert found.effective == span * 0.25 / 512


def test_a_span_of_too_few_pixels_is_refused_unless_it_may_be_enlarged() -> None:
    wanted = {"native": 0.25, "asked": 0.5, "size": 256, "span": 200, "step": 200}
    with pytest.raises(ResolutionError, match=r"tiles of 200 level-0 pixels were asked for as 256 px.*`tiles.size`"):
        scale_of_span("s1", (1.0,), **wanted)  # type: ignore[arg-type]
    assert scale_of_span("s1", (1.0,), **wanted, upsample=True).resize == 1.28  # type: ignore[arg-type]
