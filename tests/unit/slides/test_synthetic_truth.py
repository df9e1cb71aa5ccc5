from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import TISSUE_TYPES, GroundTruth, SlideSpec, ground_truth, slide_pixels
from wsi_features.slides.synthetic.scene import Area, scene_of

# Three millimetres by two at a coarse scan: a whole section in few pixels.
SECTION = SlideSpec(3000, 2000, mpp=1.0, seed=4)
SMALL = SlideSpec(2000, 1344, seed=1)

Image = npt.NDArray[np.float64]


def thumbnail(spec: SlideSpec) -> Image:
    """Mean colour of every truth pixel that lies wholly on the slide."""
    step = int(ground_truth(spec).downsample)
    height, width = spec.height // step, spec.width // step
    rgb = slide_pixels(spec, Region(0, 0, width * step, height * step))
    return np.asarray(rgb.reshape(height, step, width, step, 3).mean(axis=(1, 3)), dtype=np.float64)


@pytest.fixture(scope="module")
def section() -> tuple[Image, GroundTruth]:
    return thumbnail(SECTION), ground_truth(SECTION)


def overlap(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    height, width = min(found.shape[0], truth.shape[0]), min(found.shape[1], truth.shape[1])
    found, truth = found[:height, :width], truth[:height, :width]
    return float((found & truth).sum() / (found | truth).sum())


def saturated(image: Image) -> npt.NDArray[np.bool_]:
    saturation = cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2HSV)[..., 1]
    threshold, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_OTSU)
    return np.asarray(saturation > threshold)


def test_otsu_on_saturation_finds_the_tissue_of_the_truth(section: tuple[Image, GroundTruth]) -> None:
    image, truth = section
    assert overlap(saturated(image), truth.tissue) >= 0.95


@pytest.mark.parametrize("turned", [np.fliplr, np.flipud, np.transpose])
def test_the_truth_fits_the_pixels_in_no_other_orientation(section: tuple[Image, GroundTruth], turned: object) -> None:
    image, truth = section
    assert callable(turned)
    assert overlap(saturated(image), turned(truth.tissue)) < 0.9


def test_every_tissue_type_occurs_and_none_fills_the_tissue() -> None:
    labels = ground_truth(SMALL).labels
    shares = [(labels == k).sum() / (labels > 0).sum() for k in range(1, len(TISSUE_TYPES) + 1)]
    assert min(shares) > 0.005
    assert max(shares) < 0.7


def test_tissue_types_differ_in_colour_as_they_do_under_the_microscope(section: tuple[Image, GroundTruth]) -> None:
    image, truth = section
    labels = truth.labels[: image.shape[0], : image.shape[1]]
    red, green, blue = (np.array([image[labels == k, c].mean() for k in range(6)]) for c in range(3))
    glass, tumour, stroma, lymphocytes, necrosis, fat = range(6)
    assert list(np.argsort(red)) == [lymphocytes, tumour, necrosis, stroma, fat, glass]
    assert green[glass] > green[fat] > green[stroma] > green[tumour]
    assert (red - blue)[necrosis] > (red - blue)[stroma] > (red - blue)[tumour]


def test_the_same_seed_at_another_scale_is_the_same_section() -> None:
    coarse = SlideSpec(1000, 672, mpp=0.5, seed=1)
    assert np.array_equal(ground_truth(SMALL).labels, ground_truth(coarse).labels)
    assert np.abs(thumbnail(SMALL) - thumbnail(coarse)).mean() < 3


def test_another_seed_is_another_section() -> None:
    assert overlap(ground_truth(SMALL).tissue, ground_truth(SlideSpec(2000, 1344, seed=2)).tissue) < 0.9


def test_an_empty_slide_has_no_tissue_and_looks_like_glass() -> None:
    empty = SlideSpec(1500, 900, tissue=False)
    assert not ground_truth(empty).tissue.any()
    assert slide_pixels(empty, Region(0, 0, 1500, 900)).min() > 225


def test_pieces_keep_off_the_edges_of_the_slide() -> None:
    for seed in range(12):
        tissue = ground_truth(SlideSpec(4000, 2500, seed=seed)).tissue
        edge = np.concatenate([tissue[0], tissue[-1], tissue[:, 0], tissue[:, -1]])
        assert edge.mean() < 0.05


def test_a_window_of_the_scene_shows_the_labels_at_its_place() -> None:
    scene = scene_of(SMALL)
    assert np.array_equal(scene.window(Area(12, 20, 9, 5)), scene.labels[12:21, 20:25])
    assert np.array_equal(scene.window(Area(-2, 20, 3, 5)), scene.labels[[0, 0, 0], 20:25])


def test_truth_cannot_be_changed_by_its_reader() -> None:
    with pytest.raises(ValueError, match="read-only"):
        ground_truth(SMALL).labels[0, 0] = 3


def test_there_is_no_mask_of_an_artefact_that_was_not_asked_for() -> None:
    truth = ground_truth(SlideSpec(fold=True))
    assert truth.fold is not None
    assert (truth.pen, truth.blur, truth.bubble) == (None, None, None)


def test_cores_and_fragments_are_many_small_pieces() -> None:
    for layout, wanted, most_mm2 in (("cores", 6, 0.4), ("fragments", 2, 1.4)):
        tissue = ground_truth(SlideSpec(1500, 1000, mpp=2.0, seed=2, layout=layout)).tissue
        count, _, stats, _ = cv2.connectedComponentsWithStats(tissue.view(np.uint8))
        large = stats[1:count, cv2.CC_STAT_AREA] * 64e-6
        assert (large > 0.05).sum() == wanted
        assert large.max() < most_mm2


def test_holes_take_tissue_away_and_add_none() -> None:
    plain, holed = (ground_truth(SlideSpec(1500, 1000, mpp=2.0, seed=2, holes=h)).tissue for h in (False, True))
    assert not (holed & ~plain).any()
    assert 0.03 < 1 - holed.sum() / plain.sum() < 0.5


def test_the_border_is_black_where_its_mask_says() -> None:
    spec = SlideSpec(900, 600, mpp=2.0, tissue=False, border=True, dust=True, glass=(200, 201, 202))
    truth, image = ground_truth(spec), thumbnail(replace(spec, pen=False))
    assert truth.border is not None
    assert truth.dust is not None
    border, dust = (mask[: image.shape[0], : image.shape[1]] for mask in (truth.border, truth.dust))
    assert image[~border & ~dust].mean(axis=0) == pytest.approx((200, 201, 202), abs=2)
    assert image[2:-2, :2].max() < 12
    assert not border[20:, 20:].any()


def test_fainter_dyes_are_nearer_to_the_glass() -> None:
    strong, faint = (thumbnail(SlideSpec(600, 400, mpp=2.0, seed=1, strength=s)) for s in (1.0, 0.3))
    assert (245 - faint).mean() == pytest.approx(0.35 * (245 - strong).mean(), rel=0.25)
