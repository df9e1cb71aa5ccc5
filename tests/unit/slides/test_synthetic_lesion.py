from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import TISSUE_TYPES, SlideSpec, ground_truth, slide_pixels, write_slide
from wsi_features.slides.synthetic.nuclei import reach_um

PLAIN = SlideSpec(1500, 900, mpp=0.5, seed=3)
PLANTED = replace(PLAIN, lesion=0.12)
WHOLE = Region(0, 0, 1500, 900)

Mask = npt.NDArray[np.bool_]


def lesion_of(spec: SlideSpec) -> Mask:
    mask = ground_truth(spec).lesion
    assert mask is not None
    return mask


def on_pixels(mask: Mask, spec: SlideSpec, grown_um: float = 0) -> Mask:
    """A mask of the truth on level-0 pixels, grown on all sides."""
    step = int(ground_truth(spec).downsample)
    full = np.kron(mask.astype(np.uint8), np.ones((step, step), np.uint8))[: spec.height, : spec.width]
    width = 2 * round(grown_um / spec.scale) + 1
    return np.asarray(cv2.dilate(full, np.ones((width, width), np.uint8)) > 0)


@pytest.fixture(scope="module")
def changed() -> Mask:
    """Where the pixels differ from those of the same slide without a lesion."""
    return np.asarray((slide_pixels(PLANTED, WHOLE) != slide_pixels(PLAIN, WHOLE)).any(axis=2))


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    width=st.integers(1200, 2600),
    height=st.integers(500, 1100),
    upright=st.booleans(),
    share=st.floats(0.05, 0.15),
)
def test_a_lesion_is_tissue_and_takes_its_share_of_it(
    seed: int, width: int, height: int, upright: bool, share: float
) -> None:
    sides = (height, width) if upright else (width, height)
    truth = ground_truth(SlideSpec(*sides, mpp=1.0, levels=(1,), seed=seed, lesion=share))
    assert truth.lesion is not None
    assert truth.lesion.shape == truth.labels.shape
    assert not (truth.lesion & ~truth.tissue).any()
    assert truth.lesion.sum() / truth.tissue.sum() == pytest.approx(share, rel=0.2)


def test_a_lesion_is_one_place_that_differs_from_slide_to_slide() -> None:
    middles = []
    for seed in range(6):
        lesion = lesion_of(SlideSpec(2400, 1600, mpp=1.0, seed=seed, lesion=0.1))
        _, _, parts, centres = cv2.connectedComponentsWithStats(lesion.astype(np.uint8))
        assert parts[1:, cv2.CC_STAT_AREA].max() > 0.9 * lesion.sum()
        middles.append(centres[1 + parts[1:, cv2.CC_STAT_AREA].argmax()])
    assert np.ptp(middles, axis=0).min() > 20


def test_a_slide_without_a_lesion_has_no_mask_of_one() -> None:
    assert ground_truth(PLAIN).lesion is None
    assert ground_truth(replace(PLANTED, tissue=False)).lesion is None


def test_a_lesion_leaves_the_labels_alone() -> None:
    assert np.array_equal(ground_truth(PLANTED).labels, ground_truth(PLAIN).labels)


def test_a_lesion_changes_pixels_where_its_mask_says_and_nowhere_else(changed: Mask) -> None:
    lesion = lesion_of(PLANTED)
    assert not changed[~on_pixels(lesion, PLANTED, grown_um=2 * 8 + reach_um("atypical"))].any()
    assert changed[on_pixels(lesion, PLANTED)].mean() > 0.8


@pytest.mark.parametrize("turned", [np.fliplr, np.flipud, np.transpose])
def test_the_mask_fits_the_pixels_in_no_other_orientation(changed: Mask, turned: object) -> None:
    assert callable(turned)
    other = turned(on_pixels(lesion_of(PLANTED), PLANTED))
    height, width = min(other.shape[0], 900), min(other.shape[1], 1500)
    assert (changed[:height, :width] & other[:height, :width]).sum() < 0.8 * changed.sum()


@pytest.mark.parametrize("stain", ["a", "b"])
def test_nuclei_are_darker_and_closer_than_in_the_tissue_around(stain: Literal["a", "b"]) -> None:
    spec = replace(PLANTED, stain=stain, seed=8)
    red = slide_pixels(spec, WHOLE)[..., 0]
    lesion = on_pixels(lesion_of(spec), spec)
    tumour = on_pixels(ground_truth(spec).labels == TISSUE_TYPES.index("tumour") + 1, spec) & ~lesion
    assert (red[lesion] < 125).mean() > 1.15 * (red[tumour] < 125).mean()


def test_any_region_of_a_lesion_is_cut_from_the_same_slide() -> None:
    rows, columns = np.nonzero(on_pixels(lesion_of(PLANTED), PLANTED))
    x, y = int(np.median(columns)), int(np.median(rows))
    whole = slide_pixels(PLANTED, WHOLE)
    assert np.array_equal(
        slide_pixels(PLANTED, Region(x - 61, y - 33, 120, 70)), whole[y - 33 : y + 37, x - 61 : x + 59]
    )


def test_two_scans_of_one_section_show_the_lesion_at_one_place() -> None:
    fine, coarse = PLANTED, replace(PLANTED, width=750, height=450, mpp=1.0)
    assert np.array_equal(lesion_of(fine), lesion_of(coarse))


def test_the_file_of_a_slide_with_a_lesion_is_the_same_whatever_the_threads(tmp_path: Path) -> None:
    files = [tmp_path / f"{threads}.svs" for threads in (1, 2)]
    for threads, path in enumerate(files, start=1):
        write_slide(path, replace(PLANTED, fold=True, blur=True), threads=threads)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_tumour_and_lymphocytes_spread_as_far_as_asked() -> None:
    little, much = (ground_truth(replace(PLAIN, tumour=t, lymphocytes=share)) for t, share in ((0.2, 0.3), (0.8, 0.05)))
    shares = [[(truth.labels == kind).sum() / truth.tissue.sum() for kind in (1, 3)] for truth in (little, much)]
    assert np.array_equal(little.tissue, much.tissue)
    assert shares[1][0] > 2 * shares[0][0]
    assert shares[0][1] == pytest.approx(0.3, abs=0.06)
    assert shares[1][1] == pytest.approx(0.05, abs=0.03)
