"""Levels made in every way that writers make them, and levels that show something else."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Region, Size
from wsi_features.slides import ArraySlide, Slide
from wsi_features.slides.registration import LevelFit, possible_downsamples, registered
from wsi_features.slides.slide import Level, Pixels, SlideBase

Image = np.ndarray
WIDTH, HEIGHT = 2403, 1602  # neither is a multiple of 4


def tissue(width: int = WIDTH, height: int = HEIGHT, seed: int = 2) -> Image:
    """Pink texture of several scales, uint8 (h, w, 3)."""
    random = np.random.default_rng(seed)
    image = np.full((height, width), 0.0, np.float32)
    for step, strength in ((4, 12), (16, 15), (90, 30)):
        noise = random.normal(0, strength, (height // step + 2, width // step + 2)).astype(np.float32)
        image += cv2.resize(noise, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)[:height, :width]
    return np.clip(np.stack([image + 200, image * 1.4 + 130, image + 170], axis=2), 0, 255).astype(np.uint8)


IMAGE = tissue()


def cut(image: Image, factor: int) -> Image:
    height, width = (side // factor for side in image.shape[:2])
    whole = image[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def filled(image: Image, factor: int) -> Image:
    missing = [-side % factor for side in image.shape[:2]]
    return cut(cv2.copyMakeBorder(image, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE), factor)


def stretched(image: Image, factor: int) -> Image:
    height, width = (side // factor for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def jpeg(image: Image) -> Image:
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], cv2.IMREAD_COLOR)


class Pyramid(SlideBase):
    """Any arrays as levels; `unreadable` counts as damage where a read touches it, on level 0."""

    reader = "pyramid"

    def __init__(self, *arrays: Image, unreadable: Region | None = None) -> None:
        self._arrays, self._unreadable = arrays, unreadable
        sizes = [Size(array.shape[1], array.shape[0]) for array in arrays]
        self.levels = tuple(
            Level(size, (sizes[0].width / size.width + sizes[0].height / size.height) / 2) for size in sizes
        )

    def read(self, region: Region, level: int) -> Pixels:
        assert region.inside(self.levels[level].size)
        rgb = self._arrays[level][region.y : region.y + region.height, region.x : region.x + region.width]
        bad = self._unreadable
        if bad and level == 0 and region.x < bad.x + bad.width and region.x + region.width > bad.x:
            return Pixels(np.full_like(rgb, 255), 0.0, "unreadable", "declared unreadable")
        return Pixels(rgb, 1.0, "ok")

    def reopened(self) -> Slide:
        return self


def fit(level: Image, first: Image = IMAGE) -> LevelFit:
    return registered(Pyramid(first, level))[1]


@pytest.mark.parametrize("factor", [2, 4, 16])
@pytest.mark.parametrize("made", [cut, filled])
def test_a_level_of_a_whole_factor_is_recognised(made, factor: int) -> None:  # type: ignore[no-untyped-def]
    found = fit(jpeg(made(IMAGE, factor)), jpeg(IMAGE))
    assert (found.downsample_x, found.downsample_y, found.basis) == (factor, factor, "pixels")


@pytest.mark.parametrize("factor", [2, 4, 16])
def test_a_stretched_level_is_recognised(factor: int) -> None:
    found = fit(jpeg(stretched(IMAGE, factor)), jpeg(IMAGE))
    assert (found.downsample_x, found.downsample_y) == (WIDTH / (WIDTH // factor), HEIGHT / (HEIGHT // factor))
    assert found.basis == "pixels"


def test_a_level_of_picked_pixels_is_of_a_whole_factor_though_it_lies_beside() -> None:
    image = IMAGE[:1601, :2401]
    found = fit(np.ascontiguousarray(image[::4, ::4]), image)
    assert (found.downsample_x, found.downsample_y, found.basis) == (4, 4, "pixels")


@pytest.mark.parametrize("seed", range(4))
def test_noise_does_not_make_a_level_stretched(seed: int) -> None:
    random = np.random.default_rng(seed)
    level, first = (
        random.normal(230, 2, (*shape, 3)).astype(np.uint8) for shape in ((HEIGHT // 4, WIDTH // 4), (HEIGHT, WIDTH))
    )
    assert fit(level, first).downsample == 4


def test_a_level_that_lacks_more_than_the_division_leaves_is_of_a_whole_factor() -> None:
    assert fit(np.ascontiguousarray(cut(IMAGE, 4)[:-3, :-2])).downsample == 4


def test_sizes_that_leave_no_choice_are_believed() -> None:
    found = fit(cut(IMAGE[:1600, :2400], 4), IMAGE[:1600, :2400])
    assert (found.downsample_x, found.downsample_y, found.basis) == (4, 4, "sizes")


def test_without_texture_a_whole_factor_is_likelier() -> None:
    even = np.full((HEIGHT, WIDTH, 3), 230, np.uint8)
    found = fit(stretched(even, 4), even)
    assert (found.downsample, found.residual, found.correlation) == (4, 0, None)


@settings(max_examples=200, deadline=None)
@given(width=st.integers(600, 200_000), height=st.integers(600, 200_000), factor=st.sampled_from([2, 3, 4, 8, 16]))
def test_the_true_factor_is_always_among_the_possible(width: int, height: int, factor: int) -> None:
    whole = Size(width, height)
    for up in (0, factor - 1):
        level = Size((width + up) // factor, (height + up) // factor)
        assert possible_downsamples(whole, level)[0] == (factor, factor)


def test_a_level_that_lacks_a_row_more_is_likelier_of_the_ratio() -> None:
    assert possible_downsamples(Size(4001, 8002), Size(2000, 4000)) == ((2.0005, 2.0005), (2, 2))


def test_a_ratio_far_from_a_whole_factor_is_the_only_one_possible() -> None:
    assert possible_downsamples(Size(3000, 2000), Size(1200, 800)) == ((2.5, 2.5),)


def test_a_level_of_a_level_is_measured_through_it() -> None:
    small = stretched(IMAGE, 128)
    fits = registered(Pyramid(IMAGE, cut(IMAGE, 4), small))
    assert fits[2].agrees
    assert fits[2].worst is not None
    assert fits[2].worst.width == 4 * 512  # patches of 512 pixels of the level at 1:4


def test_a_slide_of_one_level_needs_no_reading() -> None:
    assert registered(ArraySlide(IMAGE)) == (LevelFit(1.0, 1.0),)


@pytest.mark.parametrize("made", [cut, stretched])
def test_levels_that_show_the_same_agree(made) -> None:  # type: ignore[no-untyped-def]
    found = fit(jpeg(made(IMAGE, 4)), jpeg(IMAGE))
    assert found.agrees
    assert found.residual < 4
    assert found.correlation > 0.99
    assert found.patches >= 12


WRONG = {
    "swapped colours": np.ascontiguousarray(cut(IMAGE, 4)[..., ::-1]),
    "turned": np.ascontiguousarray(cut(IMAGE, 4)[::-1, ::-1]),
    "another slide": cut(tissue(seed=9), 4),
    "empty": np.full((HEIGHT // 4, WIDTH // 4, 3), 243, np.uint8),
    "shifted": np.roll(cut(IMAGE, 4), 16, axis=1),
    "darker": np.rint(cut(IMAGE, 4) * 0.88).astype(np.uint8),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_level_that_shows_something_else_is_found(name: str) -> None:
    found = fit(WRONG[name])
    assert not found.agrees
    assert found.worst is not None


def test_a_level_0_without_its_last_rows_is_found_and_placed() -> None:
    sparse = IMAGE.copy()
    sparse[-128:, 1200:] = 255
    found = fit(cut(IMAGE, 4), sparse)
    assert not found.agrees
    assert (found.worst.y, found.worst.height) == (HEIGHT - 512, 512)
    assert found.worst.x + found.worst.width > 1200


def test_the_little_tissue_of_a_slide_is_found_and_compared() -> None:
    slide = np.full((4002, 6003, 3), 240, np.uint8)
    slide[700:1100, 1030:1500] = IMAGE[:400, :470]
    level = cut(slide, 4)
    assert fit(level, slide).agrees
    assert not fit(np.ascontiguousarray(level[..., ::-1]), slide).agrees


def test_a_reader_that_starts_a_pixel_early_changes_nothing() -> None:
    class Early(Pyramid):
        def read(self, region: Region, level: int) -> Pixels:
            early = int(level > 0 and region.x > 0)
            return replace(super().read(replace(region, x=region.x - early), level), shift=(-float(early), 0.0))

    found, plain = (registered(kind(IMAGE, cut(IMAGE, 4)))[1] for kind in (Early, Pyramid))
    assert (found.downsample_x, found.downsample_y) == (4, 4)
    assert found.residual == pytest.approx(plain.residual, abs=0.3)


def test_damaged_patches_are_left_out() -> None:
    slide = Pyramid(IMAGE, cut(IMAGE, 4), unreadable=Region(0, 0, 1000, HEIGHT))
    found = registered(slide)[1]
    assert found.agrees
    assert 0 < found.patches < fit(cut(IMAGE, 4)).patches


def test_where_nothing_can_be_read_nothing_is_said() -> None:
    slide = Pyramid(IMAGE, cut(IMAGE, 4), unreadable=Region(0, 0, WIDTH, HEIGHT))
    assert registered(slide)[1] == LevelFit(4.0, 4.0)


def test_it_says_the_same_every_time() -> None:
    slide = Pyramid(IMAGE, cut(IMAGE, 4), cut(IMAGE, 16))
    assert registered(slide) == registered(slide)


def test_a_slide_smaller_than_a_patch_is_compared_as_a_whole() -> None:
    image = tissue(130, 90)
    found = fit(cut(image, 4), image)
    assert (found.patches, found.agrees, found.worst) == (1, True, Region(0, 0, 130, 90))
