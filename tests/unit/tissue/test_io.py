from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from wsi_features.errors import AnnotationError, ArtifactError
from wsi_features.geometry import Size
from wsi_features.tissue.geojson import to_text
from wsi_features.tissue.io import annotated_mask, mask_from_png, png_bytes
from wsi_features.tissue.mask import TissueMask

SLIDE = Size(1300, 905)
TISSUE = TissueMask(np.random.default_rng(0).random((90, 131)) < 0.5, SLIDE)


def from_png(data: bytes) -> TissueMask:
    return mask_from_png(data, slide_id="s1", source="tissue.png", slide=SLIDE)


def annotated(path: Path) -> TissueMask:
    return annotated_mask(path, slide_id="s1", slide=SLIDE, size=TISSUE.size, annotation_class="Tissue")


def test_a_mask_comes_back_from_its_png_unchanged() -> None:
    found = from_png(png_bytes(TISSUE))
    assert np.array_equal(found.mask, TISSUE.mask)
    assert found.slide == SLIDE


def test_the_png_has_one_bit_per_pixel_and_the_same_bytes_each_time() -> None:
    data = png_bytes(TISSUE)
    assert data == png_bytes(TISSUE)
    assert data[24:26] == bytes([1, 0])  # IHDR: bit depth 1, greyscale
    assert b"tIME" not in data


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "empty"])
def test_a_damaged_png_is_refused(damage: str) -> None:
    good = png_bytes(TISSUE)
    flipped = bytearray(good)
    flipped[200] ^= 1
    data = {"cut": good[:-30], "flipped": bytes(flipped), "text": b"tissue", "empty": b""}[damage]
    with pytest.raises(ArtifactError, match=r"slide 's1': tissue mask 'tissue.png' cannot be read \(not a whole PNG"):
        from_png(data)


def test_a_grey_picture_is_no_mask() -> None:
    _, data = cv2.imencode(".png", np.full((5, 7), 90, dtype=np.uint8))
    with pytest.raises(ArtifactError, match="neither black nor white"):
        from_png(data.tobytes())


def test_an_annotation_file_becomes_a_mask_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    text = to_text(TISSUE, mpp=0.5, class_name="Tissue", extra={})
    (tmp_path / "plain.geojson").write_text(text, encoding="utf-8")
    (tmp_path / "marked.geojson").write_text(text, encoding="utf-8-sig")
    for name in ("plain", "marked"):
        assert np.array_equal(annotated(tmp_path / f"{name}.geojson").mask, TISSUE.mask)


def test_an_absent_annotation_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match=r"absent.geojson' are not .*No such file"):
        annotated(tmp_path / "absent.geojson")


def test_a_folder_is_no_annotation_file(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="Is a directory"):
        annotated(tmp_path)


def test_a_binary_file_is_no_annotation_file(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_bytes(png_bytes(TISSUE))
    with pytest.raises(AnnotationError, match="not UTF-8 text"):
        annotated(tmp_path / "a.geojson")


def test_a_file_above_the_size_limit_is_refused_unparsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsi_features.tissue.io._LARGEST_ANNOTATIONS", 1 << 20)
    (tmp_path / "cells.geojson").write_text(json.dumps([0] * 400_000), encoding="utf-8")
    with pytest.raises(AnnotationError, match="more than 1 MiB; export the tissue only"):
        annotated(tmp_path / "cells.geojson")
