import numpy as np
import pytest

from wsi_features.geometry import Region
from wsi_features.slides import ArraySlide, Slide
from wsi_features.tiles import ReadRecipe, TileBatch, regular_grid, tile_batches, tile_scale
from wsi_features.tiles.pixels import tile_pixels

NOISE = np.random.default_rng(5).integers(0, 256, (330, 520, 3), np.uint8)


def batches(slide: Slide, *, batch: int = 7, workers: int = 2, recipe: ReadRecipe | None = None) -> list[TileBatch]:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.5, size=32)
    grid = regular_grid(slide.levels[0].size, scale)
    return list(tile_batches(lambda: slide, grid, scale, recipe or ReadRecipe(), batch=batch, workers=workers))


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_tiles_come_in_order_whatever_the_threads_and_batches(workers: int, batch: int) -> None:
    found = batches(ArraySlide(NOISE), batch=batch, workers=workers)
    one = batches(ArraySlide(NOISE), batch=40, workers=1)
    assert np.concatenate([b.rows for b in found]).tolist() == list(range(40))
    np.testing.assert_array_equal(np.concatenate([b.pixels for b in found]), one[0].pixels)


def test_an_unreadable_tile_keeps_its_place_and_is_marked() -> None:
    slide = ArraySlide(NOISE, unreadable=(Region(70, 5, 1, 1), Region(3, 64, 1, 1)))
    whole = batches(slide, batch=40)[0]
    assert np.flatnonzero(~whole.valid).tolist() == [1, 8]
    assert whole.problems == ("declared unreadable", "declared unreadable")
    good = batches(ArraySlide(NOISE), batch=40)[0]
    np.testing.assert_array_equal(whole.pixels[whole.valid], good.pixels[whole.valid])


def test_partly_scanned_tiles_are_judged_by_the_recipe() -> None:
    rgba = np.concatenate([NOISE, np.full((330, 520, 1), 255, np.uint8)], axis=2)
    rgba[:, 32:, 3] = 0
    strict, lenient = (
        batches(ArraySlide(rgba), batch=40),
        batches(ArraySlide(rgba), batch=40, recipe=ReadRecipe(min_coverage=0.5)),
    )
    assert not strict[0].valid[0]
    assert strict[0].problems[0] == "only 50.0% of it was scanned"
    assert lenient[0].valid[0]
    assert not lenient[0].valid[1]


def test_the_recipe_chooses_the_kernel() -> None:
    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.5, size=32)
    found = batches(ArraySlide(NOISE), recipe=ReadRecipe(interpolation="lanczos"))[0]
    wanted = tile_pixels(ArraySlide(NOISE), 64, 0, scale, "lanczos").rgb
    np.testing.assert_array_equal(found.pixels[1], wanted)


def test_every_thread_gets_a_slide_of_its_own_and_all_are_closed() -> None:
    class Counting(ArraySlide):
        closed = False

        def close(self) -> None:
            self.closed = True

    opened: list[Counting] = []

    def opener() -> Slide:
        opened.append(Counting(NOISE))
        return opened[-1]

    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.5, size=32)
    grid = regular_grid(ArraySlide(NOISE).levels[0].size, scale)
    stream = tile_batches(opener, grid, scale, ReadRecipe(), batch=4, workers=3)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert 1 <= len(opened) <= 3
    assert all(slide.closed for slide in opened)


def test_an_error_of_the_reader_reaches_the_caller() -> None:
    def refuse() -> Slide:
        raise OSError("disk gone")

    scale = tile_scale("s1", (1.0,), native=0.25, asked=0.5, size=32)
    grid = regular_grid(ArraySlide(NOISE).levels[0].size, scale)
    with pytest.raises(OSError, match="disk gone"):
        list(tile_batches(refuse, grid, scale, ReadRecipe(), batch=4, workers=2))


def test_no_tile_gives_no_batch() -> None:
    assert batches(ArraySlide(NOISE[:20])) == []
