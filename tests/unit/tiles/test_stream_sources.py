"""Streams of several slides: order, faults, threads that hang, and the end."""

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import tifffile

from wsi_features.errors import SlideFileError, TileReadError
from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide, Slide
from wsi_features.slides.slide import Pixels
from wsi_features.slides.tiff import TiffIndex, TiffReader, tiff_index
from wsi_features.tiles import ReadRecipe, regular_grid, tile_scale
from wsi_features.tiles.buffers import Buffers
from wsi_features.tiles.source import TileSource
from wsi_features.tiles.stream import SourceBatch, SourceEnd, SourceFault, Streamed, tile_stream
from wsi_features.tiles.watch import StreamTimes

EXTENT = Size(330, 210)
TILES = 10 * 6
SCALE = tile_scale("s1", (1.0,), native=0.25, asked=0.25, size=32)


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (EXTENT.height, EXTENT.width, 3), np.uint8)


class Checked(ArraySlide):
    """Does `before` ahead of each read, and notes whether it is closed."""

    def __init__(self, before: Callable[[Region], None] = lambda _: None, seed: int = 0) -> None:
        super().__init__(noise(seed))
        self._before, self.closed = before, False

    def read(self, region: Region, level: int) -> Pixels:
        self._before(region)
        return super().read(region, level)

    def close(self) -> None:
        self.closed = True


def source(name: str = "s1", open_slide: Callable[[], Slide] = Checked, **other: object) -> TileSource:
    return TileSource(name, open_slide, regular_grid(EXTENT, SCALE), SCALE, ReadRecipe(), **other)  # type: ignore[arg-type]


def said(items: list[Streamed]) -> list[str]:
    """The stream in short: slide and last row of each batch, and how each source ended."""
    marks = {SourceEnd: "end", SourceFault: "fault"}
    return [
        f"{item.source.slide_id} {item.tiles.rows[-1] if isinstance(item, SourceBatch) else marks[type(item)]}"
        for item in items
    ]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "tiles"]


def refuse(error: BaseException) -> Callable[..., Slide]:
    def raising(*_: object) -> Slide:
        raise error

    return raising


def at(x: int, y: int, act: Callable[[], object]) -> Callable[[Region], None]:
    return lambda region: act() if (region.x, region.y) == (x, y) else None  # type: ignore[return-value, func-returns-value]


def test_sources_come_in_order_each_with_its_batches_and_its_end() -> None:
    empty = TileSource("s2", Checked, source().grid.keep(np.zeros(TILES, np.bool_)), SCALE, ReadRecipe())
    items = list(tile_stream([source("s1"), empty, source("s3", first=50)], batch=25, workers=2))
    assert said(items) == ["s1 24", "s1 49", "s1 59", "s1 end", "s2 end", "s3 59", "s3 end"]


def test_what_belongs_to_the_caller_comes_back() -> None:
    mine = source(key=("anything", 7))
    assert all(item.source is mine for item in tile_stream([mine], batch=40, workers=1))


@pytest.fixture(scope="module")
def tiff(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], TiffReader]:
    path = tmp_path_factory.mktemp("stream") / "noise.tif"
    tifffile.imwrite(path, noise(), tile=(48, 64), photometric="rgb", compression="deflate")
    index = tiff_index(str(path))
    assert isinstance(index, TiffIndex)
    return lambda: TiffReader("s1", str(path), index)


@pytest.mark.parametrize("blocks", [True, False])
def test_bytes_do_not_depend_on_threads_or_queues(blocks: bool, tiff: Callable[[], TiffReader]) -> None:
    opener = tiff if blocks else Checked
    found = set()
    for workers, ahead, mib in [(1, 4, 512), (2, 1, 512), (4, 8, 512), (3, 2, 0)]:
        items = tile_stream(
            [source("s1", opener), source("s2", opener)], batch=7, workers=workers, ahead=ahead, memory_mib=mib
        )
        found.add(b"".join(item.tiles.pixels.tobytes() for item in items if isinstance(item, SourceBatch)))
    assert len(found) == 1
    assert len(found.pop()) == 2 * TILES * 32 * 32 * 3


@pytest.mark.parametrize("workers", [1, 3])
def test_finished_tiles_are_changed_once_each_by_what_the_source_says(workers: int) -> None:
    def darker(tiles: np.ndarray) -> None:
        tiles //= 2

    times = StreamTimes()
    plain, changed = (
        np.concatenate(
            [
                i.tiles.pixels
                for i in tile_stream([s], batch=7, workers=workers, times=times)
                if isinstance(i, SourceBatch)
            ]
        )
        for s in (source(), source(finish=darker))
    )
    assert np.array_equal(changed, plain // 2)
    assert 0 < times.finishing < times.decoding + times.finishing
    assert times.taken == 2 * -(-TILES // 7) <= times.ready


def test_a_slide_that_does_not_open_is_a_fault_and_the_others_come_whole() -> None:
    gone = source("s2", refuse(OSError("disk gone")))
    items = list(tile_stream([source("s1"), gone, source("s3")], batch=60, workers=2))
    assert said(items) == ["s1 59", "s1 end", "s2 fault", "s3 59", "s3 end"]
    (fault,) = [item for item in items if isinstance(item, SourceFault)]
    assert str(fault.error) == "disk gone"


@pytest.mark.parametrize("workers", [1, 4])
def test_an_error_while_reading_comes_after_all_batches_before_it(workers: int) -> None:
    slides = [Checked(at(96, 64, refuse(OSError("bad sector"))))]
    items = list(tile_stream([source("s1", lambda: slides[0]), source("s2")], batch=8, workers=workers))
    assert said(items)[:4] == ["s1 7", "s1 15", "s1 fault", "s2 7"]
    assert said(items)[-1] == "s2 end"
    assert slides[0].closed


def test_the_next_slide_is_read_while_the_last_batch_of_one_is_in_use() -> None:
    begun = threading.Event()
    stream = tile_stream(
        [source("s1"), source("s2", lambda: Checked(lambda _: begun.set()))], batch=60, workers=1, ahead=2
    )
    first = next(stream)
    assert isinstance(first, SourceBatch)
    assert begun.wait(5)
    assert said([first, *stream]) == ["s1 59", "s1 end", "s2 59", "s2 end"]


def test_sources_may_be_slow_to_come_and_are_waited_for_in_a_thread_of_the_stream() -> None:
    found: list[str] = []

    def slow() -> Iterator[TileSource]:
        for name in ("s1", "s2"):
            time.sleep(0.05)
            found.append(threading.current_thread().name)
            yield source(name)

    times = StreamTimes()
    items = tile_stream(slow(), batch=60, workers=1, times=times)
    assert said(list(items)) == ["s1 59", "s1 end", "s2 59", "s2 end"]
    assert found == ["tiles", "tiles"]
    assert times.for_batches > 0.09
    assert times.for_consumer == 0


def test_a_slide_without_tiles_is_opened_too() -> None:
    none = source().grid.keep(np.zeros(TILES, np.bool_))

    def slowly() -> Slide:
        time.sleep(0.1)
        raise OSError("disk gone")

    gone = TileSource("s1", slowly, none, SCALE, ReadRecipe())
    assert said(list(tile_stream([gone], batch=8, workers=1))) == ["s1 fault"]


def test_problems_of_a_batch_come_in_row_order_whatever_unit_they_are_in() -> None:
    rgba = np.concatenate([noise(), np.full((EXTENT.height, EXTENT.width, 1), 255, np.uint8)], axis=2)
    rgba[:16, 160:192, 3] = 0  # half of tile 5
    rgba[96:104, 96:128, 3] = 0  # a quarter of tile 33
    (batch, _) = tile_stream([source("s1", lambda: ArraySlide(rgba))], batch=TILES, workers=2)
    assert isinstance(batch, SourceBatch)
    assert np.flatnonzero(~batch.tiles.valid).tolist() == [5, 33]
    assert batch.tiles.problems == ("only 50.0% of it was scanned", "only 75.0% of it was scanned")


def test_of_several_errors_the_one_of_the_earliest_batch_counts() -> None:
    def fail(region: Region) -> None:
        if region.y == 0 and region.x in {32, 64}:
            time.sleep(0.1 if region.x == 64 else 0)
            raise OSError(f"at {region.x}")

    items = []
    for item in tile_stream([source("s1", lambda: Checked(fail))], batch=1, workers=2):
        time.sleep(0.2)
        items.append(item)
    assert said(items) == ["s1 0", "s1 fault"]
    assert isinstance(items[1], SourceFault)
    assert str(items[1].error) == "at 32"


def test_an_error_of_the_sources_themselves_is_raised_after_what_came_before() -> None:
    def broken() -> Iterator[TileSource]:
        yield source("s1")
        raise LookupError("no such artifact")

    items: list[Streamed] = []
    with pytest.raises(LookupError, match="no such artifact"):
        items.extend(tile_stream(broken(), batch=60, workers=1))
    stream = tile_stream(broken(), batch=60, workers=1)
    assert said([next(stream), next(stream)]) == ["s1 59", "s1 end"]
    with pytest.raises(LookupError):
        next(stream)


def test_no_more_is_made_ahead_than_was_asked_for() -> None:
    reads: list[Region] = []
    stream = tile_stream([source("s1", lambda: Checked(reads.append))], batch=5, workers=2, ahead=2)
    next(stream)
    time.sleep(0.2)
    assert len(reads) == 3 * 5
    stream.close()  # type: ignore[attr-defined]


def test_closing_ends_the_threads_and_closes_the_slides_and_the_sources() -> None:
    slides, left = [Checked(lambda region: time.sleep(0.1 if region.y else 0)) for _ in range(3)], []

    def sources() -> Iterator[TileSource]:
        try:
            for slide in slides:
                yield source("s1", lambda slide=slide: slide)
        finally:
            left.append(threading.current_thread().name)

    stream = tile_stream(sources(), batch=10, workers=2)
    next(stream)
    start = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 1
    assert threads() == []
    assert left == ["tiles"]
    assert slides[0].closed


def test_each_thread_needs_one_slide_and_all_are_closed() -> None:
    class Reopened(Checked):
        def reopened(self) -> ArraySlide:
            slides.append(Reopened())
            return slides[-1]

    slides: list[Checked] = [Reopened()]
    list(tile_stream([source("s1", lambda: slides[0])], batch=8, workers=3))
    assert 1 <= len(slides) <= 3
    assert all(slide.closed for slide in slides)


def test_an_exception_of_the_consumer_ends_the_stream() -> None:
    slide = Checked()

    def consume() -> None:
        for _ in tile_stream([source("s1", lambda: slide)], batch=4, workers=3):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert threads() == []
    assert slide.closed


def test_a_read_that_hangs_is_the_fault_of_its_slide_and_of_its_tile() -> None:
    free = threading.Event()
    slide = Checked(at(64, 32, lambda: free.wait(20)))
    stream = tile_stream([source("s1", lambda: slide), source("s2")], batch=6, workers=1, stall_seconds=0.2)
    items = list(stream)
    assert said(items)[:3] == ["s1 5", "s1 11", "s1 fault"]
    assert said(items)[-2:] == ["s2 59", "s2 end"]
    fault = items[2]
    assert isinstance(fault, SourceFault)
    assert isinstance(fault.error, TileReadError)
    assert "'s1'" in str(fault.error)
    assert "x=64, y=32" in str(fault.error)
    assert not slide.closed
    free.set()


def test_a_slide_that_hangs_while_it_is_opened_is_left_behind() -> None:
    free = threading.Event()

    def hanging() -> Slide:
        free.wait(20)
        return slide

    slide = Checked()
    items = list(tile_stream([source("s1", hanging), source("s2")], batch=60, workers=1, stall_seconds=0.2))
    assert said(items) == ["s1 fault", "s2 59", "s2 end"]
    assert isinstance(items[0], SourceFault)
    assert isinstance(items[0].error, SlideFileError)
    free.set()
    for _ in range(100):
        time.sleep(0.01)
        if slide.closed:
            break
    assert slide.closed


def test_sources_after_a_hanging_one_are_not_lost_when_it_comes_free() -> None:
    free = threading.Event()

    def hanging() -> Slide:
        free.wait(20)
        return Checked()

    def sources() -> Iterator[TileSource]:
        yield source("s1", hanging)
        free.set()
        time.sleep(0.3)
        yield source("s2")

    items = list(tile_stream(sources(), batch=60, workers=1, stall_seconds=0.1))
    assert said(items) == ["s1 fault", "s2 59", "s2 end"]


def test_an_idle_thread_does_not_pass_for_hanging() -> None:
    slow = source("s1", lambda: Checked(lambda _: time.sleep(0.03)), first=30)
    items = list(tile_stream([slow], batch=10, workers=3, ahead=1, stall_seconds=0.2))
    assert said(items) == ["s1 39", "s1 49", "s1 59", "s1 end"]


def test_a_slow_consumer_and_slow_sources_do_not_pass_for_hanging() -> None:
    def slow() -> Iterator[TileSource]:
        time.sleep(0.5)
        yield source("s1")

    items = []
    for item in tile_stream(slow(), batch=20, workers=1, ahead=1, stall_seconds=0.2):
        time.sleep(0.3)
        items.append(item)
    assert said(items) == ["s1 19", "s1 39", "s1 59", "s1 end"]


def test_an_end_does_not_wait_for_a_thread_that_hangs() -> None:
    free = threading.Event()
    slide = Checked(at(32, 0, lambda: free.wait(20)))
    stream = tile_stream([source("s1", lambda: slide)], batch=1, workers=1)
    next(stream)
    start = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    assert time.monotonic() - start < 2
    free.set()


def test_the_times_of_a_stream_can_be_read_while_it_runs(tiff: Callable[[], TiffReader]) -> None:
    times = StreamTimes()
    stream = tile_stream([source("s1", tiff)], batch=10, workers=1, ahead=1, times=times)
    next(stream)
    assert 10 <= times.tiles < TILES
    time.sleep(0.05)
    list(stream)
    assert times.tiles == TILES
    assert times.blocks == 5 * 4
    assert min(times.opening, times.reading, times.decoding, times.resampling, times.for_batches) > 0
    assert 0.04 < times.for_consumer < 1


def test_memory_is_used_again_only_when_nobody_sees_it() -> None:
    buffers = Buffers()
    first = buffers.array((4, 2, 3))
    place, part = first.ctypes.data, first[1:, :, :2]
    assert buffers.array((4, 2, 3)).ctypes.data != place
    view = memoryview(part)
    del first, part
    assert buffers.array((4, 2, 3)).ctypes.data != place
    del view
    assert buffers.array((4, 2, 3)).ctypes.data == place
    assert buffers.array((2, 5, 3)).shape == (2, 5, 3)


def test_a_batch_that_the_consumer_keeps_is_never_written_to_again() -> None:
    kept = [
        item.tiles for item in tile_stream([source()], batch=3, workers=2, ahead=2) if isinstance(item, SourceBatch)
    ]
    slide = ArraySlide(noise())
    for batch in kept:
        x, y = source().grid.origins[batch.rows[0]].tolist()
        np.testing.assert_array_equal(batch.pixels[0], slide.read(Region(x, y, 32, 32), 0).rgb)
