"""Tiles of a small tiled TIFF, through the stream, against `tile_pixels` on the same file."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import BlockSlide, Slide
from wsi_features.slides.tiff import TiffIndex, TiffReader, tiff_index
from wsi_features.tiles import ReadRecipe, TileGrid, TileScale, regular_grid, tile_batches, tile_scale
from wsi_features.tiles.blocks import BlockTiles, SharedBlocks, cached_array
from wsi_features.tiles.pixels import tile_pixels
from wsi_features.tiles.plan import ReadPlan, read_plan
from wsi_features.tiles.source import TileSource
from wsi_features.tiles.stream import tile_stream
from wsi_features.tiles.watch import AbandonedError, StreamTimes, Watch

WIDTH, HEIGHT = 530, 390
NOISE = np.random.default_rng(8).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
LEVELS = (NOISE, NOISE[::2, ::2], NOISE[: 3 * 130 : 3, : 3 * 176 : 3])
"""The last has 176 of 176.67 pixels: its downsample is no whole number."""
DAMAGED, MISSING = (38, 9, 5), 70
"""Blocks of 48 x 32: one of each level, and one of the finest."""

Opener = Callable[[], TiffReader]


def write_levels(path: Path, **how: object) -> None:
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(LEVELS):
            file.write(level, tile=(32, 48), subfiletype=int(number > 0), photometric="rgb", metadata=None, **how)


def opener(path: Path) -> Opener:
    index = tiff_index(str(path))
    assert isinstance(index, TiffIndex), index
    return lambda: TiffReader("s1", str(path), index)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    path = tmp_path_factory.mktemp("blocks") / "whole.tif"
    write_levels(path, compression="deflate")
    return opener(path)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    path = tmp_path_factory.mktemp("blocks") / "broken.tif"
    write_levels(path, compression="deflate")
    with tifffile.TiffFile(path, mode="r+b") as file:
        counts = list(file.pages[0].databytecounts)
        for page, damaged in zip(file.pages, DAMAGED, strict=True):
            file.filehandle.seek(page.dataoffsets[damaged] + 40)
            file.filehandle.write(b"\xff" * 200)
        counts[MISSING] = 0
        file.pages[0].tags[325].overwrite(counts)
    return opener(path)


def scale_of(slide: Slide, asked: float, size: int = 32, overlap: int = 0) -> TileScale:
    downsamples = [(WIDTH / level.size.width, HEIGHT / level.size.height) for level in slide.levels]
    downsamples[1] = (2.0, 2.0)
    return tile_scale("s1", downsamples, native=0.25, asked=asked, size=size, overlap=overlap)


def assert_equal_to_single_tiles(open_slide: Opener, grid: TileGrid, scale: TileScale, recipe: ReadRecipe) -> None:
    slide = open_slide()
    for found in tile_batches(open_slide, grid, scale, recipe, batch=17, workers=2):
        problems = []
        for row, pixels, valid in zip(found.rows, found.pixels, found.valid, strict=True):
            x, y = grid.origins[row].tolist()
            wanted = tile_pixels(slide, x, y, scale, recipe.interpolation)
            np.testing.assert_array_equal(pixels, wanted.rgb, err_msg=f"at {x}, {y}")
            assert valid == (wanted.status == "ok" and wanted.coverage >= recipe.min_coverage)
            problems += [] if valid else [wanted.reason or f"only {wanted.coverage:.1%} of it was scanned"]
        assert list(found.problems) == problems


@st.composite
def wishes(draw: st.DrawFn) -> tuple[float, int, int, Region, ReadRecipe, int]:
    """Resolution, tile size, overlap, bounds, recipe, and which tiles are kept."""
    size = draw(st.sampled_from([24, 32, 48]))
    recipe = ReadRecipe(
        interpolation=draw(st.sampled_from(["area", "area", "area", "bilinear", "lanczos"])),
        min_coverage=draw(st.sampled_from([1.0, 0.5])),
    )
    bounds = Region(draw(st.integers(0, 60)), draw(st.integers(0, 60)), WIDTH, HEIGHT)
    asked = draw(st.sampled_from([0.25, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0]))
    return asked, size, draw(st.sampled_from([0, size // 2, 7])), bounds, recipe, draw(st.integers(1, 255))


@pytest.mark.parametrize("state", ["whole", "broken"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wish=wishes())
def test_tiles_are_those_that_are_read_one_by_one(state: str, wish: tuple, request: pytest.FixtureRequest) -> None:
    open_slide: Opener = request.getfixturevalue(state)
    asked, size, overlap, bounds, recipe, kept = wish
    scale = scale_of(open_slide(), asked, size, overlap)
    grid = regular_grid(Size(WIDTH, HEIGHT), scale, bounds)
    wanted = np.array([kept >> (i % 8) & 1 == 1 for i in range(len(grid))], np.bool_)
    assert_equal_to_single_tiles(open_slide, grid.keep(wanted), scale, recipe)


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
@pytest.mark.parametrize("overlap", [0, 8])
def test_blocks_averaged_apart_are_equal_to_tiles_averaged_whole(whole: Opener, factor: int, overlap: int) -> None:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.25 * factor, size=16, overlap=overlap)
    grid = regular_grid(Size(WIDTH, HEIGHT), scale)
    slide = whole()
    plan = read_plan(grid, scale, slide.levels[0], slide.blocks(0), "area", batch=9, kept_bytes=2**20)
    assert plan.reduction == factor
    assert_equal_to_single_tiles(whole, grid, scale, ReadRecipe())


@pytest.mark.parametrize(("overlap", "x"), [(0, 0), (16, 0), (0, 5), (16, 5)])
@pytest.mark.parametrize("asked", [0.25, 0.5, 0.6])
def test_every_block_is_decoded_once_and_its_bytes_are_read_once(
    whole: Opener, asked: float, overlap: int, x: int
) -> None:
    slide = whole()
    scale = scale_of(slide, asked, overlap=overlap)
    level = slide.levels[scale.level].size
    grid = regular_grid(Size(WIDTH, HEIGHT), scale, Region(x, 3, 400, 300))
    touched = set()
    for left, top in (grid.origins / [scale.downsample_x, scale.downsample_y]).tolist():
        width = scale.span / scale.downsample_x
        right, bottom = min(left + width, level.width), min(top + width, level.height)
        columns, rows = (
            range(int(left) // 48, -(-int(right + 0.999) // 48)),
            range(int(top) // 32, -(-int(bottom + 0.999) // 32)),
        )
        touched |= {(row, column) for row in rows for column in columns}
    times = StreamTimes()
    source = TileSource("s1", whole, grid, scale, ReadRecipe())
    list(tile_stream([source], batch=8, workers=2, times=times))
    assert (times.blocks, times.tiles) == (len(touched), len(grid))
    assert times.bytes_read > 0.9 * len(touched) * 48 * 32


def test_where_too_little_memory_is_allowed_blocks_are_decoded_again_with_the_same_result(whole: Opener) -> None:
    scale = scale_of(whole(), 0.25, overlap=16)
    grid = regular_grid(Size(WIDTH, HEIGHT), scale)
    found = []
    for mib in (0, 512):
        times = StreamTimes()
        source = TileSource("s1", whole, grid, scale, ReadRecipe())
        batches = [
            item.tiles.pixels
            for item in tile_stream([source], batch=8, workers=2, memory_mib=mib, times=times)
            if hasattr(item, "tiles")
        ]
        found.append((times.blocks, np.concatenate(batches)))
    assert found[0][0] > found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_jpeg_can_be_reduced_by_its_decoder(tmp_path: Path) -> None:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([x / 3, y / 2, 128 + 90 * np.sin(x / 9)], axis=2).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "smooth.tif") as file:
        file.write(smooth, tile=(32, 48), photometric="ycbcr", compression="jpeg", metadata=None)
    open_slide = opener(tmp_path / "smooth.tif")
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.5, size=24)
    grid = regular_grid(Size(WIDTH, HEIGHT), scale)
    exact, scaled = (
        np.concatenate([b.pixels for b in tile_batches(open_slide, grid, scale, recipe, batch=9, workers=1)])
        for recipe in (ReadRecipe(), ReadRecipe(decode="scaled"))
    )
    assert 0 < np.abs(exact.astype(int) - scaled).max() < 40
    assert np.abs(exact.astype(int) - scaled).mean() < 1


def test_a_direct_tiff_offers_blocks_that_hold_what_it_reads(broken: Opener) -> None:
    slide = broken()
    assert isinstance(slide, BlockSlide)
    layout = slide.blocks(0)
    assert (layout.size, layout.across, layout.reducible) == (Size(48, 32), 12, False)
    assert np.flatnonzero(~layout.readable).tolist() == [MISSING]
    (data,) = slide.compressed(0, [13])
    assert isinstance(data, bytes)
    out = cached_array(layout.size)
    assert slide.decode(0, data, out) is out
    np.testing.assert_array_equal(out, slide.read(Region(48, 32, 48, 32), 0).rgb)
    assert slide.compressed(0, [MISSING]) == ["the file holds nothing for it"]


def test_blocks_lie_where_decoders_write_them_into_the_cache() -> None:
    for width in (48, 256, 512):
        array = cached_array(Size(width, 32))
        assert array.shape == (32, width, 3)
        assert array.ctypes.data % 32 == 16
        assert array.flags.c_contiguous


def shared_tiles(open_slide: Opener) -> BlockTiles:
    """Unaligned tiles, three to a unit, so that neighbours share blocks."""
    slide, scale = open_slide(), tile_scale("s1", (1.0,), native=0.25, asked=0.25, size=32)
    grid = regular_grid(Size(WIDTH, HEIGHT), scale, Region(5, 3, WIDTH, HEIGHT))
    plan = read_plan(grid, scale, slide.levels[0], slide.blocks(0), "area", batch=3, kept_bytes=2**30)
    return BlockTiles(slide, 0, plan, 32)


def test_no_block_is_held_once_all_units_are_made(whole: Opener) -> None:
    tiles, slots, held = shared_tiles(whole), np.empty((3, 32, 32, 3), np.uint8), []
    for unit in range(tiles.plan.units):
        assert tiles.copied(unit, slots, Watch(), StreamTimes()) == []
        held.append(len(tiles.shared))
    assert max(held) > 10
    assert held[-1] == 0


def test_who_waits_for_a_block_of_another_is_not_taken_for_hanging(whole: Opener) -> None:
    tiles, slots, watch = shared_tiles(whole), np.empty((3, 32, 32, 3), np.uint8), Watch()
    elsewhere = int(tiles.plan.lives[tiles.plan.entries[1] - 1])
    assert tiles.shared.claim([elsewhere]) == {elsewhere}
    watch.begin(0, bool)
    working = Thread(target=tiles.copied, args=(0, slots, watch, StreamTimes()), daemon=True)
    working.start()
    working.join(0.2)
    assert watch.since == float("inf")
    tiles.shared.put(elsewhere, cached_array(Size(48, 32)))
    working.join(5)
    assert not working.is_alive()


def plan_of_lives(*uses: int) -> ReadPlan:
    none = np.zeros(0, np.int64)
    return ReadPlan(none, none, none, Size(4, 2), 1, 1, none, none, none, np.array(uses))


def test_one_unit_decodes_a_shared_block_and_the_last_one_drops_it() -> None:
    shared, block = SharedBlocks(plan_of_lives(2, 2)), np.zeros((2, 4, 3), np.uint8)
    assert shared.claim([0, 1]) == {0, 1}
    assert shared.claim([0]) == set()
    shared.put(0, block)
    assert shared.wait(0) is block
    shared.release([0])
    assert len(shared) == 1
    shared.release([0])
    assert len(shared) == 0


def test_a_block_given_up_goes_to_the_next_who_waits() -> None:
    shared = SharedBlocks(plan_of_lives(3))
    shared.claim([0])
    found: list[object] = []
    waiting = Thread(target=lambda: found.append(shared.wait(0)), daemon=True)
    waiting.start()
    shared.give_up([0])
    waiting.join(5)
    assert found == [None]
    assert shared.claim([0]) == set()


def test_who_waits_when_all_ends_is_sent_away() -> None:
    shared = SharedBlocks(plan_of_lives(2))
    shared.claim([0])
    shared.end()
    with pytest.raises(AbandonedError):
        shared.wait(0)
