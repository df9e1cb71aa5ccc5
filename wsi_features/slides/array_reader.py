"""A slide held in memory: the reader for tests, and for pixels that never were a file.

Damage can be declared: a region listed as unreadable behaves like an undecodable
part of a file, and transparent pixels like parts that were never scanned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import Level, MppCandidate, Pixels, PixelStatus, SlideBase


class ArraySlide(SlideBase):
    """A pyramid made of one array, uint8 (h, w, 3) or (h, w, 4) with alpha.

    `downsamples` are whole numbers, 1 first; coarser levels are area averages of level 0.
    `unreadable` lists level-0 regions; any read that touches one is reported as such.
    """

    reader = "array"
    why = "made from an array"

    def __init__(
        self,
        pixels: npt.NDArray[np.uint8],
        mpp: float | None = 0.5,
        downsamples: Sequence[int] = (1,),
        unreadable: Sequence[Region] = (),
    ) -> None:
        self._arrays = [_reduced(_with_alpha(pixels), d) for d in downsamples]
        self._unreadable = tuple(unreadable)
        self.levels = tuple(
            Level(Size(a.shape[1], a.shape[0]), float(d)) for a, d in zip(self._arrays, downsamples, strict=True)
        )
        stated = (MppCandidate("array", mpp, mpp),) if mpp is not None else ()
        self.mpp_candidates = stated

    def read(self, region: Region, level: int) -> Pixels:
        """The pixels of `region` of `level`; what lies outside is missing."""
        white = np.full((region.height, region.width, 3), 255, np.uint8)
        if any(_touch(region, self.levels[level].downsample, box) for box in self._unreadable):
            return Pixels(white, 0.0, "unreadable", "declared unreadable")
        rgba = _window(self._arrays[level], region)
        return composed_on_white(rgba)

    def reopened(self) -> ArraySlide:
        """The slide itself: reading changes nothing in it."""
        return self


def composed_on_white(rgba: npt.NDArray[np.uint8]) -> Pixels:
    """RGBA uint8 (h, w, 4), not premultiplied, over white, with its coverage."""
    alpha, rgb = rgba[..., 3], rgba[..., :3]
    if not alpha.size or alpha.min() == 255:
        return Pixels(np.ascontiguousarray(rgb), 1.0, "ok")
    coverage = float(alpha.mean(dtype=np.float64)) / 255
    weight = alpha[..., None].astype(np.float32) / 255
    over = np.rint(rgb * weight + 255 * (1 - weight)).astype(np.uint8)
    status: PixelStatus = "ok" if coverage else "missing"
    return Pixels(over, coverage, status, "" if coverage else "not scanned")


def _with_alpha(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if pixels.shape[2] == 4:
        return pixels
    return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=2)


def _reduced(rgba: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    if factor == 1:
        return rgba
    height, width = (rgba.shape[0] // factor) * factor, (rgba.shape[1] // factor) * factor
    # Rows first, then columns, in whole numbers: several times as fast as one mean over both, and equal to the bit.
    whole = np.uint16 if factor <= 16 else np.uint32  # 16 * 16 * 255 still fits
    rows = rgba[:height, :width].reshape(height // factor, factor, width, 4).sum(axis=1, dtype=whole)
    columns = rows.reshape(height // factor, width // factor, factor, 4)
    sums = columns[:, :, 0].copy()
    for i in range(1, factor):
        sums += columns[:, :, i]
    averaged: npt.NDArray[np.uint8] = np.rint(sums / factor**2).astype(np.uint8)
    return averaged


def _window(rgba: npt.NDArray[np.uint8], region: Region) -> npt.NDArray[np.uint8]:
    out = np.zeros((region.height, region.width, 4), np.uint8)
    top, left = max(region.y, 0), max(region.x, 0)
    part = rgba[top : max(region.y + region.height, 0), left : max(region.x + region.width, 0)]
    out[top - region.y : top - region.y + part.shape[0], left - region.x : left - region.x + part.shape[1]] = part
    return out


def _touch(region: Region, downsample: float, box: Region) -> bool:
    left, top = region.x * downsample, region.y * downsample
    right, bottom = left + region.width * downsample, top + region.height * downsample
    return left < box.x + box.width and box.x < right and top < box.y + box.height and box.y < bottom
