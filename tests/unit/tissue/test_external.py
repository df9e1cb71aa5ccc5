"""Masks of other programs: PNG and TIFF at any scale, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from wsi_features.errors import AnnotationError
from wsi_features.geometry import Size
from wsi_features.tissue import external
from wsi_features.tissue.external import mask_from_image

SLIDE, SIZE = Size(12_000, 8_000), Size(60, 40)
TRUTH = np.zeros((40, 60), np.bool_)
TRUTH[5:20, 10:50] = True
TRUTH[10:15, 20:25] = False


def mask(path: Path, labels: tuple[int, ...] = ()) -> np.ndarray:
    return mask_from_image(path, slide_id="s1", slide=SLIDE, size=SIZE, labels=labels).mask


def written(path: Path, pixels: np.ndarray, **options: Any) -> Path:
    if path.suffix == ".png":
        cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    else:
        tifffile.imwrite(path, pixels, **options)
    return path


def enlarged(times: int, dtype: Any = np.uint8, value: int = 255) -> np.ndarray:
    return np.kron(TRUTH, np.ones((times, times))).astype(dtype) * np.dtype(dtype).type(value)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("times", [1, 3, 8])
@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 255), (np.uint8, 1), (np.uint16, 300)])
def test_a_mask_of_any_scale_and_depth_is_read(tmp_path: Path, suffix: str, times: int, dtype: Any, value: int) -> None:
    assert np.array_equal(mask(written(tmp_path / f"m{suffix}", enlarged(times, dtype, value))), TRUTH)


def test_a_coarser_mask_is_repeated(tmp_path: Path) -> None:
    coarse = np.zeros((4, 6), np.uint8)
    coarse[1, 4] = 255
    found = mask(written(tmp_path / "m.png", coarse))
    assert found[10:20, 40:50].all()
    assert found.sum() == 100


@pytest.mark.parametrize("most", [1 << 28, 120 * 10])
def test_a_mask_pixel_is_tissue_where_half_of_it_or_more_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(external, "_MOST_AT_ONCE", most)
    fine = np.zeros((80, 120), np.uint8)
    fine[0:2, 0:1] = 255  # half of the first pixel
    fine[0:1, 2:3] = 255  # a quarter of the second
    assert np.flatnonzero(mask(written(tmp_path / "m.tif", fine, rowsperstrip=7)).ravel()).tolist() == [0]


def test_only_the_labels_asked_for_are_tissue(tmp_path: Path) -> None:
    labels = enlarged(2, np.uint16, 700) + np.uint16(3)
    path = written(tmp_path / "m.tif", labels)
    assert mask(path).all()
    assert np.array_equal(mask(path, (703, 9)), TRUTH)
    with pytest.raises(
        AnnotationError, match=r"'s1'.*no pixel of the values 5 \(found: 3, 703\).*`tissue.mask_labels`"
    ):
        mask(path, (5,))


def test_an_empty_mask_is_no_mistake(tmp_path: Path) -> None:
    assert not mask(written(tmp_path / "m.png", np.zeros((40, 60), np.uint8)), (5,)).any()


def test_any_colour_but_black_is_tissue_and_opacity_says_nothing(tmp_path: Path) -> None:
    colours = np.zeros((40, 60, 4), np.uint8)
    colours[..., 3] = 255
    colours[..., 1] = TRUTH * 90
    path = written(tmp_path / "m.tif", colours, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(mask(path), TRUTH)
    with pytest.raises(AnnotationError, match="it has colours where `tissue.mask_labels` needs one value"):
        mask(path, (90,))


def test_of_a_pyramid_the_coarsest_level_that_is_fine_enough_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(np.ones_like(enlarged(8)), tile=(64, 48), subifds=2)
        tiff.write(enlarged(2), tile=(64, 48), subfiletype=1)
        tiff.write(np.zeros((20, 30), np.uint8), subfiletype=1)
    assert np.array_equal(mask(path), TRUTH)


@pytest.mark.parametrize(
    "options", [{"tile": (64, 48)}, {"rowsperstrip": 7}, {"tile": (64, 48), "compression": "zlib"}]
)
def test_a_huge_image_is_gone_through_block_by_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(external, "_MOST_AT_ONCE", 480 * 10)
    path = written(tmp_path / "m.tif", enlarged(8, np.uint16, 2), **options)
    assert np.array_equal(mask(path), TRUTH)
    with pytest.raises(AnnotationError, match="no pixel of the values 5"):
        mask(path, (5,))


@pytest.mark.parametrize("shape", [(60, 40), (40, 45), (20, 60)])
def test_a_mask_of_other_proportions_is_refused_with_both_shapes(tmp_path: Path, shape: tuple[int, int]) -> None:
    path = written(tmp_path / "m.png", np.ones(shape, np.uint8))
    wanted = rf"'s1': mask .* has {shape[1]} x {shape[0]} pixels, the slide 12000 x 8000.*neither cropped nor turned"
    with pytest.raises(AnnotationError, match=wanted):
        mask(path)


def test_a_mask_that_is_off_by_a_pixel_is_accepted(tmp_path: Path) -> None:
    assert mask(written(tmp_path / "m.png", np.ones((5, 7), np.uint8))).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kept", [0, 5, 20, 60, 0.5, 0.9])
def test_a_mask_that_is_cut_short_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 2, (400, 600)).astype(np.uint8)
    path = written(tmp_path / f"m{suffix}", noise, **({"rowsperstrip": 20} if suffix == ".tif" else {}))
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept >= 1 else kept * len(data))])
    with pytest.raises(AnnotationError, match=r"slide 's1': mask .* cannot be used"):
        mask(path)


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a" + b"0" * 60, b'{"type": "FeatureCollection"}', b"II*\0" + b"\xff" * 60]
)
def test_what_is_no_image_is_refused_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.png").write_bytes(content)
    with pytest.raises(
        AnnotationError, match=r"'s1'.*cannot be used.*GeoJSON belongs into the manifest column `annotations`"
    ):
        mask(tmp_path / "m.png")


def test_a_mask_of_blurred_values_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "m.tif", enlarged(8), tile=(64, 64), compression="jpeg")
    with pytest.raises(AnnotationError, match="compressed as JPEG, which blurs its values"):
        mask(path)


@pytest.mark.parametrize("at", [30, 45, -6])
def test_a_png_of_which_a_byte_has_changed_is_refused(tmp_path: Path, at: int) -> None:
    data = bytearray(written(tmp_path / "m.png", enlarged(2)).read_bytes())
    data[at] ^= 4
    (tmp_path / "m.png").write_bytes(bytes(data))
    with pytest.raises(AnnotationError, match=r"a checksum is wrong|it is cut short"):
        mask(tmp_path / "m.png")


def test_a_png_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "m.png", np.ones((40, 60), np.uint8)).read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") + (40_000).to_bytes(4, "big")
    (tmp_path / "m.png").write_bytes(bytes(data))
    with pytest.raises(AnnotationError, match="60000 x 40000 pixels are too many"):
        mask(tmp_path / "m.png")
