from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import TISSUE_TYPES, SlideSpec, ground_truth, slide_pixels
from wsi_features.slides.synthetic.colour import optical_density
from wsi_features.slides.synthetic.nuclei import KINDS, Places, chosen, pictures
from wsi_features.slides.synthetic.spec import PenColour, Stain

SPEC = SlideSpec(1700, 1100, seed=3)
WHOLE = Region(0, 0, 1700, 1100)
MARKED = {
    "pen": replace(SPEC, pen=True),
    "fold": replace(SPEC, fold=True),
    "blur": replace(SPEC, blur=True),
    "bubble": replace(SPEC, bubble=True),
}


@pytest.fixture(scope="module")
def plain() -> npt.NDArray[np.uint8]:
    return slide_pixels(SPEC, WHOLE)


@settings(max_examples=8, deadline=None)
@given(x=st.integers(0, 1200), y=st.integers(0, 800), width=st.integers(1, 500), height=st.integers(1, 300))
def test_any_region_is_cut_from_the_same_slide(x: int, y: int, width: int, height: int) -> None:
    around = Region(max(0, x - 3), max(0, y - 2), width, height)
    region = Region(around.x, around.y, width + x - around.x, height + y - around.y)
    larger = slide_pixels(SPEC, region)
    assert np.array_equal(larger[-height:, -width:], slide_pixels(SPEC, Region(x, y, width, height)))


def test_a_region_of_a_block_is_cut_from_the_whole(plain: npt.NDArray[np.uint8]) -> None:
    assert np.array_equal(slide_pixels(SPEC, Region(900, 450, 300, 200)), plain[450:650, 900:1200])


def test_blocks_meet_without_a_seam() -> None:
    rgb = slide_pixels(SlideSpec(4500, 2600, seed=1), Region(0, 0, 4500, 2600)).astype(int)
    for axis, block in ((0, 512), (1, 1024)):
        steps = np.abs(np.diff(rgb, axis=axis)).mean(axis=(1 - axis, 2))
        seams = np.arange(block, rgb.shape[axis], block)
        assert all(steps[seam - 1] < 1.35 * np.median(steps[seam - 40 : seam + 40]) for seam in seams)


def test_how_the_file_is_laid_out_does_not_change_the_pixels(plain: npt.NDArray[np.uint8]) -> None:
    other = replace(SPEC, tile=240, levels=(1, 2), quality=30, subsampling="444", objective=None)
    assert np.array_equal(slide_pixels(other, Region(0, 0, 700, 400)), plain[:400, :700])


@pytest.mark.parametrize("region", [Region(-1, 0, 5, 5), Region(1696, 0, 5, 5), Region(0, 1096, 5, 5)])
def test_a_region_that_leaves_the_slide_is_refused(region: Region) -> None:
    with pytest.raises(ValueError, match="leaves the slide of 1700 x 1100 px"):
        slide_pixels(SPEC, region)


@pytest.mark.parametrize("artefact", MARKED)
def test_an_artefact_changes_pixels_only_where_its_mask_says(artefact: str, plain: npt.NDArray[np.uint8]) -> None:
    truth = ground_truth(MARKED[artefact])
    step, mask = int(truth.downsample), getattr(truth, artefact)
    inside = np.kron(mask, np.ones((step, step), np.bool_))[: SPEC.height, : SPEC.width]
    changed = (slide_pixels(MARKED[artefact], WHOLE) != plain).any(axis=2)
    assert not changed[~inside].any()
    assert changed[inside].mean() > 0.5
    assert 0.005 < mask.mean() < 0.4


@pytest.mark.parametrize("artefact", MARKED)
def test_artefacts_leave_the_labels_alone(artefact: str) -> None:
    assert np.array_equal(ground_truth(MARKED[artefact]).labels, ground_truth(SPEC).labels)


def test_a_fold_lies_on_tissue_and_is_darker(plain: npt.NDArray[np.uint8]) -> None:
    folded = slide_pixels(MARKED["fold"], WHOLE)
    changed = (folded != plain).any(axis=2)
    assert folded[changed].mean() < plain[changed].mean() - 15
    assert (folded[changed] <= plain[changed]).all()


def test_a_fold_stays_on_its_piece() -> None:
    fold = ground_truth(MARKED["fold"]).fold
    assert fold is not None
    assert not fold[:, fold.shape[1] // 2 :].any()


def test_blur_shows_the_same_place_out_of_focus(plain: npt.NDArray[np.uint8]) -> None:
    blurred = slide_pixels(MARKED["blur"], WHOLE)
    rows, columns = np.nonzero((blurred != plain).any(axis=2))
    box = (slice(*np.percentile(rows, [40, 60]).astype(int)), slice(*np.percentile(columns, [40, 60]).astype(int)))
    expected = np.asarray(cv2.GaussianBlur(plain, (0, 0), 3.5 / 0.25))[box].astype(int)
    assert np.abs(blurred[box] - expected).mean() < 2
    assert np.abs(plain[box] - expected).mean() > 10


@pytest.mark.parametrize(("colour", "channel"), [("blue", 2), ("green", 1)])
def test_pen_has_the_colour_asked_for(colour: PenColour, channel: int) -> None:
    spec = SlideSpec(1700, 1100, tissue=False, pen=True, pen_colour=colour)
    rgb = slide_pixels(spec, WHOLE).astype(int)
    inked = rgb[rgb.min(axis=2) < 120]
    assert len(inked) > 1000
    assert (inked.argmax(axis=1) == channel).all()


def test_stains_differ_in_hue_on_the_same_tissue(plain: npt.NDArray[np.uint8]) -> None:
    other = slide_pixels(replace(SPEC, stain="b"), WHOLE)
    tissue = (plain.min(axis=2) < 200) & (other.min(axis=2) < 200)
    hue_a, hue_b = (np.log(250 / image[tissue].astype(float).clip(1)).mean(axis=0) for image in (plain, other))
    assert np.abs(hue_a / hue_a.sum() - hue_b / hue_b.sum()).max() > 0.02


@pytest.mark.parametrize("stain", ["a", "b"])
def test_densities_add_up_as_beer_and_lambert_say(stain: Stain) -> None:
    h, e = np.array([[0.1, 0.2, 0.0, 0.1]], np.float32), np.array([[0.3, 0.6, 0.3, 0.0]], np.float32)
    once, twice, eosin, haematoxylin = optical_density(stain, h, e)[0]
    assert np.allclose(twice, 2 * once)
    assert np.allclose(once, eosin + haematoxylin)


def test_chromatin_takes_up_less_eosin() -> None:
    both, nucleus, alone = optical_density("a", np.array([2.0, 2, 0], np.float32), np.array([1.0, 0, 1], np.float32))
    assert (both - nucleus < 0.7 * alone).all()


@pytest.mark.parametrize(("kind", "low", "high"), [("tumour", 6.5, 10), ("lymphocyte", 5, 7)])
@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_nuclei_have_their_true_size_at_any_scale(kind: str, low: float, high: float, mpp: float) -> None:
    areas = (pictures(kind, mpp) > 60).sum(axis=(1, 2)) * mpp**2
    assert low < np.median(2 * np.sqrt(areas / np.pi)) < high


def test_nuclei_lie_in_the_tissue_they_belong_to() -> None:
    spec = SlideSpec(3000, 2000, mpp=0.5, seed=4)
    truth = ground_truth(spec)
    fat = (truth.labels == TISSUE_TYPES.index("fat") + 1).astype(np.uint8)
    inside = np.kron(cv2.erode(fat, np.ones((3, 3))), np.ones((int(truth.downsample),) * 2))[
        : spec.height, : spec.width
    ]
    dark = slide_pixels(spec, Region(0, 0, 3000, 2000))[..., 0] < 120
    assert inside.sum() > 5000
    assert dark.mean() > 0.03
    assert dark[inside > 0].mean() < 0.001


def mean_direction(squared_gradient: npt.NDArray[np.complex128]) -> npt.NDArray[np.complex128]:
    """Direction of most contrast round each pixel, as a complex number at twice its angle."""
    real, imaginary = (cv2.boxFilter(part, -1, (97, 97)) for part in (squared_gradient.real, squared_gradient.imag))
    mean = np.asarray(real) + 1j * np.asarray(imaginary)
    return np.asarray(mean / np.maximum(np.abs(mean), 1e-9))


def test_spindle_nuclei_lie_along_the_fibres_of_the_stroma() -> None:
    spec = SlideSpec(2000, 1344, seed=2)
    rgb = slide_pixels(spec, Region(0, 0, 2000, 1344))
    down, right = np.gradient(cv2.GaussianBlur(rgb.mean(axis=2), (0, 0), 1))
    nuclei = cv2.dilate((rgb[..., 0] < 150).astype(np.uint8), np.ones((9, 9))) > 0
    stroma = (ground_truth(spec).labels == TISSUE_TYPES.index("stroma") + 1).astype(np.uint8)
    inside = np.kron(cv2.erode(stroma, np.ones((5, 5))), np.ones((32, 32)))[:1344, :2000] > 0
    squared = (right + 1j * down) ** 2
    agreement = (mean_direction(squared * nuclei) * mean_direction(squared * ~nuclei).conj()).real
    assert agreement[inside].mean() > 0.75


def test_a_nucleus_is_drawn_at_the_angle_asked_for() -> None:
    along = np.full(4, 2 * np.pi / 16, np.float32)
    found = Places(np.zeros(4), np.zeros(4), np.full(4, np.pi / 2), np.linspace(0, 0.9, 4))
    assert (chosen(found, "spindle", along) // KINDS["spindle"].variants == 2).all()


def test_spindle_nuclei_turn_with_their_angle() -> None:
    lying, standing = (pictures("spindle", 0.25)[i * KINDS["spindle"].variants] for i in (0, 8))
    wide, high = (np.ptp(np.nonzero(lying > 60)[axis]) for axis in (1, 0))
    assert wide > 2 * high
    assert np.ptp(np.nonzero(standing > 60)[0]) > 2 * np.ptp(np.nonzero(standing > 60)[1])
