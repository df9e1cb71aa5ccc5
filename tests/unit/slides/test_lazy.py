"""A level as a lazy array: equal to reading, read only when computed, each thread with a slide of its own."""

from __future__ import annotations

import gc
import pickle
from functools import partial
from pathlib import Path
from threading import Barrier, Thread, get_ident
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.errors import TileReadError
from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide, open_slide
from wsi_features.slides.lazy import as_dask
from wsi_features.slides.slide import Form, Pixels, Slide

HEIGHT, WIDTH = 96, 160


def content() -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x, y, (x // 8 + y // 8) % 2 * 90 + 80], axis=2).astype(np.uint8)


class Counted(ArraySlide):
    """Knows which threads read what through which handle, and what was closed."""

    form = Form(tile=Size(48, 32))

    def __init__(self, **settings: Any) -> None:
        super().__init__(content(), downsamples=(1, 4), **settings)
        self.reads: list[tuple[Region, int]] = []
        self.handles: list[Handle] = []

    def read(self, region: Region, level: int) -> Pixels:
        self.reads.append((region, level))
        return super().read(region, level)

    def reopened(self) -> Handle:
        self.handles.append(Handle(self))
        return self.handles[-1]


class Handle(ArraySlide):
    """One handle of a counted slide."""

    def __init__(self, slide: Counted) -> None:
        self.slide, self.threads, self.closed = slide, set[int](), False
        self.levels = slide.levels

    def read(self, region: Region, level: int) -> Pixels:
        assert not self.closed
        self.threads.add(get_ident())
        return self.slide.read(region, level)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True, params=["synchronous", "threads"])
def _scheduler(request: pytest.FixtureRequest) -> Any:
    with dask.config.set(scheduler=request.param, num_workers=2):
        yield


@pytest.mark.parametrize("level", [0, 1, -1])
def test_it_equals_reading_the_whole_level(level: int) -> None:
    slide = Counted()
    lazy = as_dask(slide, level, chunk=40)
    size = slide.levels[level].size
    assert (lazy.shape, lazy.dtype) == ((size.height, size.width, 3), np.uint8)
    whole = slide.read(Region(0, 0, size.width, size.height), range(2)[level]).rgb
    np.testing.assert_array_equal(lazy.compute(), whole)
    assert {read for _, read in slide.reads} == {range(2)[level]}


def test_a_level_that_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError):
        as_dask(Counted(), 2)


def test_nothing_is_read_or_opened_before_it_is_computed() -> None:
    slide = Counted()
    lazy = as_dask(slide, 0, chunk=64)[10:20] + 1
    assert (slide.reads, slide.handles) == ([], [])
    lazy.compute()
    assert slide.reads


def test_a_slice_reads_no_more_than_the_slice() -> None:
    slide = Counted()
    as_dask(slide, 0, chunk=96)[5:9, 50:90].compute()
    assert slide.reads == [(Region(50, 5, 40, 4), 0)]


@pytest.mark.parametrize(
    ("tile", "chunk", "chunks"),
    [
        (Size(48, 32), 64, ((64, 32), (48, 48, 48, 16))),
        (Size(48, 32), 96, ((96,), (96, 64))),
        (Size(48, 32), 20, ((32, 32, 32), (20,) * 8)),
        (None, 64, ((64, 32), (64, 64, 32))),
        (Size(160, 8), 64, ((64, 32), (64, 64, 32))),
    ],
    ids=["nearest", "exact", "one tile", "no tiles", "strips"],
)
def test_chunks_end_where_stored_tiles_end(tile: Size | None, chunk: int, chunks: tuple[tuple[int, ...], ...]) -> None:
    slide = Counted()
    slide.form = Form(tile=tile)
    assert as_dask(slide, 0, chunk=chunk).chunks == (*chunks, (3,))


part = st.one_of(
    st.integers(0, HEIGHT - 1),
    st.slices(HEIGHT),
    st.lists(st.integers(0, HEIGHT - 1), min_size=1, max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(part, part, st.one_of(st.integers(0, 2), st.slices(3)))
def test_every_index_gives_what_the_same_index_of_an_array_gives(rows: Any, columns: Any, channels: Any) -> None:
    lazy = as_dask(Counted(), 0, chunk=40)
    wanted = content()[rows][..., columns, :][..., channels]
    np.testing.assert_array_equal(lazy[rows][..., columns, :][..., channels].compute(), wanted)


def test_what_was_never_scanned_is_white() -> None:
    pixels = np.dstack([content(), np.full((HEIGHT, WIDTH), 255, np.uint8)])
    pixels[40:, 30:] = 0
    found = as_dask(ArraySlide(pixels), chunk=40).compute()
    assert (found[40:, 30:] == 255).all()
    np.testing.assert_array_equal(found[:40], content()[:40])


def test_what_cannot_be_decoded_is_raised_with_its_place() -> None:
    lazy = as_dask(Counted(unreadable=[Region(100, 70, 4, 4)]), chunk=64, name="s1")
    wording = r"slide 's1': level 0 cannot be read at x=96, y=64 \(declared unreadable\)\. Copy or export"
    with pytest.raises(TileReadError, match=wording):
        lazy.compute()
    np.testing.assert_array_equal(lazy[:64].compute(), content()[:64])


def test_every_thread_reads_through_a_handle_of_its_own() -> None:
    slide = Counted()
    lazy = as_dask(slide, chunk=32)
    barrier = Barrier(2)

    def compute() -> None:
        barrier.wait()
        lazy.compute(scheduler="synchronous")

    threads = [Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(handle.threads) for handle in slide.handles] == [1, 1]


def test_handles_are_kept_between_computations_and_closed_with_the_array() -> None:
    slide = Counted()
    lazy = as_dask(slide, chunk=32)
    for _ in range(3):
        lazy.compute(scheduler="synchronous")
    (handle,) = slide.handles
    assert not handle.closed
    del lazy
    gc.collect()
    assert handle.closed


def test_two_arrays_are_never_taken_for_one() -> None:
    slide = Counted()
    assert as_dask(slide).name != as_dask(slide).name


@pytest.fixture
def small(slide_folder: Path) -> Path:
    return slide_folder / "small.svs"


def whole(slide: Slide, level: int) -> npt.NDArray[np.uint8]:
    size = slide.levels[level].size
    return slide.read(Region(0, 0, size.width, size.height), level).rgb


def test_a_slide_file_may_be_closed_before_it_is_computed(small: Path) -> None:
    with open_slide("s1", small) as slide:
        lazy, wanted = slide.as_dask(1), whole(slide, 1)
    np.testing.assert_array_equal(lazy.compute(), wanted)


def test_the_method_names_the_slide_in_its_errors(small: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.svs"
    damaged.write_bytes(small.read_bytes())
    with tifffile.TiffFile(small) as tiff, damaged.open("r+b") as file:
        last = len(tiff.pages[0].dataoffsets) - 1
        file.seek(tiff.pages[0].dataoffsets[last])
        file.write(bytes(tiff.pages[0].databytecounts[last]))
    with (
        open_slide("s7", damaged) as slide,
        pytest.raises(TileReadError, match="slide 's7': level 0 cannot be read at"),
    ):
        slide.as_dask().compute()


def test_with_an_opener_it_can_be_sent_to_another_process(small: Path) -> None:
    opener = partial(open_slide, "s1", small)
    with opener() as slide:
        sent = pickle.dumps(as_dask(slide, 1, chunk=128, opener=opener))
        wanted = whole(slide, 1)
    np.testing.assert_array_equal(pickle.loads(sent).compute(), wanted)  # noqa: S301 - made two lines above
