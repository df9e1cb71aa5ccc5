"""What the quality columns say of generated tissue with known artefacts: affected tiles stand out from the others."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import TISSUE_TYPES, SlideSpec, ground_truth, slide_pixels
from wsi_features.slides.synthetic.anatomy import anatomy_of
from wsi_features.slides.synthetic.artefacts import FIELDS, marked, under_bubble
from wsi_features.slides.synthetic.nuclei import POPULATIONS
from wsi_features.slides.synthetic.spec import PenColour
from wsi_features.tiles.quality import COLUMNS, TileOptics, measured_columns

TILE = 128
SPEC = SlideSpec(width=1792, height=1280, seed=3, mpp=0.5, objective=20, levels=(1,))


@dataclass(frozen=True)
class Scene:
    """A clean slide's pixels, tissue labels and artefact fields, all (h, w)."""

    pixels: np.ndarray
    labels: np.ndarray
    fields: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def scene() -> Scene:
    region = Region(0, 0, SPEC.width, SPEC.height)
    truth, step = ground_truth(SPEC), 8
    y, x = ((np.arange(0, n, step) + step / 2) * 0.5 for n in (SPEC.height, SPEC.width))
    anatomy = anatomy_of(SPEC)
    size = (SPEC.width, SPEC.height)
    fields = {name: cv2.resize(FIELDS[name](anatomy, y, x), size) for name in ("pen", "bubble")}
    labels = np.kron(truth.labels, np.ones((int(truth.downsample),) * 2, np.uint8))[: SPEC.height, : SPEC.width]
    return Scene(slide_pixels(SPEC, region), labels, fields)


def cut(image: np.ndarray) -> np.ndarray:
    """Tiles (b, 128, 128, ...) in raster order."""
    rows, columns = image.shape[0] // TILE, image.shape[1] // TILE
    blocks = image[: rows * TILE, : columns * TILE].reshape(rows, TILE, columns, TILE, *image.shape[2:])
    return np.ascontiguousarray(blocks.swapaxes(1, 2).reshape(-1, TILE, TILE, *image.shape[2:]))


def values(name: str, tiles: np.ndarray, mpp: float = 0.5) -> np.ndarray:
    return measured_columns(tiles, TileOptics(mpp, one_to_one=True))[:, COLUMNS.index(name)]


def auc(affected: np.ndarray, others: np.ndarray) -> float:
    """How often an affected tile has a larger value than another; half for equal ones."""
    assert min(len(affected), len(others)) >= 5
    return float((affected[:, None] > others).mean() + 0.5 * (affected[:, None] == others).mean())


def with_tissue(scene: Scene, share: float = 0.3) -> np.ndarray:
    return (cut(scene.labels) > 0).mean(axis=(1, 2)) >= share


@pytest.mark.parametrize("colour", ["blue", "green", "black"])
def test_a_pen_of_each_colour_is_told_from_tissue(scene: Scene, colour: PenColour) -> None:
    ink = scene.fields["pen"]
    tiles, share = cut(marked(scene.pixels, ink, colour)), (cut(ink) > 0.5).mean(axis=(1, 2))
    touched, free = share > 0.1, share == 0
    for name in ("pen_share", f"pen_{colour}_share"):
        found = values(name, tiles)
        assert auc(found[touched], found[free]) >= 0.99
        assert found[free].max() < 0.01
        assert np.corrcoef(found, share)[0, 1] > 0.95
    for other in {"blue", "green", "black", "red"} - {colour}:
        mistaken = values(f"pen_{other}_share", tiles)
        assert mistaken[free].max() < 0.01
        # Ink over the densest tissue is as dark as black ink.
        assert mistaken[touched].mean() < 0.2 * values(f"pen_{colour}_share", tiles)[touched].mean()


def test_red_ink_is_told_from_tissue_and_from_blood(scene: Scene) -> None:
    tiles = cut(scene.pixels)[with_tissue(scene)][:12].copy()
    ink = np.exp(-np.array([0.1, 1.9, 1.6]))
    blood = np.array([190, 75, 85])
    red, pool = tiles.copy(), tiles.copy()
    red[:, 32:96] = np.rint(red[:, 32:96] * ink)
    pool[:, :, 16:112] = np.clip(blood + np.random.default_rng(0).normal(0, 4, (12, TILE, 96, 3)), 0, 255)
    for name, affected in (("pen_red_share", red), ("blood_share", pool)):
        assert auc(values(name, affected), values(name, tiles)) >= 0.99
    assert values("blood_share", red).max() < 0.1
    assert values("pen_red_share", pool).max() < 0.01


def test_folds_are_denser_than_tissue_of_any_kind() -> None:
    spec = SlideSpec(width=1792, height=1280, seed=1, mpp=0.5, objective=20, levels=(1,), fold=True)
    truth = ground_truth(spec)
    step = int(truth.downsample)
    assert truth.fold is not None
    folded, tissue = (
        cut(np.kron(mask, np.ones((step, step), np.bool_))[: spec.height, : spec.width]).mean(axis=(1, 2))
        for mask in (truth.fold, truth.tissue)
    )
    found = values("fold_share", cut(slide_pixels(spec, Region(0, 0, spec.width, spec.height))))
    assert auc(found[folded > 0.15], found[(folded == 0) & (tissue > 0.3)]) >= 0.9


def test_defocus_is_told_whatever_the_contrast(scene: Scene) -> None:
    tissue = with_tissue(scene)
    sharp = cut(scene.pixels)[tissue]
    soft = cut(cv2.GaussianBlur(scene.pixels, (0, 0), 3.5 / 0.5))[tissue]
    pale = np.rint(255 - (255 - sharp.astype(float)) * 0.5).astype(np.uint8)
    for name in ("sharpness", "laplacian_variance"):
        assert auc(-values(name, soft), -values(name, sharp)) >= 0.95
    assert auc(-values("sharpness", soft), -values("sharpness", pale)) >= 0.95
    ratio = values("sharpness", pale) / values("sharpness", sharp)
    assert 0.9 < np.nanmedian(ratio) < 1.1  # half the contrast, the same sharpness


def test_sharpness_is_that_of_the_tissue_at_another_resolution(scene: Scene) -> None:
    doubled = cv2.resize(scene.pixels[:640, :896], None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    fine = measured_columns(doubled[None], TileOptics(0.25, one_to_one=False))
    coarse = measured_columns(scene.pixels[None, :640, :896], TileOptics(0.5, one_to_one=False))
    names = [name for name in COLUMNS if name not in ("laplacian_variance", "blockiness")]
    columns = [COLUMNS.index(name) for name in names]
    np.testing.assert_allclose(fine[0, columns], coarse[0, columns], rtol=1e-6)


def test_the_rim_of_an_air_bubble_is_grey(scene: Scene) -> None:
    depth = scene.fields["bubble"]
    tiles = cut(under_bubble(scene.pixels, scene.pixels, depth))
    rim = cut((depth > 2) & (depth < 14)).mean(axis=(1, 2))
    found = values("grey_share", tiles) + values("pen_black_share", tiles)
    assert auc(found[rim > 0.05], found[cut(depth > 0).mean(axis=(1, 2)) == 0]) >= 0.9


def test_glass_is_white_and_tissue_is_not(scene: Scene) -> None:
    labels, white = cut(scene.labels), values("white_share", cut(scene.pixels))
    glass = (labels == 0).mean(axis=(1, 2))
    assert auc(white[glass > 0.9], white[glass < 0.1]) >= 0.99
    assert white[glass == 1].min() > 0.95


def test_blocks_of_a_poor_jpeg_show_wherever_the_tile_begins(scene: Scene) -> None:
    jpeg = cv2.imencode(".jpg", scene.pixels, [cv2.IMWRITE_JPEG_QUALITY, 25])[1]
    poor = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)
    tissue = with_tissue(scene, 0.8)
    for x, y in ((0, 0), (3, 5)):
        shifted = [cut(np.roll(image, (-y, -x), (0, 1)))[tissue] for image in (poor, scene.pixels)]
        assert auc(*(values("blockiness", tiles) for tiles in shifted)) >= 0.95


def test_nuclei_are_counted_in_the_order_of_their_density(scene: Scene) -> None:
    labels = cut(scene.labels)
    shares = np.stack([(labels == k + 1).mean(axis=(1, 2)) for k in range(len(TISSUE_TYPES))], axis=1)
    per_mm2 = np.array(
        [sum(p.kept * 1e6 / p.pitch_um**2 for p in POPULATIONS if p.tissue == kind) for kind in TISSUE_TYPES]
    )
    found, wanted = values("nuclei_per_mm2", cut(scene.pixels)), shares @ per_mm2
    order = [np.argsort(np.argsort(v)) for v in (found, wanted)]
    assert np.corrcoef(*order)[0, 1] > 0.85
    means = [found[shares[:, TISSUE_TYPES.index(kind)] > 0.6].mean() for kind in ("lymphocytes", "tumour", "stroma")]
    assert means == sorted(means, reverse=True)
