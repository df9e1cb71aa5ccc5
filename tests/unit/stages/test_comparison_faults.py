"""Faults of the input, made for real: one slide's tiles described with and without each, and the hint that comes of it."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from wsi_features.cohort.compare.sides import Side
from wsi_features.cohort.compare.slide import Compared, compared
from wsi_features.encode.histo_texture import FEATURE_NAMES, tile_descriptor
from wsi_features.geometry import Region
from wsi_features.slides import open_slide

pytestmark = pytest.mark.ci

Rgb = npt.NDArray[np.uint8]
SPAN = 256
CORNERS = np.stack(np.meshgrid(np.arange(2, 10), np.arange(2, 7)), axis=-1).reshape(-1, 2) * SPAN


@pytest.fixture(scope="module")
def reads(slide_folder: Path) -> Callable[..., list[Rgb]]:
    """The tiles at the corners, moved and widened as asked."""
    slide = open_slide("small", slide_folder / "small.svs")
    return lambda dx=0, dy=0, side=SPAN: [
        slide.read(Region(int(x) + dx, int(y) + dy, side, side), 0).rgb for x, y in CORNERS
    ]


def described(tiles: list[Rgb]) -> npt.NDArray[np.float32]:
    return np.stack([tile_descriptor(np.ascontiguousarray(tile)) for tile in tiles]).astype(np.float32)


@pytest.fixture(scope="module")
def right(reads: Callable[..., list[Rgb]]) -> npt.NDArray[np.float32]:
    return described(reads())


@pytest.fixture(scope="module")
def with_fault(reads: Callable[..., list[Rgb]], right: npt.NDArray[np.float32]) -> Callable[..., Compared]:
    def compare(
        change: Callable[[Rgb], Rgb], span: float = SPAN, names: tuple[str, ...] = FEATURE_NAMES, **read: int
    ) -> Compared:
        wrong = described([change(tile) for tile in reads(**read)])
        corners = CORNERS.astype(np.float64)
        one = Side("s1", Path("a.npy"), "npy", right, "float32", corners, float(SPAN))
        moved = corners - (span - SPAN) / 2
        return compared("s1", one, Side("s1", Path("b.npy"), "npy", wrong, "float32", moved, span), 1.0, names)

    return compare


def jpeg(tile: Rgb) -> Rgb:
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", tile, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], cv2.IMREAD_COLOR), np.uint8
    )


def resampled(tile: Rgb) -> Rgb:
    """Down and up again by another kernel."""
    small = cv2.resize(tile, (232, 232), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(small, (256, 256), interpolation=cv2.INTER_CUBIC), np.uint8)


def restained(tile: Rgb) -> Rgb:
    density = -np.log(np.maximum(tile, 1) / 255)
    return np.asarray(np.clip(255 * np.exp(-density * [1.15, 0.9, 1.1]), 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("channels", lambda tile: tile[:, :, ::-1]),
        ("detail", jpeg),
        ("detail", resampled),
        ("colour", restained),
        ("mirrored", lambda tile: tile[:, ::-1]),
    ],
    ids=["bgr", "jpeg", "kernel", "stain", "mirror"],
)
def test_a_fault_of_the_pixels_is_told(
    with_fault: Callable[..., Compared], kind: str, change: Callable[[Rgb], Rgb]
) -> None:
    found = with_fault(change)
    assert found.verdict == "same encoder, other pixels"
    assert [hint.kind for hint in found.hints] == [kind]
    assert found.hints[0].certainty == "likely"


def test_without_names_of_features_no_cause_is_claimed(with_fault: Callable[..., Compared]) -> None:
    found = with_fault(jpeg, names=())
    assert [(hint.kind, hint.certainty) for hint in found.hints] == [("pixels", "possible")]


def test_a_shifted_grid_is_told_with_its_direction_and_about_its_size(with_fault: Callable[..., Compared]) -> None:
    found = with_fault(lambda tile: tile, dx=128)
    (hint,) = (hint for hint in found.hints if hint.kind == "displaced")
    assert "to the right of its positions" in hint.text
    share = int(hint.text.partition("roughly ")[2].partition("%")[0])
    assert 30 <= share <= 70


def test_another_resolution_is_told_by_the_footprint(with_fault: Callable[..., Compared]) -> None:
    def halved(tile: Rgb) -> Rgb:
        return np.asarray(cv2.resize(tile, (SPAN, SPAN), interpolation=cv2.INTER_AREA), np.uint8)

    found = with_fault(halved, span=2.0 * SPAN, dx=-128, dy=-128, side=2 * SPAN)
    assert {hint.kind: hint.numbers.get("ratio") for hint in found.hints}["footprint"] == 2
    assert "pixels" not in {hint.kind for hint in found.hints}
