"""8-bit resampling of tiles, equal to Pillow's to the last bit on every device.

Networks learned from images that Pillow made smaller, and Pillow rounds to whole grey levels
after each of its two passes. Weights are fixed-point numbers of 22 bits there, so the sums
are whole numbers too: computed in int32 they are the same everywhere, while floating-point
sums round every second tie the other way (5 % of the pixels of 256 to 224 px, bilinear).
PREPROCESSING.md holds what was measured. Source of the kernels and the fixed-point form:
Pillow's documentation of its filters, and comparison with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Interpolation = Literal["bilinear", "bicubic"]

_BITS = 22
_HALF = 1 << (_BITS - 1)
_SHARPNESS = -0.5  # of the bicubic kernel: Pillow's, and torch's with antialias


def _triangle(x: float) -> float:
    return max(0.0, 1 - abs(x))


def _cubic(x: float) -> float:
    x, a = abs(x), _SHARPNESS
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return a * (((x - 5) * x + 8) * x - 4) if x < 2 else 0.0


_KERNELS: dict[Interpolation, tuple[Callable[[float], float], float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
}
"""Each kernel with the distance at which it ends."""


@lru_cache(maxsize=64)
def taps(length: int, wanted: int, kernel: Interpolation) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Which pixels of a line of `length` make each of `wanted` pixels, and by how much: both (k, wanted).

    Weights are in units of 2**-22. The kernel widens with the reduction, which is what
    libraries call antialiasing. Lines with fewer than k pixels are filled with weights of 0.
    """
    shape, reach = _KERNELS[kernel]
    step = length / wanted
    width = max(step, 1.0)
    lines = [_line(shape, reach * width, (pixel + 0.5) * step, width, length) for pixel in range(wanted)]
    most = max(len(weights) for _, weights in lines)
    pixels, fixed = np.zeros((most, wanted), np.int64), np.zeros((most, wanted), np.int32)
    for column, (first, weights) in enumerate(lines):
        pixels[:, column] = np.minimum(first + np.arange(most), length - 1)
        fixed[: len(weights), column] = weights
    return pixels, fixed


def _line(
    shape: Callable[[float], float], reach: float, centre: float, width: float, length: int
) -> tuple[int, list[int]]:
    first, end = max(0, int(centre - reach + 0.5)), min(length, int(centre + reach + 0.5))
    weights = [shape((pixel - centre + 0.5) / width) for pixel in range(first, end)]
    total = sum(weights)
    return first, [math.trunc(w / total * (1 << _BITS) + math.copysign(0.5, w)) for w in weights]


Taps = tuple["torch.Tensor", "torch.Tensor"]
"""`taps` on a device."""


def device_taps(length: int, wanted: int, middle: int, kernel: Interpolation, device: torch.device) -> Taps:
    """The taps of the `middle` pixels of `wanted`, on `device`."""
    import torch

    start = middle_start(wanted, middle)
    pixels, weights = (part[:, start : start + middle].copy() for part in taps(length, wanted, kernel))
    return torch.from_numpy(pixels).to(device), torch.from_numpy(weights).to(device)


def resampled(planes: torch.Tensor, across: Taps, down: Taps) -> torch.Tensor:
    """uint8 (b, 3, h, w) to uint8 (b, 3, h', w'): along the lines first, then down the columns, as Pillow does."""
    return _pass(_pass(planes, across, 3), down, 2)


def _pass(planes: torch.Tensor, by: Taps, dim: int) -> torch.Tensor:
    import torch

    shape = [1] * planes.ndim
    shape[dim] = -1
    pixels, weights = by
    total = planes.index_select(dim, pixels[0]) * weights[0].view(shape) + _HALF
    for chosen, weight in zip(pixels[1:], weights[1:], strict=True):
        total.addcmul_(planes.index_select(dim, chosen), weight.view(shape))
    return total.bitwise_right_shift(_BITS).clamp_(0, 255).to(torch.uint8)


def pillow_resampled(
    tiles: npt.NDArray[np.uint8], wanted: int, middle: int, kernel: Interpolation
) -> npt.NDArray[np.uint8]:
    """uint8 (b, h, w, 3) to the middle of (b, wanted, wanted, 3), by Pillow itself: on a CPU the fastest way to its numbers."""
    from PIL import Image

    chosen = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[kernel]
    start = middle_start(wanted, middle)
    part = slice(start, start + middle)
    out = np.empty((len(tiles), middle, middle, 3), np.uint8)
    for made, tile in zip(out, tiles, strict=True):
        made[:] = np.asarray(Image.fromarray(tile).resize((wanted, wanted), chosen))[part, part]
    return out


def middle_start(length: int, middle: int) -> int:
    """Where the middle pixels of a line begin; halves go to the even number, as torchvision's centre crop does."""
    return round((length - middle) / 2)
