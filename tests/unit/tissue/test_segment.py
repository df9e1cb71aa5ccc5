from __future__ import annotations

import cv2
import numpy as np
import pytest

from wsi_features.tissue.background import is_dark_field
from wsi_features.tissue.cleanup import without_small
from wsi_features.tissue.entropy import local_entropy
from wsi_features.tissue.recipe import Method, TissueRecipe
from wsi_features.tissue.segment import segmenter
from wsi_features.tissue.thresholds import above_background, guarded_threshold

PINK = (225, 150, 190)
PALE_PINK = (235, 215, 225)
BARE = TissueRecipe(median_um=0, closing_diameter_um=0, min_area_um2=0, min_hole_um2=0)


def glass(seed: int = 0, *, noise: float = 3, uneven: float = 0, tint: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    """An empty slide, 300 x 420 pixels: off-white, noisy, darker and tinted towards one side and in patches."""
    rng = np.random.default_rng(seed)
    shade = np.linspace(0, 1, 420)[None, :] + cv2.GaussianBlur(rng.standard_normal((300, 420)), (0, 0), 40) * 20
    image = (
        np.array((240, 237, 242)) - shade[..., None] * (uneven + np.array(tint)) + rng.normal(0, noise, (300, 420, 3))
    )
    return np.clip(image, 0, 255).astype(np.uint8)


def segmented(image: np.ndarray, mpp: float = 8.0, recipe: TissueRecipe | None = None) -> np.ndarray:
    return segmenter(recipe or TissueRecipe())(image, mpp)


def painted(image: np.ndarray, x: slice, y: slice, colour: tuple[int, int, int] = PINK) -> np.ndarray:
    image[y, x] = colour
    return image


@pytest.mark.parametrize("mpp", [8.0, 4.0])
def test_a_rectangle_has_its_area_in_square_microns(mpp: float) -> None:
    found = segmented(painted(glass(), slice(50, 250), slice(100, 180)), mpp)
    assert found.sum() * mpp**2 == pytest.approx(200 * 80 * mpp**2, rel=0.002)


def test_without_smoothing_the_mask_is_the_tissue_to_the_pixel() -> None:
    found = segmented(painted(glass(noise=1), slice(50, 250), slice(100, 180)), recipe=BARE)
    wanted = np.zeros((300, 420), dtype=bool)
    wanted[100:180, 50:250] = True
    assert np.array_equal(found, wanted)


def test_a_ring_keeps_its_hole() -> None:
    image = painted(glass(), slice(100, 300), slice(100, 200))
    image[130:170, 150:250] = glass()[130:170, 150:250]
    found = segmented(image)
    assert not found[135:165, 155:245].any()
    assert found.sum() == pytest.approx(200 * 100 - 100 * 40, rel=0.01)


@pytest.mark.parametrize("mpp", [2.0, 8.0])
@pytest.mark.parametrize(("microns", "kept"), [((320, 480), True), ((320, 464), False)])
def test_pieces_below_the_least_area_are_dropped(mpp: float, microns: tuple[int, int], kept: bool) -> None:
    # 320 x 480 = 153,600 and 320 x 464 = 148,480 square microns.
    recipe = BARE.model_copy(update={"min_area_um2": 150_000.0})
    width, height = (round(side / mpp) for side in microns)
    image = painted(glass(noise=1), slice(20, 20 + width), slice(30, 30 + height))
    assert segmented(image, mpp, recipe).sum() == (width * height if kept else 0)


@pytest.mark.parametrize("mpp", [2.0, 8.0])
@pytest.mark.parametrize(("microns", "filled"), [((80, 112), True), ((80, 128), False)])
def test_holes_below_the_least_area_are_filled(mpp: float, microns: tuple[int, int], filled: bool) -> None:
    # 80 x 112 = 8,960 and 80 x 128 = 10,240 square microns.
    recipe = BARE.model_copy(update={"min_hole_um2": 10_000.0})
    width, height = (round(side / mpp) for side in microns)
    image = painted(glass(noise=1), slice(10, 210), slice(10, 260))
    image[40 : 40 + height, 50 : 50 + width] = (240, 240, 240)
    assert segmented(image, mpp, recipe).sum() == 200 * 250 - (0 if filled else width * height)


def test_pieces_and_holes_of_exactly_the_least_size_stay() -> None:
    mask = np.ones((5, 8), dtype=bool)
    mask[2, 3:5] = False
    assert np.array_equal(without_small(mask, min_piece=38, min_hole=2), mask)
    assert without_small(mask, min_piece=38, min_hole=2.5).all()
    assert not without_small(mask, min_piece=38.5, min_hole=0).any()


def test_glass_at_the_border_is_no_hole() -> None:
    mask = np.ones((5, 8), dtype=bool)
    mask[0, 2] = mask[3, 0] = mask[4, 3] = mask[2, 7] = mask[2, 4] = False
    filled = without_small(mask, min_piece=0, min_hole=9)
    assert np.argwhere(~filled).tolist() == [[0, 2], [2, 7], [3, 0], [4, 3]]


def test_pieces_hold_together_through_edges_and_holes_through_corners() -> None:
    steps = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]], dtype=bool)
    assert not without_small(steps, min_piece=3, min_hole=0).any()
    slits = np.ones((5, 6), dtype=bool)
    slits[1, 1:3] = slits[2, 3:5] = False
    assert np.array_equal(without_small(slits, min_piece=0, min_hole=4), slits)
    assert without_small(slits, min_piece=0, min_hole=5).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "empty",
    [{}, {"noise": 10}, {"uneven": 30}, {"tint": (0, 8, 0)}, {"noise": 6, "uneven": 15, "tint": (6, 0, -4)}],
    ids=str,
)
def test_empty_glass_gives_an_empty_mask(seed: int, empty: dict[str, object]) -> None:
    assert not segmented(glass(seed, **empty)).any()  # type: ignore[arg-type] # the table above holds glass's keywords


def test_a_bare_otsu_threshold_would_split_the_noise_of_empty_glass() -> None:
    recipe = BARE.model_copy(update={"min_saturation": 0.0})
    assert 0.2 < segmented(glass(noise=6), recipe=recipe).mean() < 0.8


def test_white_paper_and_uniform_grey_are_empty() -> None:
    for level in (0, 128, 255):
        assert not segmented(np.full((40, 70, 3), level, dtype=np.uint8)).any()


def test_pale_pink_tissue_on_glass_is_found() -> None:
    found = segmented(painted(glass(), slice(60, 300), slice(80, 180), PALE_PINK))
    assert found[80:180, 60:300].mean() > 0.99
    assert found.sum() < 240 * 100 * 1.02


def test_a_slide_full_of_tissue_is_not_split_into_dark_and_pale() -> None:
    image = np.full((90, 140, 3), PINK, dtype=np.uint8)
    image[:, 70:] = (120, 40, 130)
    assert segmented(image).all()


def test_the_black_border_of_a_scan_is_not_tissue() -> None:
    image = painted(glass(), slice(150, 300), slice(100, 200))
    black = np.random.default_rng(1).integers(0, 12, (300, 60, 3))
    image[:, :60] = black
    found = segmented(image)
    assert not found[:, :65].any()
    assert found.sum() == pytest.approx(150 * 100, rel=0.01)


def test_dark_stained_tissue_is_not_taken_for_scanner_fill() -> None:
    found = segmented(painted(glass(), slice(60, 300), slice(80, 180), (38, 8, 39)))
    assert found[80:180, 60:300].mean() > 0.99


def test_speckle_is_removed_and_tissue_stays() -> None:
    image = painted(glass(), slice(200, 350), slice(100, 200))
    rng = np.random.default_rng(2)
    image[rng.integers(0, 90, 300), rng.integers(0, 190, 300)] = (90, 30, 160)
    found = segmented(image)
    assert not found[:95, :195].any()
    assert found.sum() == pytest.approx(150 * 100, rel=0.01)


def test_the_median_filter_removes_streaks_narrower_than_half_its_width() -> None:
    image = painted(glass(noise=1), slice(50, 350), slice(100, 104))
    recipe = BARE.model_copy(update={"median_um": 72.0})
    assert not segmented(image, 8.0, recipe).any()
    assert segmented(image, 24.0, recipe)[100:104, 60:340].all()


def test_closing_joins_pieces_across_a_gap_narrower_than_its_disc() -> None:
    image = painted(glass(noise=1), slice(50, 200), slice(50, 150))
    image[50:150, 120:124] = (240, 240, 240)
    recipe = BARE.model_copy(update={"closing_diameter_um": 56.0})
    assert segmented(image, 8.0, recipe)[60:140, 120:124].all()
    assert not segmented(image, 16.0, recipe)[60:140, 120:124].any()


def test_closing_does_not_reach_out_to_the_border() -> None:
    image = painted(glass(noise=1), slice(3, 200), slice(3, 150))
    recipe = BARE.model_copy(update={"closing_diameter_um": 88.0})
    assert segmented(image, 8.0, recipe).sum() == 197 * 147


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (10, 30, 12),  # Otsu says 10: too pale to be believed
        (20, 90, 20),  # Otsu is believed
        (60, 200, 38),  # 60 is tissue too
        (60, 60, 38),  # one value: no classes at all
        (0, 0, 38),
        (20, 30, 38),  # no contrast: one class
    ],
)
def test_otsu_is_believed_between_its_guards_only(low: int, high: int, wanted: int) -> None:
    saturation = np.full((20, 30), low, dtype=np.uint8)
    saturation[5:15, 5:20] = high
    assert guarded_threshold(saturation, np.ones_like(saturation, dtype=bool), 0.05, 0.15) == wanted


INKS = {"blue": (35, 75, 190), "green": (50, 160, 75), "red": (200, 30, 45), "black": (30, 32, 36)}


def stroke(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """A mark from glass into whatever is right of it: 200 x 30 pixels, that is 1.6 x 0.24 mm."""
    image[40:70, 20:220] = (image[40:70, 20:220] / 255.0 * colour).astype(np.uint8)
    return image


def textured(colour: tuple[int, int, int], noise: float = 18) -> np.ndarray:
    """Tissue on the right half of the glass."""
    image = glass()
    rng = np.random.default_rng(3)
    image[20:280, 150:400] = (np.array(colour) + rng.normal(0, noise, (260, 250, 1))).clip(0, 255)
    return image


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("method", ["otsu", "hsv", "entropy"])
def test_ink_is_no_tissue_on_glass_nor_over_tissue(ink: str, method: Method) -> None:
    found = segmented(stroke(textured((205, 130, 175)), INKS[ink]), recipe=TissueRecipe(method=method))
    assert not found[40:70, 20:220].any()
    assert found[90:270, 160:390].mean() > 0.98


@pytest.mark.parametrize("ink", INKS)
def test_ink_alone_is_no_tissue(ink: str) -> None:
    assert not segmented(stroke(glass(), INKS[ink])).any()


@pytest.mark.parametrize(
    "stain",
    [(80, 120, 190), (70, 95, 180), (90, 165, 130), (120, 185, 215), (205, 60, 75), (150, 110, 70), (95, 80, 150)],
    ids=["aniline blue", "deep aniline blue", "light green", "alcian blue", "sirius red", "dab", "haematoxylin"],
)
def test_tissue_of_an_ink_s_hue_is_tissue(stain: tuple[int, int, int]) -> None:
    assert segmented(textured(stain, 25))[25:275, 155:395].mean() > 0.97


def test_neither_grey_glass_nor_the_seams_of_a_scanner_are_tissue() -> None:
    image = glass().astype(int)
    image[:, 100:] -= 14
    image[:, 250:] -= 22
    assert not segmented(image.clip(0, 255).astype(np.uint8)).any()


def test_black_fill_beside_glass_does_not_make_a_dark_field() -> None:
    image = textured((205, 130, 175))
    image[:, :140] = 2
    assert not is_dark_field(image)
    assert is_dark_field(np.where(textured((205, 130, 175)) < 220, np.uint8(90), np.uint8(4)))


def test_dim_fluorescence_beside_bright_is_found() -> None:
    image = np.random.default_rng(0).normal(8, 1.5, (300, 420, 3)).clip(0, 255).astype(np.uint8)
    image[50:250, 40:180, 2] = 230
    image[50:250, 240:380, 1] = 30
    found = segmented(image)
    assert found[55:245, 45:175].all()
    assert found[55:245, 245:375].all()
    assert found.sum() < 1.05 * 2 * 200 * 140


@pytest.mark.parametrize(("noise", "wanted"), [(0.0, 16), (2.0, 22), (4.0, 34)])
def test_what_shines_lies_above_the_noise_of_the_background(noise: float, wanted: int) -> None:
    plane = np.random.default_rng(0).normal(10, noise, (200, 300)).clip(0, 255).round().astype(np.uint8)
    assert above_background(plane, least=6, most=24) == pytest.approx(wanted, abs=3)


def test_entropy_is_zero_on_one_colour_and_high_on_noise() -> None:
    plane = np.full((60, 90), 255, np.uint8)
    plane[:, 45:] = np.random.default_rng(0).integers(0, 255, (60, 45))
    bits = local_entropy(plane, 9.0)
    assert bits.shape == (60, 90)
    assert bits[:, :35].max() < 0.01
    assert 2.5 < bits[:, 55:].mean() < 4.0
