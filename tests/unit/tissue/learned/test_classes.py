"""The class map: windows put together without a seam, in bounded memory, whatever the batch."""

from __future__ import annotations

from threading import get_ident

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.errors import TissueModelSlideError
from wsi_features.geometry import Size
from wsi_features.tissue.learned import ClassMap, SegmenterCard, class_map

CARD = SegmenterCard(
    name="three",
    architecture="unet",
    classes=("glass", "tissue", "pen"),
    tissue=("tissue",),
    mpp=2.0,
    window_px=64,
    overlap_px=16,
    licence="-",
    source="-",
)


def pointwise(pixels: np.ndarray) -> np.ndarray:
    """A network that sees one pixel at a time: its red value is the class."""
    return pixels[..., 0]


def reader(picture: np.ndarray):
    return lambda x, y, width, height: picture[y : y + height, x : x + width]


def mapped(picture: np.ndarray, size: Size, card: SegmenterCard = CARD, batch: int = 3, classify=pointwise) -> ClassMap:
    height, width = picture.shape[:2]
    slide = Size(width * 4, height * 4)
    return class_map(
        "s1",
        reader(picture),
        picture=Size(width, height),
        size=size,
        slide=slide,
        card=card,
        classify=classify,
        batch=batch,
    )


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 3, (height, width, 3), np.uint8)


@settings(max_examples=40, deadline=None)
@given(width=st.integers(1, 230), height=st.integers(1, 150), overlap=st.integers(0, 32), batch=st.integers(1, 5))
def test_windows_of_a_pointwise_network_equal_the_whole_picture(
    width: int, height: int, overlap: int, batch: int
) -> None:
    picture = noise(width, height)
    card = CARD.model_copy(update={"overlap_px": overlap})
    assert np.array_equal(mapped(picture, Size(width, height), card, batch).classes, picture[..., 0])


@settings(max_examples=40, deadline=None)
@given(width=st.integers(60, 200), height=st.integers(60, 160), across=st.integers(1, 60), down=st.integers(1, 60))
def test_a_coarser_map_has_the_class_of_most_pixels(width: int, height: int, across: int, down: int) -> None:
    picture = noise(width, height)
    votes = np.zeros((down, across, 3), int)
    for y in range(height):
        for x in range(width):
            votes[int((y + 0.5) * down / height), int((x + 0.5) * across / width), picture[y, x, 0]] += 1
    assert np.array_equal(mapped(picture, Size(across, down)).classes, votes.argmax(axis=2))


def test_a_finer_map_has_the_class_at_the_middle_of_each_of_its_pixels() -> None:
    picture = noise(90, 70)
    fine = mapped(picture, Size(270, 140)).classes
    assert np.array_equal(fine, picture[..., 0].repeat(2, axis=0).repeat(3, axis=1))


def test_swapped_axes_would_show() -> None:
    picture = np.zeros((70, 150, 3), np.uint8)
    picture[10:20, 100:140] = 1
    found = mapped(picture, Size(150, 70))
    assert found.among([1])[15, 120]
    assert found.among([1]).sum() == 400
    share = found.shares(["tissue"], np.array([[400, 40], [40, 400 // 4]]), 40)["tissue"]
    assert share.tolist() == [1.0, 0.0]


def test_batches_change_nothing_where_the_network_sees_its_surroundings() -> None:
    def blurred(pixels: np.ndarray) -> np.ndarray:
        return (
            pixels[..., 0].astype(int) + np.roll(pixels[..., 0], 1, axis=1) + np.roll(pixels[..., 0], 1, axis=2)
        ) // 3

    maps = [mapped(noise(200, 130), Size(50, 33), batch=b, classify=blurred).classes for b in (1, 2, 5, 64)]
    assert all(np.array_equal(maps[0], other) for other in maps)


def test_the_reader_is_asked_in_row_order_by_one_thread_and_never_far_ahead() -> None:
    picture, asked, seen = noise(600, 200), [], [0]

    def read(x: int, y: int, width: int, height: int) -> np.ndarray:
        asked.append((y, x, get_ident()))
        assert len(asked) - seen[0] <= 2 * 2
        return picture[y : y + height, x : x + width]

    def classify(pixels: np.ndarray) -> np.ndarray:
        seen[0] += len(pixels)
        return pixels[..., 0]

    sizes = {"picture": Size(600, 200), "size": Size(60, 20), "slide": Size(2400, 800)}
    class_map("s1", read, **sizes, card=CARD, classify=classify, batch=2)
    assert asked == sorted(asked)
    assert len({thread for *_, thread in asked}) == 1


def test_memory_does_not_grow_with_the_height_of_the_slide() -> None:
    import tracemalloc

    def peak(height: int) -> int:
        white = np.ones((64, 64, 3), np.uint8)
        sizes = {"picture": Size(300, height), "size": Size(38, height // 8), "slide": Size(1200, height * 4)}
        tracemalloc.start()
        class_map("s1", lambda *_: white, **sizes, card=CARD, classify=pointwise, batch=2)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(6400) - peak(640) < 38 * (6400 - 640) // 8 + 200_000


def test_nan_fails_the_slide_with_the_place() -> None:
    def broken(pixels: np.ndarray) -> np.ndarray:
        labels = pixels[..., 0].copy()
        labels[0, 5, 9] = 255
        return labels

    with pytest.raises(TissueModelSlideError, match=r"'s1'.*'three' returned NaN or infinity at x=9, y=5"):
        mapped(noise(64, 64), Size(64, 64), classify=broken)


def test_pixels_go_through_jpeg_where_the_card_says_so() -> None:
    got = []

    def classify(pixels: np.ndarray) -> np.ndarray:
        got.append(pixels)
        return np.zeros(pixels.shape[:3], np.uint8)

    picture = np.zeros((40, 64, 3), np.uint8)
    picture[:, :, 0] = 200  # red: swapped channels would come back blue
    mapped(picture, Size(64, 40), CARD.model_copy(update={"jpeg_quality": 80}), classify=classify)
    assert np.abs(got[0][0, 8:32, 8:56].astype(int) - [200, 0, 0]).max() <= 6
    assert not np.array_equal(got[0][0, :40], picture)
