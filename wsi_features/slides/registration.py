"""How the levels of a slide lie on level 0: their true downsamples, and whether they show the same image.

Some writers shrink by a whole factor and cut or fill the last pixels; others stretch the whole image
onto whole pixels. The sizes often allow both, a pixel of the level apart at the far edge. Then the pixels
decide. A few patches are read and compared; whether a difference matters is for the caller to judge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

from wsi_features.geometry import Region, Size
from wsi_features.slides.slide import Slide

_PATCH = 512
"""Width of the finer pixels that are compared, at most."""

_LARGEST_STEP = 64
"""A patch has to be at least 8 pixels wide on the level; levels further away are compared with a nearer one."""

_STRATA, _PROBES, _PROBE_PX = 4, 2, 32
"""Columns and rows of parts of a slide; of 2 x 2 probes in each the richest in texture is compared."""

_BLOCK = 4
"""Level pixels whose mean is compared: writers' kernels differ in single pixels, contents in blocks."""

_SAME_PX = 0.1
"""Downsamples that differ by less than this, in level-0 pixels at the far edge, are the same."""

_MOST_CUT = 8
"""Level pixels: a level that lacks or has more than this is taken as stretched, whatever it shows."""

_LEAST_EVIDENCE = 9.0
"""How much better, as chi squared (three sigma), another downsample must fit than the one that is likeliest by size."""

_ALIKE = 0.5
"""Correlation below which a patch shows nothing but noise."""

_LIKELY_OFFSET, _LEAST_SIGMA = 0.5, 0.005
"""In level pixels: writers that pick pixels instead of averaging shift a level by about half a pixel everywhere."""

MOST_RESIDUAL = 12.0
"""Image levels. Measured on H&E at JPEG quality 80: levels that are averaged stay below 3, picked ones below 10;
swapped colours, another slide or a missing tail give more than 20, colours 8 % darker 15."""

Pair = tuple[float, float]
Floats = npt.NDArray[np.float64]
Image = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LevelFit:
    """How one level lies on level 0: `downsample_x` and `downsample_y` are level-0 pixels per pixel of it.

    `basis` says what told so: the sizes alone, or the pixels where the sizes allow several. `residual` is
    the worst patch's mean difference from averaged level 0, in grey levels of 255, and `worst` that patch in
    level-0 pixels. `correlation` is over all `patches` compared.
    They are None where nothing could be compared, and `correlation` also where all is even.
    """

    downsample_x: float
    downsample_y: float
    basis: Literal["sizes", "pixels"] = "sizes"
    residual: float | None = None
    worst: Region | None = None
    correlation: float | None = None
    patches: int = 0

    @property
    def downsample(self) -> float:
        """Mean over both axes."""
        return (self.downsample_x + self.downsample_y) / 2

    @property
    def agrees(self) -> bool:
        """Whether the level shows what level 0 shows, as far as it could be compared."""
        return self.residual is None or self.residual <= MOST_RESIDUAL


def registered(slide: Slide) -> tuple[LevelFit, ...]:
    """The fit of every level of an open slide, level 0 first. Damaged patches are left out, never raised.

    The places are the same on every call: spread over the slide, where there is texture, and along its
    bottom, where cut files end.
    """
    fits = [LevelFit(1.0, 1.0)]
    if len(slide.levels) == 1:
        return tuple(fits)
    reads = _Reads(slide)
    places = _places(reads)
    for number in range(1, len(slide.levels)):
        fits.append(_fit(reads, number, fits, places))
    return tuple(fits)


def possible_downsamples(whole: Size, level: Size) -> tuple[Pair, ...]:
    """Along x and y, the likeliest by the sizes first: a whole factor where they allow one, then the ratio.

    Where they allow none, the ratio and the whole factors of levels that were cut by a few pixels too many.
    """
    ratio = (whole.width / level.width, whole.height / level.height)
    mean = max(sum(ratio) / 2, 1.0)
    near = dict.fromkeys((2 ** round(math.log2(mean)), round(mean), math.floor(mean), math.ceil(mean)))
    apart = {k: max(abs(whole.width - k * level.width), abs(whole.height - k * level.height)) for k in near}
    factor = next((k for k in near if apart[k] < k), None)
    if factor is not None:
        exact = (float(factor), float(factor))
        return (exact, ratio) if apart[factor] > _SAME_PX else (exact,)
    return (ratio, *((float(k), float(k)) for k in near if apart[k] <= _MOST_CUT * k))


class _Reads:
    """Patches of one slide, read once each: rgb uint8 (h, w, 3) with the position of its first pixel, or None."""

    def __init__(self, slide: Slide) -> None:
        self.levels = slide.levels
        self._slide = slide
        self.patch = cache(self._patch)

    def _patch(self, level: int, region: Region) -> tuple[Image, Pair] | None:
        read = self._slide.read(region, level)
        if read.status == "unreadable":
            return None
        return read.rgb, (region.x + read.shift[0], region.y + read.shift[1])

    def box(self, level: int, place: Pair, width: int) -> Region:
        """The square of at most `width` pixels at `place`, from (0, 0), the top left, to (1, 1), the bottom right."""
        size = self.levels[level].size
        w, h = min(width, size.width), min(width, size.height)
        return Region(round(place[0] * (size.width - w)), round(place[1] * (size.height - h)), w, h)

    def texture(self, place: Pair) -> float:
        """Spread of grey at `place`, on the finest or the coarsest level, whichever shows more; -1 if unreadable."""
        read = [self.patch(level, self.box(level, place, _PROBE_PX)) for level in (0, len(self.levels) - 1)]
        return max((float(found[0].mean(axis=2).std()) for found in read if found is not None), default=-1.0)


def _places(reads: _Reads) -> list[Pair]:
    """The richest probe of each part of the slide, and of each part of its bottom edge."""
    inside = (np.arange(_STRATA * _PROBES) + 0.5) / (_STRATA * _PROBES)
    spread = [tuple(part) for part in inside.reshape(_STRATA, _PROBES).tolist()]
    groups = [*product(spread, spread), *product(spread, [(1.0,)])]
    return [max(product(xs, ys), key=reads.texture) for xs, ys in groups]


@dataclass(frozen=True, slots=True, eq=False)
class _Patch:
    """The same place on two levels: pixels of the level, and of a finer one, each with its first pixel's position."""

    coarse: Image
    coarse_at: Pair
    fine: Image
    fine_at: Pair

    def averaged(self, step: Pair, block: int = 1) -> tuple[Floats, Floats]:
        """Blocks of the level, and the finer pixels under them, `step` finer pixels per pixel of the level."""
        import cv2

        height, width = (side // block for side in self.coarse.shape[:2])
        blocks = self.coarse[: height * block, : width * block].reshape(height, block, width, block, -1)
        across, down = (
            (self.coarse_at[axis] + np.arange(count + 1) * block) * step[axis] - self.fine_at[axis]
            for axis, count in ((0, width), (1, height))
        )
        # Sums from the corner are linear between pixels, so their differences are exact averages over any box.
        sums = np.asarray(cv2.integral(self.fine, sdepth=cv2.CV_64F), np.float64)
        sums = sums.reshape(len(self.fine) + 1, self.fine.shape[1] + 1, -1)
        rows = np.diff(_between(sums, down), axis=0)
        under = np.diff(_between(rows.swapaxes(0, 1), across), axis=0).swapaxes(0, 1)
        return blocks.mean(axis=(1, 3), dtype=np.float64), under / (step[0] * step[1] * block**2)

    def grey(self) -> _Patch:
        """The same with one channel."""
        import cv2

        thirds = np.full((1, 3), 1 / 3)  # ten times as fast as a mean over the last axis
        coarse, fine = (
            np.asarray(cv2.transform(rgb.astype(np.float32), thirds), np.float32)[..., None]
            for rgb in (self.coarse, self.fine)
        )
        return _Patch(coarse, self.coarse_at, fine, self.fine_at)


def _between(values: Floats, at: Floats) -> Floats:
    """`values` (n, ...) at positions `at` (m,) along the first axis, linearly between two: (m, ...)."""
    low = np.clip(np.floor(at).astype(np.int64), 0, len(values) - 2)
    share = (at - low)[:, None, None]
    return values[low] * (1 - share) + values[low + 1] * share


def _fit(reads: _Reads, number: int, finer: list[LevelFit], places: list[Pair]) -> LevelFit:
    """The fit of one level, given those of the levels before it."""
    possible = possible_downsamples(reads.levels[0].size, reads.levels[number].size)
    coarse = reads.levels[number].downsample
    base = next((i for i, fit in enumerate(finer) if coarse / fit.downsample <= _LARGEST_STEP), number - 1)
    steps = [(x / finer[base].downsample_x, y / finer[base].downsample_y) for x, y in possible]
    found = list(_patches(reads, number, base, steps, places))
    chosen = _better(found, steps) if len(steps) > 1 else 0
    basis: Literal["sizes", "pixels"] = "pixels" if len(steps) > 1 and found else "sizes"
    if not found:
        return LevelFit(*possible[chosen], basis)
    blocks = [patch.averaged(steps[chosen], min(_BLOCK, *patch.coarse.shape[:2])) for patch in found]
    residuals = [float(np.abs(one - other).mean()) for one, other in blocks]
    worst = int(np.argmax(residuals))
    region = _on_level_0(found[worst], finer[base])
    return LevelFit(*possible[chosen], basis, residuals[worst], region, _correlation(blocks), len(found))


def _patches(reads: _Reads, number: int, base: int, steps: list[Pair], places: list[Pair]) -> Iterator[_Patch]:
    """The pixels of the level that lie wholly in each place on level `base`, whichever step is true."""
    size = reads.levels[number].size
    for box in dict.fromkeys(reads.box(base, place, _PATCH) for place in places):
        left, right = _inner(box.x, box.width, [step[0] for step in steps], size.width)
        top, bottom = _inner(box.y, box.height, [step[1] for step in steps], size.height)
        if right - left < 2 or bottom - top < 2:
            continue
        coarse = reads.patch(number, Region(left, top, right - left, bottom - top))
        fine = reads.patch(base, box)
        if coarse is not None and fine is not None:
            yield _Patch(*coarse, *fine)


def _inner(start: int, width: int, steps: list[float], extent: int) -> tuple[int, int]:
    # One pixel less at the start: some readers begin up to a pixel before.
    first = math.ceil(start / min(steps)) + 1 if start else 0
    return first, min(math.floor((start + width) / max(steps)), extent)


def _better(patches: list[_Patch], steps: list[Pair]) -> int:
    """Which step leaves the level undisturbed; the first, the likeliest, unless another is clearly better."""
    if not patches:
        return 0
    grey = [patch.grey() for patch in patches]
    found = np.array([[_displacement(*patch.averaged(step)) for patch in grey] for step in steps])
    moved, spread, noise, alike = found[:, :, 0], found[:, :, 1], found[:, :, 2, :1], found[:, :, 2, 1:]
    # The noise of the step that fits best: under a wrong one the images differ, which is no reason for tolerance.
    variance = spread * noise.min(axis=0) + _LEAST_SIGMA**2
    variance[:, (alike.max(axis=0) < _ALIKE)[:, 0]] = np.inf  # glass says nothing, but says it loudly
    misfits = [_misfit(*each) for each in zip(moved, variance, strict=True)]
    best = int(np.argmin(misfits))
    return best if misfits[0] - misfits[best] > _LEAST_EVIDENCE else 0


def _displacement(level: Floats, wanted: Floats) -> Floats:
    """By how many pixels, along y and x, `level` (h, w, 1) lies beside `wanted`: (3, 2).

    The second row times the noise, which opens the third, is the variance of the first; the correlation of
    both ends it. One step of Lucas and Kanade, "An iterative image registration technique", 1981.
    """
    alike = _correlation([(level, wanted)])
    change = level[..., 0] - wanted[..., 0]
    slopes = np.stack([slope.ravel() for slope in np.gradient(wanted[..., 0])])
    slopes -= slopes.mean(axis=1, keepdims=True)
    change = (change - change.mean()).ravel()
    # Not by `@`: for so little work the threads of BLAS cost more than they bring.
    inverse = np.linalg.inv(np.einsum("an,bn->ab", slopes, slopes) + 1e-6 * np.eye(2))
    moved = np.einsum("ab,bn,n->a", inverse, slopes, change, optimize=False)
    noise = np.mean((change - moved[0] * slopes[0] - moved[1] * slopes[1]) ** 2)
    return np.stack([-moved, np.diag(inverse), (noise, alike if alike is not None else 0.0)])


def _misfit(moved: Floats, variance: Floats) -> float:
    """Chi squared of displacements (n, 2) around one offset of the whole level along each axis."""
    weight, prior = 1 / variance, 1 / _LIKELY_OFFSET**2
    offset = (weight * moved).sum(axis=0) / (weight.sum(axis=0) + prior)
    return float((weight * (moved - offset) ** 2).sum() + (prior * offset**2).sum())


def _correlation(blocks: list[tuple[Floats, Floats]]) -> float | None:
    one, other = (np.concatenate([pair[i].ravel() for pair in blocks]) for i in (0, 1))
    if min(one.std(), other.std()) < 1:
        return None
    return float(np.corrcoef(one, other)[0, 1])


def _on_level_0(patch: _Patch, base: LevelFit) -> Region:
    height, width = patch.fine.shape[:2]
    x, y = round(patch.fine_at[0] * base.downsample_x), round(patch.fine_at[1] * base.downsample_y)
    return Region(x, y, round(width * base.downsample_x), round(height * base.downsample_y))
