"""Tissue masks: overlap with the truth of generated slides and milliseconds, side by side with tiatoolbox's maskers.

BENCH_SEEDS says how many slides of each kind are made (2; the figures in RESULTS.md are of 20). tiatoolbox's maskers are
run as its users run them: no clean-up of ours, no guard, on the same thumbnail.
"""

from __future__ import annotations

import os
import tempfile
import time
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tissue_truth import EMPTY, HE, MPP, STAINS, Case, Image, Mask, case, judged

from wsi_features.slides import open_slide, thumbnail
from wsi_features.slides.synthetic import SlideSpec, write_slide
from wsi_features.tissue import TissueRecipe, segmenter
from wsi_features.tissue.recipe import Method
from wsi_features.tissue.toolbox import maskers

Row = dict[str, Any]
Segment = Callable[[Image, float], Mask]

OURS: tuple[Method, ...] = ("otsu", "hsv", "entropy")
LIMIT_MS = 100.0
"""Alarm for reading the thumbnail and making the mask of a slide of 30,000 x 30,000 px."""


def rows(pixels: int = 30_000) -> list[Row]:
    """Rows of accuracy a kind of slide and method, then of time."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return [*_accuracy(int(os.environ.get("BENCH_SEEDS", "2"))), *_times(pixels)]
    finally:
        cv2.setNumThreads(threads)


def _segmenters() -> dict[str, Segment]:
    ours: dict[str, Segment] = {method: segmenter(TissueRecipe(method=method)) for method in OURS}
    return ours | {"tiatoolbox Otsu": partial(_theirs, "Otsu"), "tiatoolbox morphological": partial(_theirs, "Morph")}


def _theirs(kind: str, image: Image, mpp: float) -> Mask:
    with maskers() as module:
        masker = module.OtsuTissueMasker() if kind == "Otsu" else module.MorphologicalMasker(mpp=mpp)
        return np.asarray(masker.fit_transform(image[None])[0], np.bool_)


def _accuracy(seeds: int) -> list[Row]:
    table: list[Row] = []
    segmenters = _segmenters()
    for name, fields in (HE | STAINS).items():
        cases = [case(fields, seed) for seed in range(seeds)]
        table += [_overlap(name, method, segment, cases) for method, segment in segmenters.items()]
    for name, fields in EMPTY.items():
        cases = [case(fields | {"tissue": False}, seed) for seed in range(seeds)]
        table += [_wrong(name, method, segment, cases) for method, segment in segmenters.items()]
    return table


def _overlap(name: str, method: str, segment: Segment, cases: list[Case]) -> Row:
    verdicts = [judged(segment, one) for one in cases]
    ious = [verdict.iou for verdict in verdicts]
    missed, pen = sum(verdict.missed for verdict in verdicts), max(verdict.pen for verdict in verdicts)
    said = f"min {min(ious):.3f}, {missed} missed, ink {pen:.0%}"
    return {"name": f"{name}: {method} ({said})", "value": float(np.median(ious)), "unit": "median IoU"}


def _wrong(name: str, method: str, segment: Segment, cases: list[Case]) -> Row:
    most = max(float(segment(one.thumbnail, MPP).sum()) * MPP**2 / 1e6 for one in cases)
    return {"name": f"no tissue, {name}: {method}", "value": most, "unit": "mm2, most"}


def _times(pixels: int) -> list[Row]:
    """Reading and masking an open slide that has levels at 1 and 4 times its 1 um/px: what a scan of
    `pixels` at 0.25 um/px with levels 1, 4 and 16 has from its second level on."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.svs"
        write_slide(path, SlideSpec(pixels // 4, pixels // 4, mpp=1.0, objective=10, levels=(1, 4), seed=1))
        with open_slide("bench", path) as slide:
            read = partial(thumbnail, "bench", slide, 1.0, MPP)
            small, reading = read(), _best_ms(read)
        found: list[Row] = [{"name": "thumbnail of 30,000 x 30,000 px, read", "value": reading, "unit": "ms"}]
        for method, segment in _segmenters().items():
            took = _best_ms(partial(segment, small, MPP))
            row: Row = {"name": f"thumbnail and mask by {method}", "value": reading + took, "unit": "ms"}
            found.append(row | ({"limit": LIMIT_MS} if method in OURS else {}))
        return found


def _best_ms(work: Callable[[], object], repeats: int = 7) -> float:
    # Processor time of all threads: a per-core figure that other programs on the machine disturb little.
    return min(timeit.repeat(work, timer=time.process_time, number=1, repeat=repeats)) * 1e3
