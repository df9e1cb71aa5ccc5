"""What all foreign sources share: levels, choice of scene and plane, tiles put together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.errors import SlideFileError
from wsi_features.geometry import Region, Size
from wsi_features.slides.foreign.source import PieceCache, chosen, from_tiles, pyramid
from wsi_features.slides.slide import Scene

SCENES = (Scene("0", Size(30, 20), 4), Scene("1", Size(9, 5)))


@pytest.mark.parametrize(
    ("fine", "coarse", "wanted"),
    [
        ((1001, 601), (500, 300), 2.0),
        ((1001, 601), (501, 301), 2.0),
        ((1001, 601), (501, 300), 2.0),
        ((1000, 600), (250, 150), 4.0),
        ((4001, 8002), (2000, 4000), 2.0005),
        ((3999, 7998), (1000, 2000), 3.999),
        ((1000, 600), (400, 240), 2.5),
        ((1000, 600), (1000, 600), 1.0),
    ],
)
def test_a_whole_number_that_explains_both_sides_is_the_downsample(
    fine: tuple[int, int], coarse: tuple[int, int], wanted: float
) -> None:
    assert pyramid([Size(*fine), Size(*coarse)])[1].downsample == pytest.approx(wanted, abs=1e-3)


def test_the_first_scene_and_the_middle_plane_are_the_default() -> None:
    assert chosen("s1", "f", SCENES) == (0, 2)
    assert chosen("s1", "f", SCENES, "1", 0) == (1, 0)
    assert chosen("s1", "f", SCENES, "0", 3) == (0, 3)


@pytest.mark.parametrize(("scene", "plane"), [("2", None), ("0", 4), ("1", 1), ("0", -1)])
def test_what_is_not_there_is_refused(scene: str, plane: int | None) -> None:
    with pytest.raises(SlideFileError, match="'s1': 'f' has"):
        chosen("s1", "f", SCENES, scene, plane)


def test_pieces_are_decoded_once_while_they_fit() -> None:
    decoded: list[int] = []

    def decode(number: int) -> np.ndarray | None:
        decoded.append(number)
        return None if number == 9 else np.zeros((4, 5, 3), np.uint8)

    cache = PieceCache(most_bytes=3 * 60)
    for number in (1, 2, 3, 1, 9, 9, 4, 1, 2):
        assert (cache.get(number, lambda number=number: decode(number)) is None) == (number == 9)
    assert decoded == [1, 2, 3, 9, 4, 2]  # 4 drives out 2, which was used longest ago


@settings(deadline=None, max_examples=60)
@given(
    level=st.tuples(st.integers(1, 40), st.integers(1, 30)),
    tile=st.tuples(st.integers(1, 13), st.integers(1, 17)),
    box=st.tuples(st.integers(-20, 45), st.integers(-20, 35), st.integers(1, 40), st.integers(1, 40)),
    padded=st.booleans(),
)
def test_tiles_are_put_together_as_one_image_would_be_cut(
    level: tuple[int, int], tile: tuple[int, int], box: tuple[int, int, int, int], padded: bool
) -> None:
    (width, height), (across, down), region = level, tile, Region(*box)
    image = np.random.default_rng(width * height).integers(1, 256, (height, width, 3), dtype=np.uint8)

    def fetch(column: int, row: int) -> np.ndarray | None:
        if (column + row) % 3 == 2:
            return None
        part = image[row * down : (row + 1) * down, column * across : (column + 1) * across]
        missing = ((0, (down - part.shape[0]) * padded), (0, (across - part.shape[1]) * padded), (0, 0))
        return np.pad(part, missing, constant_values=7)

    held = np.add.outer(np.arange(height) // down, np.arange(width) // across) % 3 != 2
    whole = np.dstack([image * held[..., None], held * 255])
    wanted = np.pad(whole, ((99, 99), (99, 99), (0, 0)))
    found = from_tiles(region, Size(width, height), Size(across, down), fetch)
    window = np.s_[region.y + 99 : region.y + 99 + region.height, region.x + 99 : region.x + 99 + region.width]
    np.testing.assert_array_equal(found, wanted[window])
