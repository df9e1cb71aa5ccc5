from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Size, SlidePx
from wsi_features.stain import StainRecipe, patch_origins, stained_pixels

SCALE = (10.0, 20.0)
SPAN = SlidePx(30)

Mask = npt.NDArray[np.bool_]


def origins(tissue: Mask, *, patches: int = 8, seed: int = 0, span: int = SPAN) -> npt.NDArray[np.int64]:
    height, width = tissue.shape
    slide = Size(round(width * SCALE[0]), round(height * SCALE[1]))
    recipe = StainRecipe(patches=patches, seed=seed)
    return patch_origins(tissue, scale=SCALE, slide=slide, span=SlidePx(span), recipe=recipe)


def one_pixel(column: int, row: int) -> Mask:
    tissue = np.zeros((12, 40), dtype=bool)
    tissue[row, column] = True
    return tissue


def test_a_patch_is_centred_on_its_tissue_pixel() -> None:
    # Pixel (20, 5) spans x 200 to 210 and y 100 to 120: its centre is (205, 110).
    assert origins(one_pixel(20, 5)).tolist() == [[190, 95]]


def test_a_patch_at_a_corner_is_moved_inside_the_slide() -> None:
    assert origins(one_pixel(0, 0)).tolist() == [[0, 0]]
    assert origins(one_pixel(39, 11)).tolist() == [[370, 210]]


def test_positions_are_the_same_on_every_machine() -> None:
    assert origins(np.ones((12, 40), dtype=bool), patches=4).tolist() == [[350, 15], [310, 55], [30, 115], [0, 175]]


def test_another_seed_gives_other_positions() -> None:
    tissue = np.ones((12, 40), dtype=bool)
    assert not np.array_equal(origins(tissue, seed=0), origins(tissue, seed=1))


def test_every_band_of_the_tissue_gets_its_patch() -> None:
    rows = origins(np.ones((12, 40), dtype=bool), patches=12, span=20)[:, 1] // 20
    assert rows.tolist() == list(range(12))


def test_a_small_piece_far_away_gets_its_share() -> None:
    tissue = np.zeros((12, 40), dtype=bool)
    tissue[:6, :30], tissue[9:, 34:] = True, True
    xs = origins(tissue, patches=40)[:, 0]
    assert 2 <= np.count_nonzero(xs > 300) <= 6


def test_patches_are_listed_row_by_row_and_once() -> None:
    found = origins(np.ones((12, 40), dtype=bool), patches=200)
    ordered = sorted({(y, x) for x, y in found.tolist()})
    assert [(y, x) for x, y in found.tolist()] == ordered


@pytest.mark.parametrize(
    ("tissue", "span"), [(np.zeros((12, 40), dtype=bool), 30), (np.ones((12, 40), dtype=bool), 241)]
)
def test_without_tissue_or_room_there_are_no_patches(tissue: Mask, span: int) -> None:
    found = origins(tissue, span=span)
    assert found.shape == (0, 2)
    assert found.dtype == np.int64


def test_a_patch_as_large_as_the_slide_is_high_fits() -> None:
    assert origins(one_pixel(20, 5), span=240).tolist() == [[85, 0]]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_patches_lie_inside_and_on_tissue(data: Any) -> None:
    height, width = data.draw(st.integers(2, 15)), data.draw(st.integers(16, 30))
    tissue = np.random.default_rng(data.draw(st.integers(0, 99))).random((height, width)) < 0.2
    patches = data.draw(st.integers(1, 40))
    found = origins(tissue, patches=patches, seed=data.draw(st.integers(0, 9)))
    assert len(found) <= min(patches, int(tissue.sum()))
    assert (found >= 0).all()
    assert (found + SPAN <= (width * SCALE[0], height * SCALE[1])).all()
    for x, y in found:
        columns, rows = slice(x // 10, -(-(x + SPAN) // 10)), slice(y // 20, -(-(y + SPAN) // 20))
        assert tissue[rows, columns].any()


def patches_with_glass(stained: int = 300) -> npt.NDArray[np.uint8]:
    """Two patches of 20 x 35 pixels, glass but for the first `stained` pixels, each of another colour."""
    patches = np.full((1400, 3), 243, dtype=np.uint8)
    patches[:stained, 0] = np.arange(stained) % 100 + 60
    patches[:stained, 1:] = (40, 130)
    return patches.reshape(2, 20, 35, 3)


def test_glass_is_left_out_and_stain_kept_in_order() -> None:
    patches = patches_with_glass()
    assert np.array_equal(stained_pixels(patches, 10_000, 0.8), patches.reshape(-1, 3)[:300])


def test_too_many_pixels_are_thinned_evenly() -> None:
    patches = patches_with_glass()
    kept = stained_pixels(patches, 100, 0.8)
    assert np.array_equal(kept, patches.reshape(-1, 3)[:300:3])


def test_a_lower_luminosity_keeps_only_darker_pixels() -> None:
    ramp = np.repeat(np.arange(250, dtype=np.uint8), 3).reshape(1, 10, 25, 3)
    counts = [len(stained_pixels(ramp, 10_000, luminosity)) for luminosity in (0.3, 0.8, 1.0)]
    assert counts[0] < counts[1] < counts[2]
    assert stained_pixels(ramp, 10_000, 0.3).max() < 80


def test_contrast_is_judged_over_all_patches_together() -> None:
    dark, glass = np.full((1, 20, 35, 3), 90, np.uint8), np.full((1, 20, 35, 3), 243, np.uint8)
    assert len(stained_pixels(np.concatenate([glass, dark]), 10_000, 0.8)) == 700


def test_a_few_bright_specks_do_not_make_dim_glass_stained() -> None:
    patches = patches_with_glass()
    patches[patches == 243] = 185
    patches[1, -1, -5:] = 255
    assert len(stained_pixels(patches, 10_000, 0.8)) == 300


@pytest.mark.parametrize(("value", "count"), [(255, 0), (0, 1400)])
def test_one_colour_is_taken_as_it_is(value: int, count: int) -> None:
    assert len(stained_pixels(np.full((2, 20, 35, 3), value, np.uint8), 10_000, 0.8)) == count


def test_no_patches_give_no_pixels() -> None:
    found = stained_pixels(np.empty((0, 20, 35, 3), np.uint8), 10_000, 0.8)
    assert found.shape == (0, 3)
    assert found.dtype == np.uint8
