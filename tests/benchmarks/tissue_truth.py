"""Generated slides whose tissue is known, and how a mask of one is judged. Used by the benchmark and by the tests.

Slides of 6 x 4.2 mm are drawn at 4 um/px, compressed as scanners do (JPEG, quality 80) and halved, which gives thumbnails
at 8 um/px; the truth has the same pixels. Where a pen or a scanner's border hides tissue, there is none to find.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region
from wsi_features.slides.synthetic import SlideSpec, ground_truth, slide_pixels

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

MPP = 8.0
LEAST_PIECE_UM2 = 200_000
"""No piece of tissue of this size may be missed: less than half of it in the mask."""

HE: dict[str, dict[str, Any]] = {
    "plain": {},
    "other laboratory": {"stain": "b"},
    **{f"{colour} pen": {"pen": True, "pen_colour": colour} for colour in ("blue", "green", "black", "red")},
    "faint tissue": {"strength": 0.3},
    "grey background": {"glass": (198, 198, 200)},
    "tinted background": {"glass": (238, 230, 212)},
    "microarray": {"layout": "cores"},
    "fragments": {"layout": "fragments"},
    "holes": {"holes": True},
    "dust": {"dust": True},
    "black border": {"border": True},
    "seams": {"seams": True, "glass": (226, 226, 226)},
    "fold, blur, bubble": {"fold": True, "blur": True, "bubble": True},
    "faint, grey, all dirt": {
        "strength": 0.35,
        "glass": (222, 220, 222),
        "dust": True,
        "seams": True,
        "border": True,
        "pen": True,
    },
    "microarray, all dirt": {
        "layout": "cores",
        "strength": 0.6,
        "dust": True,
        "seams": True,
        "border": True,
        "holes": True,
    },
}
"""H&E, by what makes it hard."""

STAINS: dict[str, dict[str, Any]] = {
    **{s: {"stain": s} for s in ("ihc", "masson-blue", "masson-green", "alcian", "sirius", "silver", "dapi")},
    **{
        f"{stain}, {colour} pen": {"stain": stain, "pen": True, "pen_colour": colour}
        for stain, colour in (
            *(("masson-blue", "blue"), ("masson-blue", "black"), ("masson-green", "green"), ("alcian", "blue")),
            *(("sirius", "red"), ("ihc", "black"), ("silver", "black")),
        )
    },
    "dapi microarray": {"stain": "dapi", "layout": "cores"},
}
"""Other stains, also with ink of their own hue; dapi is fluorescence."""

EMPTY: dict[str, dict[str, Any]] = {
    "glass": {},
    "grey glass, all dirt": {"glass": (205, 204, 202), "dust": True, "seams": True, "border": True},
    **{f"{colour} pen on glass": {"pen": True, "pen_colour": colour} for colour in ("blue", "green", "black", "red")},
    "dark field": {"stain": "dapi"},
}
"""Slides without tissue."""


@dataclass(frozen=True, eq=False)
class Case:
    """A thumbnail uint8 (h, w, 3) with its tissue and ink, bool (h, w)."""

    thumbnail: Image
    tissue: Mask
    pen: Mask


@dataclass(frozen=True)
class Verdict:
    """Overlap with the truth (intersection over union), large pieces missed, share of the ink in the mask, milliseconds."""

    iou: float
    missed: int
    pen: float
    milliseconds: float


def case(fields: dict[str, Any], seed: int, size: tuple[int, int] = (1500, 1050)) -> Case:
    """One slide; `size` is in pixels of 4 um and even."""
    import cv2

    width, height = size
    spec = SlideSpec(width, height, mpp=MPP / 2, seed=seed, levels=(1,), **fields)
    pixels = slide_pixels(spec, Region(0, 0, width, height))
    encoded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    decoded = np.ascontiguousarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])
    small = np.asarray(cv2.resize(decoded, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
    truth = ground_truth(spec)
    hidden = np.zeros(truth.tissue.shape, np.bool_)
    for mask in (truth.pen, truth.border):
        hidden |= False if mask is None else mask
    pen = np.zeros_like(hidden) if truth.pen is None else truth.pen
    return Case(small, truth.tissue & ~hidden, pen)


def judged(segment: Callable[[Image, float], Mask], one: Case) -> Verdict:
    """How well a segmenter finds the tissue of a case."""
    started = time.process_time()
    found = segment(one.thumbnail, MPP)
    took = time.process_time() - started
    either = int((found | one.tissue).sum())
    iou = int((found & one.tissue).sum()) / either if either else 1.0
    missed = sum((found & piece).sum() < piece.sum() / 2 for piece in _large_pieces(one.tissue))
    pen = int((found & one.pen).sum()) / max(1, int(one.pen.sum()))
    return Verdict(iou, missed, pen, took * 1e3)


def _large_pieces(tissue: Mask) -> Iterator[Mask]:
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(tissue.view(np.uint8), connectivity=4)
    for k in range(1, count):
        if stats[k, cv2.CC_STAT_AREA] * MPP**2 >= LEAST_PIECE_UM2:
            yield labels == k
